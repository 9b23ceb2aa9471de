package existing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
)

// tried is the namespace in which pods are tried. Those of the run do not exist, and in such
// a one the API server refuses everything, dry run or not. What holds in this one by its own
// labels, quotas and policies need not hold in those.
const tried = metav1.NamespaceDefault

// dryRun asks the API server, its admission and all webhooks, and nothing comes of it.
func dryRun() metav1.CreateOptions { return metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}} }

// checkAdmission tries the run's namespaces and the first pods of its workloads by dry runs,
// to see Pod Security, policies and webhooks that would refuse them. mesh is the installed one
// whose injector takes part; nil for a mesh that is not there yet, whose sidecar is imitated.
func (p *provider) checkAdmission(ctx context.Context, mesh *found, groups []string) error {
	var refused []error
	for _, name := range p.visit.Namespaces {
		_, err := p.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{cluster.RunLabel: p.visit.ID},
		}}, dryRun())
		if apierrors.IsAlreadyExists(err) {
			continue // which is said already
		}
		refused = append(refused, p.refusal("namespace "+name, err))
	}
	for _, first := range p.visit.First {
		pod := p.trial(first, mesh)
		_, err := p.client.CoreV1().Pods(tried).Create(ctx, &corev1.Pod{ObjectMeta: pod.ObjectMeta, Spec: pod.Spec}, dryRun())
		if reason := p.refusal("a pod of "+first.Workload, err); reason != nil || err != nil {
			refused = append(refused, reason)
			continue
		}
		_, err = p.client.AppsV1().Deployments(tried).Create(ctx, deploymentOf(pod), dryRun())
		refused = append(refused, p.refusal("a Deployment of "+first.Workload, err))
	}
	err := errors.Join(refused...)
	if engines := policyEngines(groups); err != nil && len(engines) > 0 {
		err = fmt.Errorf("%w\nPolicies on this cluster are of %s", err, strings.Join(engines, ", "))
	}
	return err
}

// trial is the pod that is tried for a workload.
func (p *provider) trial(first cluster.FirstPod, mesh *found) corev1.PodTemplateSpec {
	pod := *first.Pod.DeepCopy()
	pod.GenerateName = "meshbench-trial-"
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	switch {
	case !first.Injected:
	case mesh != nil:
		pod.Labels["sidecar.istio.io/inject"] = "true"
		if mesh.Revision != defaultRevision {
			pod.Labels[revisionLabel] = mesh.Revision
		}
	default:
		addSidecar(&pod.Spec, !p.visit.CNI)
	}
	return pod
}

// addSidecar imitates what Istio's injector adds, as far as policies look at it: the users
// and, without the CNI plugin, the capabilities of the init container that redirects traffic
// (files/injection-template.yaml of the chart istiod, 1.22 to 1.31).
func addSidecar(spec *corev1.PodSpec, redirects bool) {
	no, root, proxy := false, int64(0), int64(1337)
	all := []corev1.Capability{"ALL"}
	if redirects {
		spec.InitContainers = append(spec.InitContainers, corev1.Container{
			Name: "istio-init", Image: "istio/proxyv2",
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: &no, Privileged: &no, RunAsNonRoot: &no, RunAsUser: &root, RunAsGroup: &root,
				Capabilities: &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN", "NET_RAW"}, Drop: all},
			},
		})
	}
	yes := true
	spec.Containers = append(spec.Containers, corev1.Container{
		Name: "istio-proxy", Image: "istio/proxyv2",
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: &no, Privileged: &no, RunAsNonRoot: &yes, RunAsUser: &proxy, RunAsGroup: &proxy,
			Capabilities: &corev1.Capabilities{Drop: all},
		},
	})
}

// deploymentOf is a Deployment of one of the pods, since many policies look at those alone.
func deploymentOf(pod corev1.PodTemplateSpec) *appsv1.Deployment {
	one := int32(1)
	labels := map[string]string{"meshbench.dev/trial": "true"}
	template := *pod.DeepCopy()
	template.GenerateName = ""
	for key, value := range labels {
		template.Labels[key] = value
	}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{GenerateName: pod.GenerateName, Labels: labels},
		Spec:       appsv1.DeploymentSpec{Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template},
	}
}

// refusal says why the API server would refuse something; nil where that is not what the
// error means.
func (p *provider) refusal(what string, err error) error {
	if err == nil || denied(err) {
		return nil
	}
	text := err.Error()
	switch {
	case strings.Contains(text, "violates PodSecurity"):
		return fmt.Errorf("Pod Security would refuse %s: give the scenario's namespaces the label pod-security.kubernetes.io/enforce=privileged, or use Istio's CNI plugin (pilot.cni.enabled): %w", what, err)
	case strings.Contains(text, "exceeded quota"), apierrors.IsNotFound(err):
		p.note(fmt.Sprintf("whether %s would be admitted is not known: it cannot be tried in namespace %s: %v", what, tried, err))
		return nil
	case strings.Contains(text, "dry run"):
		p.note(fmt.Sprintf("whether %s would be admitted is not known: a webhook takes no dry runs: %v", what, err))
		return nil
	case apierrors.IsInternalError(err):
		return fmt.Errorf("a webhook fails, so that the API server would take no %s: repair or remove it: %w", strings.TrimPrefix(what, "a "), err)
	}
	return fmt.Errorf("the cluster would refuse %s: change the scenario, or have an exception made for namespaces with the label %s: %w", what, cluster.RunLabel, err)
}

// policyEngines names those whose API groups the cluster serves.
func policyEngines(groups []string) []string {
	var found []string
	for group, name := range map[string]string{
		"kyverno.io": "Kyverno", "policies.kyverno.io": "Kyverno", "templates.gatekeeper.sh": "Gatekeeper", "policies.kubewarden.io": "Kubewarden",
	} {
		if slices.Contains(groups, group) && !slices.Contains(found, name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}
