package scenarios

import "slices"

// load is what one step puts on istiod, as far as it is known beforehand.
type load struct {
	// from and to are the step's part of the plan's timeline.
	from, to int
	// objects are the pods and Services at the step's end.
	objects int
}

// services returns the number of Services: those of the cluster, of the steps, and two for
// each revision of a Knative Service.
func (c *checker) services() int {
	n := 0
	for o := range c.objects {
		if o.kind == "Service" {
			n++
		}
	}
	for _, revisions := range c.revisions {
		n += 2 * revisions
	}
	return n
}

// Largest returns the indexes of the steps at which istiod is expected to hold most, in
// their order.
//
// Every sidecar is sent every Service and pod, so the size of a step is the number of its
// sidecars that run or are light at one time, and one for istiod itself, times the number of Services and
// pods at its end. Two steps count: the largest one, and the one that grows most over the step
// before it, for istiod then holds the old and the new beside one another. Often they are the
// same. Among equals it is the first.
func (p Plan) Largest(s Shares) []int {
	if len(p.loads) == 0 {
		return nil
	}
	largest, steepest, most, rise, before := 0, 0, 0, 0, 0
	for i, l := range p.loads {
		_, proxies := p.most(s, l.from, l.to)
		size := (1 + proxies) * l.objects
		if size > most {
			largest, most = i, size
		}
		if size-before > rise {
			steepest, rise = i, size-before
		}
		before = size
	}
	found := []int{largest, steepest}
	slices.Sort(found)
	return slices.Compact(found)
}
