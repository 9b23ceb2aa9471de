package harness

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/sample"
)

// event is what has become of an object.
func event(k watched, was, gone bool) sample.Event {
	switch {
	case gone:
		return sample.Event{Type: k.kind, What: sample.Deleted}
	case was:
		return sample.Event{Type: k.kind, What: sample.Updated}
	}
	return sample.Event{Type: k.kind, What: sample.Added}
}

// foreign tells whether an object is none of the run's. Nodes are nobody's.
func (o *objects) foreign(k watched, m metav1.Object) bool {
	switch {
	case k.kind == "Nodes":
		return false
	case k.kind == "Namespaces":
		return !o.scope.Has(m.GetName())
	}
	return !o.scope.Has(m.GetNamespace())
}

// byOthers is what has happened outside of the scope since it was asked last.
func (o *objects) byOthers() counts {
	o.mu.Lock()
	defer o.mu.Unlock()
	others := o.others
	o.others = counts{}
	return others
}
