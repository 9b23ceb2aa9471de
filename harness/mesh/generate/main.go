// Command generate writes the facts about the pinned versions of Istio, package meshfacts,
// which it reads from the modules istio.io/istio and istio.io/api of each. It downloads
// those that are not in the module cache. Run it with make generate.
package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(context.Background(), "harness/components/modules", "meshfacts/data"); err != nil {
		fmt.Fprintln(os.Stderr, "cannot generate facts:", err)
		os.Exit(1)
	}
}

// run writes the facts of every version that is pinned in the folder locks.
func run(ctx context.Context, locks, to string) error {
	versions, err := pinned(locks)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return fmt.Errorf("make the folder of facts: %w", err)
	}
	for _, v := range versions {
		text, err := v.read(ctx)
		if err != nil {
			return fmt.Errorf("read Istio %s: %w", v.istio, err)
		}
		if err := os.WriteFile(filepath.Join(to, v.istio+".json"), text, 0o644); err != nil {
			return fmt.Errorf("write facts: %w", err)
		}
		fmt.Println(v.istio, len(text), "bytes")
	}
	return nil
}
