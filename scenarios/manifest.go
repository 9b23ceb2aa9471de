package scenarios

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshbench/meshbench/internal/simulate"
	"github.com/meshbench/meshbench/manifests"
)

// manifestObject is the part of an object in a manifest that the checker needs.
type manifestObject struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   manifestMeta `json:"metadata"`
	Spec       struct {
		manifestPodSpec // of a Pod
		manifestJobSpec
		Replicas *int `json:"replicas"`
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		Strategy struct {
			Type          string `json:"type"`
			RollingUpdate struct {
				MaxSurge any `json:"maxSurge"`
			} `json:"rollingUpdate"`
		} `json:"strategy"`
		JobTemplate struct {
			Spec manifestJobSpec `json:"spec"`
		} `json:"jobTemplate"`
	} `json:"spec"`

	// of is the whole object.
	of *manifests.Object
}

// newManifestObject reads an object. Other kinds may have fields with the same names and
// other types, which do not matter here.
func newManifestObject(of *manifests.Object) manifestObject {
	var m manifestObject
	of.Decode(&m)
	m.Metadata.Namespace, m.of = of.Namespace, of
	return m
}

// manifestMeta is the metadata of an object or of a pod template.
type manifestMeta struct {
	Name        string            `json:"name"`
	Namespace   string            `json:"namespace"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// manifestJobSpec is the specification of a Job, and of every kind with a pod template.
type manifestJobSpec struct {
	Parallelism *int `json:"parallelism"`
	Template    struct {
		Metadata manifestMeta    `json:"metadata"`
		Spec     manifestPodSpec `json:"spec"`
	} `json:"template"`
}

// manifestPodSpec is the part of a pod's specification that the checker needs.
type manifestPodSpec struct {
	InitContainers []manifestContainer `json:"initContainers"`
	Containers     []manifestContainer `json:"containers"`
	HostNetwork    bool                `json:"hostNetwork"`
}

type manifestContainer struct {
	Name  string `json:"name"`
	Image string `json:"image"`
	Ports []struct {
		Name          string `json:"name"`
		ContainerPort int    `json:"containerPort"`
		Protocol      string `json:"protocol"`
	} `json:"ports"`
}

// planned is the container for the plan.
func (m manifestContainer) planned() Container {
	c := Container{Name: m.Name, Image: m.Image}
	for _, p := range m.Ports {
		if p.Protocol != "" && p.Protocol != "TCP" {
			continue
		}
		if c.Ports == nil {
			c.Ports = map[string]int{}
		}
		c.Ports[cmp.Or(p.Name, strconv.Itoa(p.ContainerPort))] = p.ContainerPort
	}
	return c
}

// images returns the images of the containers that the object creates.
func (m *manifestObject) images() []string {
	var images []string
	for _, container := range m.containers() {
		images = append(images, container.Image)
	}
	return images
}

// containers are those of the pods that the object creates, init containers first.
func (m *manifestObject) containers() []manifestContainer {
	spec := m.Spec.Template.Spec
	switch m.Kind {
	case "Pod":
		spec = m.Spec.manifestPodSpec
	case "CronJob":
		spec = m.Spec.JobTemplate.Spec.Template.Spec
	}
	return slices.Concat(spec.InitContainers, spec.Containers)
}

// podAnnotations finds what is wrong with the annotations that the object's pods are read
// for, and says where they stand.
func (m *manifestObject) podAnnotations(pods manifestPods) (place string, problems []simulate.Problem) {
	var names []string
	for _, container := range m.containers() {
		names = append(names, container.Name)
	}
	place = "spec.template.metadata.annotations"
	switch m.Kind {
	case "Pod":
		place = "metadata.annotations"
	case "CronJob":
		place = "spec.jobTemplate.spec.template.metadata.annotations"
	}
	return place, annotationProblems(pods.template.annotations, names)
}

// isGateway reports whether the object is a Gateway of Istio or of the Gateway API.
func (m *manifestObject) isGateway() bool {
	group, _, _ := strings.Cut(m.APIVersion, "/")
	return m.Kind == "Gateway" && (group == istioGroup || group == gatewayAPIGroup)
}

// isGatewayAPI reports whether the object's kind is one of the Gateway API's.
func (m *manifestObject) isGatewayAPI() bool {
	group, _, _ := strings.Cut(m.APIVersion, "/")
	return group == gatewayAPIGroup
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
	for _, container := range spec.Containers {
		pods.template.containers = append(pods.template.containers, container.planned())
	}
	if m.Kind != "Pod" && m.Kind != "CronJob" {
		pods.template.selector = m.Spec.Selector.MatchLabels
	}
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
