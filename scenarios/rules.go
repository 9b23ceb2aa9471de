package scenarios

// injectLabel is the label of pods that asks for a sidecar or refuses it.
const injectLabel = "sidecar.istio.io/inject"

// injects tells by Istio's own rules, those of its webhooks' selectors, whether pods get a
// sidecar. all is the mesh's option to inject into namespaces without a label.
func injects(all bool, namespace, pod map[string]string) bool {
	inject, asked := pod[injectLabel]
	injection, labelled := namespace["istio-injection"]
	revision, revised := namespace["istio.io/rev"]
	podRevision, podRevised := pod["istio.io/rev"]
	switch {
	case inject == "false":
		return false
	case labelled:
		return injection == "enabled"
	case revised:
		return revision != ""
	case podRevised:
		return podRevision != ""
	case asked:
		return inject == "true"
	}
	return all
}
