package actions

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/meshbench/meshbench/scenarios"
)

// again is what doing an action a second time means, where a run was interrupted in the middle
// of its step and goes on with the same cluster.
type again struct {
	never   bool // half done, it cannot be done again
	making  bool // all that it does is to make objects of given names
	removal bool // pods may be gone after it
}

// once says that the action cannot be done again where it was interrupted.
func (d doer) once() doer {
	d.never = true
	return d
}

// makes says that all that the action does is to make objects, which may be there already.
func (d doer) makes() doer {
	d.making = true
	return d
}

// removes says that pods may be gone after the action.
func (d doer) removes() doer {
	d.removal = true
	return d
}

// of is what the table says of a change.
func of(change scenarios.Change) again {
	for _, d := range table() {
		if d.can(change) {
			return d.again
		}
	}
	return again{never: true}
}

// Repeatable says that an action leads to the same objects when it is done again after it was
// interrupted, however far it had come.
func Repeatable(change scenarios.Change) bool { return !of(change).never }

// Removes says that pods that were there before the action may be gone after it.
func Removes(change scenarios.Change) bool { return of(change).removal }

// DoneBefore says that an action failed only because it had been done before: what it makes is
// there, or what it deletes is gone.
func DoneBefore(change scenarios.Change, err error) bool {
	if _, deletes := change.(*scenarios.Delete); deletes {
		return apierrors.IsNotFound(err)
	}
	return of(change).making && apierrors.IsAlreadyExists(err)
}
