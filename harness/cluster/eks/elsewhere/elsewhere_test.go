package elsewhere

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/harness/cluster"
)

// Whatever is asked for, the answer is how to get it, as an error of the command line.
func TestSource(t *testing.T) {
	s := &Source{}
	ctx := context.Background()
	for name, call := range map[string]func() error{
		"check":     func() error { return s.Check(ctx, cluster.Request{}) },
		"new":       func() error { _, err := s.New(ctx, cluster.Request{}); return err },
		"list":      func() error { _, err := s.List(ctx); return err },
		"delete":    func() error { return s.Delete(ctx, "x") },
		"sweep":     func() error { return s.Sweep(ctx) },
		"leftovers": func() error { _, err := s.Leftovers(ctx, ""); return err },
		"remove":    func() error { return s.Remove(ctx, nil, nil) },
	} {
		err := call()
		var option *cluster.OptionError
		if !errors.As(err, &option) || !strings.Contains(err.Error(), "run `make eks`") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
