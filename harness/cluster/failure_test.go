package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/harness/cluster"
)

// fallen is a cluster that failed for a reason.
type fallen struct {
	cluster.Cluster
	cause error
}

func (f fallen) Failure(ctx context.Context) error {
	if ctx.Err() != nil {
		return errors.New("asked with a context that is done")
	}
	return f.cause
}

func TestExplain(t *testing.T) {
	killed := errors.New("kube-apiserver ended: signal: killed")
	refused := errors.New("step 1: connection refused")
	named := fmt.Errorf("step 1: %w", killed)
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name    string
		cluster cluster.Cluster
		err     error
		want    string
		is      []error
	}{
		{"no error", fallen{cause: killed}, nil, "", nil},
		{"a cluster that cannot tell", struct{ cluster.Cluster }{}, refused, "step 1: connection refused", []error{refused}},
		{"a cluster that works", fallen{}, refused, "step 1: connection refused", []error{refused}},
		{"a cluster that failed", fallen{cause: killed}, refused,
			"the cluster failed: kube-apiserver ended: signal: killed\nwhich was met as: step 1: connection refused", []error{killed, refused}},
		{"named already", fallen{cause: killed}, named, "step 1: kube-apiserver ended: signal: killed", []error{killed}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := cluster.Explain(done, tt.cluster, tt.err)
			if tt.err == nil {
				if got != nil {
					t.Fatalf("got %v", got)
				}
				return
			}
			if got == nil || strings.TrimSpace(got.Error()) != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			for _, is := range tt.is {
				if !errors.Is(got, is) {
					t.Errorf("%q does not wrap %q", got, is)
				}
			}
		})
	}
}
