package actions

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/scenarios"
)

// What an action that is done a second time may fail with is what it had done before, and
// nothing else.
func TestDoneBefore(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	there, gone, other := apierrors.NewAlreadyExists(pods, "x"), apierrors.NewNotFound(pods, "x"), errors.New("x")
	for _, tt := range []struct {
		change scenarios.Change
		err    error
		want   bool
	}{
		{&scenarios.Deployment{}, there, true},
		{&scenarios.Deployment{}, fmt.Errorf("wrapped: %w", there), true},
		{&scenarios.Deployment{}, gone, false},
		{&scenarios.Deployment{}, other, false},
		{&scenarios.Expose{}, there, true},
		{&scenarios.Namespace{}, there, true},
		{&scenarios.Delete{}, gone, true},
		{&scenarios.Delete{}, there, false},
		{&scenarios.Scale{}, gone, false},
		{&scenarios.Probe{}, there, false},
	} {
		if got := DoneBefore(tt.change, tt.err); got != tt.want {
			t.Errorf("%T, %v: %v", tt.change, tt.err, got)
		}
	}
	for _, c := range []scenarios.Change{&scenarios.Upgrade{}, &scenarios.Gateway{}, &scenarios.Probe{}} {
		if Repeatable(c) {
			t.Errorf("%T can be done twice", c)
		}
	}
	for _, c := range []scenarios.Change{&scenarios.Deployment{}, &scenarios.Restart{}, &scenarios.Apply{}, &scenarios.Delete{}} {
		if !Repeatable(c) {
			t.Errorf("%T cannot be done twice", c)
		}
	}
	for change, want := range map[scenarios.Change]bool{&scenarios.Restart{}: true, &scenarios.Delete{}: true, &scenarios.Nodes{}: true, &scenarios.Expose{}: false} {
		if Removes(change) != want {
			t.Errorf("%T: removes %v", change, !want)
		}
	}
}
