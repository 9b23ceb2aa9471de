package actions

import (
	"fmt"
	"reflect"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/manifests"
	"github.com/meshbench/meshbench/scenarios"
)

// FirstPods are the pods that a scenario's workloads make, one of each kind: of those that
// differ in their labels and annotations alone, the first. Pods of Knative Services and those
// that a later action changes are not among them.
func FirstPods(s *scenarios.Scenario) ([]cluster.FirstPod, error) {
	f := firstPods{injected: map[string]bool{}}
	for _, d := range s.Plan().Deployments {
		if d.Injected {
			f.injected[d.Namespace+"/"+d.Name] = true
		}
	}
	for _, step := range s.Steps {
		for _, a := range step.Actions {
			if err := f.action(a.Change); err != nil {
				return nil, fmt.Errorf("find the pods of step %s: %w", step.Name, err)
			}
		}
	}
	return f.pods, nil
}

// firstPods collects pods.
type firstPods struct {
	// injected are the Deployments, namespace/name, and the namespaces whose pods get sidecars.
	injected map[string]bool
	pods     []cluster.FirstPod
}

func (f *firstPods) action(change scenarios.Change) error {
	switch c := change.(type) {
	case *scenarios.Namespace:
		f.injected[c.Name] = c.Injection
	case *scenarios.Deployment:
		return f.make(c.Namespace, c.Name, c.Image, &c.PodOptions, f.injected[c.Namespace+"/"+c.Name])
	case *scenarios.StatefulSet:
		return f.make(c.Namespace, c.Name, c.Image, &c.PodOptions, f.injected[c.Namespace])
	case *scenarios.DaemonSet:
		return f.make(c.Namespace, c.Name, c.Image, &c.PodOptions, f.injected[c.Namespace])
	case *scenarios.Job:
		return f.make(c.Namespace, c.Name, c.Image, &c.PodOptions, f.injected[c.Namespace])
	case *scenarios.CronJob:
		return f.make(c.Namespace, c.Name, c.Image, &c.PodOptions, f.injected[c.Namespace])
	case *scenarios.Graph:
		return f.objects(c.Workloads())
	case *scenarios.Apply:
		return f.objects(c)
	}
	return nil
}

// objects takes in the pods of a manifest.
func (f *firstPods) objects(a *scenarios.Apply) error {
	m, err := a.Load()
	if err != nil {
		return err
	}
	for _, o := range m.Objects {
		if err := f.object(o); err != nil {
			return fmt.Errorf("read the pods of %s: %w", o, err)
		}
	}
	return nil
}

func (f *firstPods) make(namespace, name, image string, options *scenarios.PodOptions, injected bool) error {
	template, err := podTemplate(name, image, options, options.PodAnnotations())
	if err == nil {
		f.add(namespace+"/"+name, template, injected)
	}
	return err
}

// object takes in the pods of an object of a manifest.
func (f *firstPods) object(o *manifests.Object) error {
	path := []string{"spec", "template"}
	switch o.Kind {
	case "Pod":
		path = nil
	case "CronJob":
		path = []string{"spec", "jobTemplate", "spec", "template"}
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job":
	default:
		return nil
	}
	value := o.Unstructured().Object
	for _, key := range path {
		value, _ = value[key].(map[string]any)
	}
	if value == nil {
		return nil // the API server says more of an object without pods
	}
	var template corev1.PodTemplateSpec
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(value, &template); err != nil {
		return err
	}
	workload := o.Namespace + "/" + o.Name
	f.add(workload, template, f.injected[o.Namespace] || f.injected[workload])
	return nil
}

// add takes in a pod, unless there is one of its kind.
func (f *firstPods) add(workload string, pod corev1.PodTemplateSpec, injected bool) {
	if !slices.ContainsFunc(f.pods, func(p cluster.FirstPod) bool {
		return p.Injected == injected && reflect.DeepEqual(p.Pod.Spec, pod.Spec)
	}) {
		f.pods = append(f.pods, cluster.FirstPod{Workload: workload, Pod: pod, Injected: injected})
	}
}
