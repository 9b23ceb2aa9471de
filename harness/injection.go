package harness

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/meshbench/meshbench/harness/kube"
	installed "github.com/meshbench/meshbench/harness/mesh"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/observations"
)

// injection finds out why workloads have no sidecar, where one might expect one, and tells
// of each once.
type injection struct {
	client   kubernetes.Interface
	recorder *recorder

	answers map[string]string // why, by the question: a template in a namespace of labels
	told    map[string]string // the last reason, by workload
}

func newInjection(client kubernetes.Interface, recorder *recorder) *injection {
	return &injection{client: client, recorder: recorder, answers: map[string]string{}, told: map[string]string{}}
}

// look records the workloads without a sidecar in namespaces where one might expect one:
// those whose labels, or whose pods' labels, speak of injection.
func (i *injection) look(ctx context.Context, pods []sample.Pod) error {
	pods = slices.DeleteFunc(slices.Clone(pods), func(p sample.Pod) bool {
		return p.Proxy || p.State == sample.Ended || p.Deleting || strings.HasPrefix(p.Namespace, "kube-")
	})
	if len(pods) == 0 {
		return nil
	}
	namespaces, err := i.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list namespaces: %w", err)
	}
	labels := map[string]map[string]string{}
	for _, n := range namespaces.Items {
		labels[n.Name] = n.Labels
	}
	list, err := i.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	now := map[types.NamespacedName]*corev1.Pod{}
	for j := range list.Items {
		now[kube.Name(&list.Items[j])] = &list.Items[j]
	}
	seen := map[string]bool{}
	for _, p := range pods {
		if seen[p.Workload] {
			continue
		}
		seen[p.Workload] = true
		pod := now[p.NamespacedName()]
		if pod == nil {
			continue // it is gone
		}
		if !speaks(labels[p.Namespace], pod) {
			continue
		}
		why, err := i.why(ctx, pod, labels[p.Namespace])
		if err != nil {
			return err
		}
		if i.told[p.Workload] != why {
			i.told[p.Workload] = why
			i.recorder.event(observations.Warning, observations.NoSidecar, why, p.Workload)
		}
	}
	return nil
}

// speaks reports whether labels or annotations speak of injection. Istiod's own, by which
// it keeps out of the mesh, do not count.
func speaks(namespace map[string]string, pod *corev1.Pod) bool {
	if pod.Labels["app"] == "istiod" {
		return false
	}
	for _, labels := range []map[string]string{namespace, pod.Labels} {
		for _, key := range []string{meshfacts.InjectionLabel, meshfacts.RevisionLabel, meshfacts.InjectLabel} {
			if _, says := labels[key]; says {
				return true
			}
		}
	}
	_, says := pod.Annotations[meshfacts.InjectLabel]
	return says
}

// why is the reason why a pod has no sidecar, as a sentence's end: "has no sidecar: ...".
func (i *injection) why(ctx context.Context, pod *corev1.Pod, namespace map[string]string) (string, error) {
	made, err := i.asMade(ctx, pod)
	if err != nil {
		return "", err
	}
	maker := pod.UID
	if ref := metav1.GetControllerOf(pod); ref != nil {
		maker = ref.UID
	}
	question := fmt.Sprint(maker, namespace, made.Labels, made.Annotations, made.Spec.HostNetwork)
	if why, asked := i.answers[question]; asked {
		return why, nil
	}
	injectors := installed.Injectors{Client: i.client}
	answer, err := injectors.Ask(ctx, made)
	if err != nil {
		return "", err
	}
	why := ""
	switch {
	case answer.Refused != "":
		why = "has no sidecar, and whether a new pod would get one is not known, since the API server takes none: " + answer.Refused
	case answer.Proxy:
		why = "has no sidecar: its pods were made before the mesh was to inject them; a new pod gets one, so restart it"
	default:
		rule, err := injectors.Explain(ctx, meshfacts.Pod{
			Namespace: pod.Namespace, NamespaceLabels: namespace, Labels: made.Labels, Annotations: made.Annotations, HostNetwork: made.Spec.HostNetwork,
		})
		if err != nil {
			return "", err
		}
		why = "has no sidecar: " + cmp.Or(rule.Why, "the injector refuses it")
	}
	i.answers[question] = why
	return why, nil
}

// asMade is the pod as its controller would make it now. One without a controller, or whose
// controller is gone, is taken as it is, without what the API server added.
func (i *injection) asMade(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	made := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, GenerateName: cmp.Or(pod.GenerateName, pod.Name+"-"),
		Labels: maps.Clone(pod.Labels), Annotations: maps.Clone(pod.Annotations), OwnerReferences: pod.OwnerReferences,
	}, Spec: *pod.Spec.DeepCopy()}
	template, err := i.template(ctx, pod)
	if err != nil {
		return nil, err
	}
	if template != nil {
		made.Labels, made.Annotations, made.Spec = maps.Clone(template.Labels), maps.Clone(template.Annotations), *template.Spec.DeepCopy()
		return made, nil
	}
	made.Spec.NodeName = ""
	isToken := func(name string) bool { return strings.HasPrefix(name, "kube-api-access-") }
	made.Spec.Volumes = slices.DeleteFunc(made.Spec.Volumes, func(v corev1.Volume) bool { return isToken(v.Name) })
	for _, list := range [][]corev1.Container{made.Spec.Containers, made.Spec.InitContainers} {
		for c := range list {
			list[c].VolumeMounts = slices.DeleteFunc(list[c].VolumeMounts, func(m corev1.VolumeMount) bool { return isToken(m.Name) })
		}
	}
	return made, nil
}

// template is the one by which the pod's controller makes pods; nil where there is none.
func (i *injection) template(ctx context.Context, pod *corev1.Pod) (*corev1.PodTemplateSpec, error) {
	ref := metav1.GetControllerOf(pod)
	if ref == nil {
		return nil, nil
	}
	var template *corev1.PodTemplateSpec
	var err error
	get := metav1.GetOptions{}
	var uid types.UID
	switch ref.Kind {
	case "ReplicaSet":
		o, e := i.client.AppsV1().ReplicaSets(pod.Namespace).Get(ctx, ref.Name, get)
		template, uid, err = &o.Spec.Template, o.UID, e
	case "StatefulSet":
		o, e := i.client.AppsV1().StatefulSets(pod.Namespace).Get(ctx, ref.Name, get)
		template, uid, err = &o.Spec.Template, o.UID, e
	case "DaemonSet":
		o, e := i.client.AppsV1().DaemonSets(pod.Namespace).Get(ctx, ref.Name, get)
		template, uid, err = &o.Spec.Template, o.UID, e
	case "Job":
		o, e := i.client.BatchV1().Jobs(pod.Namespace).Get(ctx, ref.Name, get)
		template, uid, err = &o.Spec.Template, o.UID, e
	default:
		return nil, nil
	}
	if apierrors.IsNotFound(err) || err == nil && uid != ref.UID {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s/%s: %w", ref.Kind, pod.Namespace, ref.Name, err)
	}
	return template, nil
}

// readable are the proxies that are dumped. It is an error if there is no sidecar among them:
// a step without a sidecar's configuration is no measurement. A workload whose sidecars are killed on every start
// is known, and told of.
func (m *meter) readable(ctx context.Context, pods []sample.Pod) ([]sample.Pod, error) {
	if err := m.injection.look(ctx, pods); err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		m.recorder.event(observations.Info, observations.NoSidecar, "which workloads have no sidecar, and why, is not known: "+err.Error(), "")
	}
	picked := m.witnesses.among(pods)
	if slices.ContainsFunc(picked, func(p sample.Pod) bool { return p.RealSidecar }) {
		return picked, nil
	}
	var reasons []string
	for _, w := range m.witnesses.wanted {
		workload := w.Workload()
		if m.settler.watch.lost(workload) {
			return picked, nil // gateways
		}
		if slices.ContainsFunc(picked, func(p sample.Pod) bool { return p.Workload == workload }) {
			continue
		}
		reasons = append(reasons, workload+" "+m.injection.unreadable(workload, pods))
	}
	if !m.dumped {
		if workload, ok := m.witnesses.instead(pods); ok {
			m.recorder.event(observations.Warning, observations.NoSidecar,
				fmt.Sprintf("the configuration is read of %s in place of the scenario's witness: %s", workload, strings.Join(reasons, "; ")), "")
			return m.witnesses.among(pods), nil
		}
	}
	return nil, errors.New("no sidecar's configuration can be read: " + strings.Join(reasons, "; "))
}

// unreadable says why no sidecar of a workload can be read.
func (i *injection) unreadable(workload string, pods []sample.Pod) string {
	state := "has no pods"
	for _, p := range pods {
		switch {
		case p.Workload != workload:
		case p.Kind != observations.ProxySidecar:
			return "is a gateway, no sidecar"
		case !p.Sidecar && i.told[workload] != "":
			return i.told[workload]
		case !p.Sidecar:
			return "has no sidecar: neither its namespace nor its pods ask for one by a label"
		case !p.RealSidecar:
			state = fmt.Sprintf("has no sidecar that runs: pod %s is %s%s", p.Name, p.State, because(p.Why))
		case p.Deleting:
			state = "has only pods that are on their way out"
		case !p.Ready:
			state = fmt.Sprintf("has no pod that is ready: pod %s is %s%s", p.Name, p.State, because(p.Why))
		}
	}
	return state
}

func because(why string) string {
	if why == "" {
		return ""
	}
	return " (" + why + ")"
}
