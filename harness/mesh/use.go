package mesh

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/observations"
)

// Wanted is what a scenario asks of the mesh that is there.
type Wanted struct {
	// Revision is the control plane's, or one of its tags; "" for the only one there is.
	Revision string
	// Istio is the version that is asked for; "" for any.
	Istio string
	// Values are the Helm values that are asked for.
	Values map[string]any
}

// Used is a mesh that is on a cluster already and is measured as it is. It installs and
// changes nothing: to see what injection does, it asks for one pod by a dry run.
type Used struct {
	mesh    *Mesh
	wanted  Wanted
	plane   ControlPlane
	remarks []string
}

// Use returns the wanted mesh of the cluster that cfg leads to. Of options only Timeout and
// Progress matter. The cluster is not touched before [Used.Install].
func Use(cfg *rest.Config, wanted Wanted, options Options) (*Used, error) {
	options.fill()
	cfg = quiet(cfg)
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("make a client for the cluster: %w", err)
	}
	return &Used{wanted: wanted, mesh: &Mesh{options: options, client: client, config: cfg}}, nil
}

// Install finds the control plane, waits until its istiod is ready, and returns what memory
// depends on, as it runs. An error about which control plane says what to do in one sentence.
func (u *Used) Install(ctx context.Context) (observations.Mesh, error) {
	if err := u.find(ctx); err != nil {
		return observations.Mesh{}, err
	}
	u.mesh.options.Progress("using " + u.plane.String())
	injected, err := u.await(ctx)
	if err != nil {
		return observations.Mesh{}, err
	}
	// What runs is known once an update has ended.
	if err := u.find(ctx); err != nil {
		return observations.Mesh{}, err
	}
	if len(u.plane.Versions) > 1 {
		return observations.Mesh{}, fmt.Errorf("istiod of revision %s runs in versions %s at once: wait until its update has ended", u.plane.Revision, strings.Join(u.plane.Versions, " and "))
	}
	return u.facts(injected)
}

// find looks for the wanted control plane, which is then waited for and read.
func (u *Used) find(ctx context.Context) error {
	found, err := Installed(ctx, u.mesh.config)
	if err != nil {
		return err
	}
	c, err := Choose(found, u.wanted.Revision)
	if err != nil {
		return err
	}
	u.plane = *c
	u.mesh.namespace, u.mesh.values = c.Namespace, c.values()
	u.mesh.revision = c.Revision
	if c.Revision == "default" {
		u.mesh.revision = ""
	}
	return nil
}

// values are those that tell how istiod publishes its certificate and which namespaces it
// reads, as it runs.
func (c ControlPlane) values() map[string]any {
	env := map[string]any{}
	for _, container := range c.deployment.Spec.Template.Spec.Containers {
		for _, e := range container.Env {
			env[e.Name] = e.Value
		}
	}
	return map[string]any{"pilot": map[string]any{"env": env}, "meshConfig": c.meshFields()}
}

// meshFields is the mesh configuration as fields; empty where it cannot be read.
func (c ControlPlane) meshFields() map[string]any {
	fields := map[string]any{}
	if yaml.Unmarshal([]byte(c.MeshConfig), &fields) != nil {
		return map[string]any{}
	}
	return fields
}

// await waits until istiod is ready, and returns the pod that a dry run showed; nil where
// somebody else than the injector forbids such a pod.
func (u *Used) await(ctx context.Context) (injected *corev1.Pod, err error) {
	err = u.mesh.installation().Await(ctx, func(ctx context.Context) error {
		if err := u.mesh.serves(ctx); err != nil {
			return err
		}
		pod, err := u.mesh.dryRun(ctx)
		switch {
		case apierrors.IsForbidden(err):
			u.remark("Whether proxies use delta xDS was read from the mesh configuration, since a pod in namespace %s is forbidden: %v", u.mesh.namespace, err)
			return nil
		case err != nil:
			return readiness.Unreadyf("creating a pod with a sidecar does not work: %v", err)
		case proxyOf(pod) == nil:
			return readiness.Unreadyf("the injector gives a new pod no container %s", observations.SidecarContainer)
		}
		injected = pod
		return nil
	})
	return injected, err
}

// facts describe the mesh as it runs.
func (u *Used) facts(injected *corev1.Pod) (observations.Mesh, error) {
	version := "unknown"
	if len(u.plane.Versions) == 1 {
		version = u.plane.Versions[0]
	}
	facts := observations.Mesh{
		Istio:            version,
		Charts:           "already installed: " + u.plane.Installer,
		ReconnectSeconds: maxConnectionAge(u.plane.deployment).Seconds(),
		XDS:              u.xds(version, injected),
	}
	if u.plane.Release != nil {
		text, err := yaml.Marshal(u.plane.Release.Values)
		if err != nil {
			return observations.Mesh{}, fmt.Errorf("write the values of Helm release %s: %w", u.plane.Release.Name, err)
		}
		facts.Values = string(text)
	}
	return facts, nil
}

// xds is delta or sotw: what a new proxy is told, else what the mesh configuration says of all.
func (u *Used) xds(version string, injected *corev1.Pod) string {
	if injected == nil {
		metadata, _ := meshfacts.Lookup(map[string]any{"meshConfig": u.plane.meshFields()}, "meshConfig", "defaultConfig", "proxyMetadata").(map[string]any)
		proxy := corev1.Container{Name: observations.SidecarContainer}
		if value, ok := metadata["ISTIO_DELTA_XDS"]; ok {
			proxy.Env = []corev1.EnvVar{{Name: "ISTIO_DELTA_XDS", Value: fmt.Sprint(value)}}
		}
		injected = &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{proxy}}}
	}
	return xdsProtocol(version, injected)
}

// ControlPlane is the one that is used, once Install has found it.
func (u *Used) ControlPlane() ControlPlane { return u.plane }

// remark keeps a sentence for the reader of a report, once.
func (u *Used) remark(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(u.remarks, text) {
		u.remarks = append(u.remarks, text)
	}
}

// Differences says, once Install has found the mesh, in what it differs from what was wanted,
// and what of it could not be compared: a sentence each, without its full stop.
func (u *Used) Differences() []string {
	said := slices.Clone(u.remarks)
	switch running := strings.Join(u.plane.Versions, " and "); {
	case u.wanted.Istio == "" || u.wanted.Istio == running:
	case running == "":
		said = append(said, fmt.Sprintf("The scenario asks for Istio %s, and which version runs cannot be told from istiod's image and labels", u.wanted.Istio))
	default:
		said = append(said, fmt.Sprintf("The scenario asks for Istio %s, %s runs", u.wanted.Istio, running))
	}
	var unknown []string
	for _, v := range flat(nil, u.wanted.Values) {
		path := meshfacts.PathText(v.path)
		switch running, known := u.plane.running(v.path); {
		case !known:
			unknown = append(unknown, path)
		case !same(running, v.value):
			said = append(said, fmt.Sprintf("The scenario asks for the value %s: %s, the mesh has %s", path, text(v.value), text(running)))
		}
	}
	if len(unknown) > 0 {
		said = append(said, fmt.Sprintf("Whether the mesh has the scenario's values is not known of %s: it was installed by %s", strings.Join(unknown, ", "), u.plane.Installer))
	}
	return said
}

// InjectionLabel is the label of namespaces whose pods get their sidecars from the mesh that is
// used and from no other, once Install has found it; empty where no label does that.
func (u *Used) InjectionLabel() (key, value string) { return u.plane.LabelKey, u.plane.LabelValue }
