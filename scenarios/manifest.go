package scenarios

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// manifestObject is the part of an object in a manifest that the checker needs.
type manifestObject struct {
	APIVersion string       `yaml:"apiVersion"`
	Kind       string       `yaml:"kind"`
	Metadata   manifestMeta `yaml:"metadata"`
	Spec       struct {
		manifestPodSpec `yaml:",inline"` // of a Pod
		manifestJobSpec `yaml:",inline"`
		Replicas        *int `yaml:"replicas"`
		Strategy        struct {
			Type          string `yaml:"type"`
			RollingUpdate struct {
				MaxSurge any `yaml:"maxSurge"`
			} `yaml:"rollingUpdate"`
		} `yaml:"strategy"`
		JobTemplate struct {
			Spec manifestJobSpec `yaml:"spec"`
		} `yaml:"jobTemplate"`
	} `yaml:"spec"`

	// node is the whole object.
	node *yaml.Node
}

// manifestMeta is the metadata of an object or of a pod template.
type manifestMeta struct {
	Name        string            `yaml:"name"`
	Namespace   string            `yaml:"namespace"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// manifestJobSpec is the specification of a Job, and of every kind with a pod template.
type manifestJobSpec struct {
	Parallelism *int `yaml:"parallelism"`
	Template    struct {
		Metadata manifestMeta    `yaml:"metadata"`
		Spec     manifestPodSpec `yaml:"spec"`
	} `yaml:"template"`
}

// manifestPodSpec is the part of a pod's specification that the checker needs.
type manifestPodSpec struct {
	InitContainers []manifestContainer `yaml:"initContainers"`
	Containers     []manifestContainer `yaml:"containers"`
	HostNetwork    bool                `yaml:"hostNetwork"`
}

type manifestContainer struct {
	Image string `yaml:"image"`
}

// objects decodes the manifest.
func (a *Apply) objects() ([]manifestObject, error) {
	var list []manifestObject
	for decoder := yaml.NewDecoder(strings.NewReader(a.Manifest)); ; {
		var n yaml.Node
		err := decoder.Decode(&n)
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("invalid manifest: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		}
		if len(n.Content) == 1 && n.Content[0].ShortTag() == "!!null" {
			continue // an empty document
		}
		// Other kinds may have fields with the same names and other types, which do not matter
		// here.
		var o manifestObject
		var mismatch *yaml.TypeError
		if err := n.Decode(&o); err != nil && !errors.As(err, &mismatch) {
			return nil, fmt.Errorf("invalid manifest: line %d: %w", n.Line, err)
		}
		for _, x := range []struct{ field, value string }{
			{"apiVersion", o.APIVersion}, {"kind", o.Kind}, {"metadata.name", o.Metadata.Name},
		} {
			if x.value == "" {
				return nil, fmt.Errorf("invalid manifest: the object at line %d has no %s", n.Line, x.field)
			}
		}
		o.node = &n
		list = append(list, o)
	}
}

// images returns the images of the containers that the object creates.
func (m *manifestObject) images() []string {
	spec := m.Spec.Template.Spec
	switch m.Kind {
	case "Pod":
		spec = m.Spec.manifestPodSpec
	case "CronJob":
		spec = m.Spec.JobTemplate.Spec.Template.Spec
	}
	var images []string
	for _, list := range [][]manifestContainer{spec.InitContainers, spec.Containers} {
		for _, container := range list {
			images = append(images, container.Image)
		}
	}
	return images
}

// isGateway reports whether the object is a Gateway of Istio or of the Gateway API.
func (m *manifestObject) isGateway() bool {
	group, _, _ := strings.Cut(m.APIVersion, "/")
	return m.Kind == "Gateway" && (group == "networking.istio.io" || group == "gateway.networking.k8s.io")
}

// manifestPods are the pods that an object of a manifest creates.
type manifestPods struct {
	replicas int
	// everyNode is set if there is one pod on each node.
	everyNode bool
	template  template
}

// pods returns the pods that the object creates; ok is false if its kind is not known to
// create any. For a Job or CronJob, they are the pods of one running Job.
func (m *manifestObject) pods() (pods manifestPods, ok bool) {
	meta, spec, count := m.Spec.Template.Metadata, m.Spec.Template.Spec, m.Spec.Replicas
	switch m.Kind {
	case "Deployment", "StatefulSet", "ReplicaSet", "ReplicationController":
	case "DaemonSet":
		pods.everyNode = true
	case "Pod":
		meta, spec, count = m.Metadata, m.Spec.manifestPodSpec, nil
	case "Job":
		count = m.Spec.Parallelism
	case "CronJob":
		job := m.Spec.JobTemplate.Spec
		meta, spec, count = job.Template.Metadata, job.Template.Spec, job.Parallelism
	default:
		return pods, false
	}
	pods.replicas = 1
	if count != nil {
		pods.replicas = *count
	}
	pods.template = template{labels: meta.Labels, annotations: meta.Annotations, hostNetwork: spec.HostNetwork, maxSurge: m.maxSurge()}
	return pods, true
}

// maxSurge returns the number of additional pods during a rolling update of a Deployment.
func (m *manifestObject) maxSurge() intstr.IntOrString {
	if m.Spec.Strategy.Type == "Recreate" {
		return intstr.FromInt32(0)
	}
	if given := m.Spec.Strategy.RollingUpdate.MaxSurge; given != nil {
		return intstr.Parse(fmt.Sprint(given))
	}
	return defaultSurge
}
