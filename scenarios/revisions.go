package scenarios

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// The modes of [Revisions].
const (
	// Shape creates the Services and Endpoints of a revision without Knative.
	Shape = "shape"
	// Knative updates a Knative Service on a cluster with Knative Serving.
	Knative = "knative"
)

// maxRevisions is the largest number of revisions of one Knative Service. The published
// experiment continued with another Service after that number.
const maxRevisions = 1000

// Revisions brings a Knative Service to a number of revisions, as that many updates with
// `kn service update --no-wait --scale-init 0` do. It creates a missing Service. It has
// taken effect when the Services and Endpoints of all revisions exist and, with MinScale,
// the pods are Ready.
type Revisions struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Service is the name of the Knative Service, a DNS label that starts with a letter. Its
	// revisions are SERVICE-00001, SERVICE-00002, …
	Service string `yaml:"service" jsonschema:"required"`
	// Count is the number of revisions afterwards: at most 1000, and not less than before.
	Count int `yaml:"count" jsonschema:"required"`
	// Batch is the number of revisions after which the action waits until all their objects
	// exist, and checks Until.
	Batch int `yaml:"batch" jsonschema:"default=200"`
	// Mode is knative for updates of a real Knative Service, which take about a second each,
	// or shape for the objects alone, which takes a hundredth of that.
	Mode string `yaml:"mode" jsonschema:"enum=shape,enum=knative,default=shape"`
	// MinScale keeps that many pods of the revision running, to be measured. Count must be 1
	// then. The pods belong to Deployment SERVICE-00001-deployment.
	MinScale int `yaml:"minScale,omitempty"`
	// Labels and Annotations are those of the revisions' template. Knative copies
	// annotations to the revisions' Services; those of sidecar.istio.io size the proxy.
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
	// Image is that of the revisions' container. The embedded cluster simulates it. Knative
	// does not look up images below dev.local in a registry.
	Image string `yaml:"image" jsonschema:"default=dev.local/app"`
	// Kept is the number of revisions afterwards if Knative's garbage collection (config-gc)
	// removes old ones; 0 for all. Knative collects revisions when routes become ready; on a
	// cluster without an ingress controller meshbench marks them ready.
	Kept int `yaml:"kept,omitempty"`
	// Until ends the action early: after the batch in which a sidecar of this Deployment is
	// OOM-killed, or at once if that has already happened.
	Until *Killed `yaml:"until,omitempty"`
}

// Killed names the Deployment whose sidecar is OOM-killed.
type Killed struct {
	Namespace  string `yaml:"namespace" jsonschema:"required"`
	Deployment string `yaml:"deployment" jsonschema:"required"`
}

// Left returns how many of the revisions created so far remain.
func (r *Revisions) Left(revisions int) int {
	if r.Kept > 0 {
		return min(revisions, r.Kept)
	}
	return revisions
}

// Word returns revisions.
func (*Revisions) Word() string { return "revisions" }

// String describes the change in a few words.
func (r *Revisions) String() string {
	what := fmt.Sprintf("bring Knative Service %s/%s to %d revisions (%s)", r.Namespace, r.Service, r.Count, r.Mode)
	if r.MinScale > 0 {
		what += fmt.Sprintf(", keep %d pods running", r.MinScale)
	}
	if r.Until != nil {
		what += fmt.Sprintf(" or until a sidecar of %s/%s is OOM-killed", r.Until.Namespace, r.Until.Deployment)
	}
	if r.Kept > 0 {
		what += fmt.Sprintf(", of which %d survive garbage collection", r.Kept)
	}
	return what
}

// Deployment returns the name of the Deployment of the Service's newest revision.
func (r *Revisions) Deployment() string { return Revision(r.Service, r.Count) + "-deployment" }

// Revision returns the name that Knative gives the n-th revision of a Service, from 1.
func Revision(service string, n int) string { return fmt.Sprintf("%s-%05d", service, n) }

func (r *Revisions) setDefaults() { r.Batch, r.Mode, r.Image = 200, Shape, "dev.local/app" }

func (r *Revisions) place(p *placement) {
	p.rename(&r.Namespace)
	if r.Until != nil {
		p.rename(&r.Until.Namespace)
	}
}

func (r *Revisions) check(c *checker) needs {
	// The longest name with it is that of the private Service, SERVICE-00001-private.
	c.name("service", r.Service+"-00001-private", validation.IsDNS1035Label)
	if r.Count > maxRevisions {
		c.wrong("count", "%d revisions are too many for one Knative Service; use at most %d, and a second Service for more", r.Count, maxRevisions)
	} else {
		c.number("count", r.Count, 1, maxRevisions)
	}
	c.number("batch", r.Batch, 1, maxRevisions)
	if !slices.Contains([]string{Shape, Knative}, r.Mode) {
		c.wrong("mode", "unknown mode %q; want shape or knative", r.Mode)
	}
	c.number("kept", r.Kept, 0, maxRevisions)
	if r.Kept > 0 && r.Mode == Shape {
		c.wrong("kept", "revisions are not garbage-collected in mode shape; use mode knative")
	}
	c.number("minScale", r.MinScale, 0, maxNumber)
	if r.MinScale > 0 && r.Count > 1 {
		c.wrong("minScale", "only a Service with a single revision can keep pods running; use count 1, and another Service for the load")
	}
	c.labels("labels", r.Labels, true)
	c.labels("annotations", r.Annotations, false)
	c.proxyMemory("annotations", r.Annotations)
	c.proxyConfig("annotations", r.Annotations)
	need := needs{knative: r.Mode == Knative, shapesRevisions: r.Mode == Shape, collectsRevisions: r.Kept > 0}
	if r.MinScale > 0 {
		need.images = []string{r.Image}
	}
	if r.Mode == Shape {
		c.outsideAt(join(c.path, "mode"), "the shape of revisions needs namespace knative-serving with an activator, and makes them where they are missing")
	}
	if !c.namespace("namespace", r.Namespace) {
		return need
	}
	service := object{"Knative Service", r.Namespace, r.Service}
	if before := c.revisions[service]; r.Count < before {
		c.wrong("count", "%d is less than the %d revisions that the Service already has; Knative does not remove any on request", r.Count, before)
	}
	if r.Until == nil { // with Until, the number is not known in advance
		c.revisions[service] = max(c.revisions[service], r.Count)
	}
	if r.MinScale > 0 {
		o := object{"Deployment", r.Namespace, r.Deployment()}
		c.create("service", "apps/v1", o)
		pods := template{labels: r.Labels, annotations: r.Annotations, maxSurge: defaultSurge}
		c.run("minScale", o, workload{replicas: r.MinScale, injected: c.injects(o, pods), template: pods}, 0)
	}
	if r.Until != nil {
		c.path = join(c.path, "until")
		if o, exists := c.deployment(r.Until.Namespace, r.Until.Deployment); exists && !c.workloads[o].injected {
			c.wrong("deployment", "the pods of %s/%s have no sidecar to kill", o.namespace, o.name)
		}
	}
	return need
}

// proxyMemory checks the proxy's memory in a pod's annotations: Kubernetes rejects a pod
// with a limit below the request.
func (c *checker) proxyMemory(field string, annotations map[string]string) {
	const request, limit = "sidecar.istio.io/proxyMemory", "sidecar.istio.io/proxyMemoryLimit"
	quantities := map[string]resource.Quantity{}
	for _, name := range []string{request, limit} {
		text, given := annotations[name]
		if !given {
			continue
		}
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Sign() <= 0 {
			c.wrong(join(field, name), "invalid quantity %q: want e.g. 512Mi", text)
			return
		}
		quantities[name] = q
	}
	if r, l := quantities[request], quantities[limit]; len(quantities) == 2 && l.Cmp(r) < 0 {
		c.wrong(join(field, limit), "limit %s is below request %s; Kubernetes rejects such pods", annotations[limit], annotations[request])
	}
}

// KnativeProblem returns a message as a problem with the field mode of the first action
// that needs Knative.
func (s *Scenario) KnativeProblem(message string) error {
	p := s.wantsKnative
	if p.File == "" {
		p.File = s.Name // not from a file
	}
	p.Path, p.Message = join(p.Path, "mode"), message
	return Problems{p}
}
