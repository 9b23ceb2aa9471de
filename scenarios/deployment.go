package scenarios

import "fmt"

// Deployment makes a Deployment as `kubectl create deployment` does: selector and pods
// are labelled app=NAME, with one container. It has taken effect when all its pods are
// Ready.
type Deployment struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Name is a DNS subdomain of at most 63 bytes (it is a label's value, too).
	Name string `yaml:"name" jsonschema:"required"`
	// Image of the container; it is simulated where the cluster has no such program.
	Image string `yaml:"image" jsonschema:"required"`
	// Replicas defaults to 1.
	Replicas int `yaml:"replicas" jsonschema:"default=1"`
	// Labels and Annotations are further ones of the pods. sidecar.istio.io annotations
	// size the proxy.
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
	// Resources of the container; none by default.
	Resources Resources `yaml:"resources,omitempty"`
}

// Resources are quantities by resource name, {cpu: 100m, memory: 64Mi}.
type Resources struct {
	Requests map[string]string `yaml:"requests,omitempty"`
	Limits   map[string]string `yaml:"limits,omitempty"`
}

// Word returns deployment.
func (*Deployment) Word() string { return "deployment" }

// String tells the change in a few words.
func (d *Deployment) String() string {
	return fmt.Sprintf("make Deployment %s/%s (%s) with %d replicas", d.Namespace, d.Name, d.Image, d.Replicas)
}
