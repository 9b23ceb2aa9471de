package components

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestKnative(t *testing.T) {
	if !slices.Contains(KnativeVersions(), DefaultKnative) {
		t.Fatalf("the default %s is not among %v", DefaultKnative, KnativeVersions())
	}
	without, err := New(Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, release := range KnativeVersions() {
		s, err := New(Options{Root: t.TempDir(), Knative: release})
		if err != nil {
			t.Fatal(err)
		}
		if got := requires(t, "knative-"+release)["knative.dev/serving"]; got != "v"+release {
			t.Errorf("knative-%s.mod requires knative.dev/serving %s", release, got)
		}
		names := map[Name]bool{}
		for _, st := range s.List() {
			if strings.HasPrefix(string(st.Name), "knative-") {
				names[st.Name] = true
				if st.Version != release || st.Pinned != "knative.dev/serving@v"+release || !st.Needed {
					t.Errorf("%+v", st)
				}
			}
		}
		for _, n := range []Name{KnativeController, KnativeWebhook, KnativeAutoscaler, KnativeActivator, KnativeConfig} {
			if !names[n] {
				t.Errorf("with Knative Serving %s there is no %s", release, n)
			}
			if without.Has(n) {
				t.Errorf("without Knative Serving there is %s", n)
			}
		}
	}
	if _, err := New(Options{Root: t.TempDir(), Knative: "1.15.2"}); err == nil || !strings.Contains(err.Error(), DefaultKnative) {
		t.Errorf("got %v", err)
	}
}

// TestKnativeSharesModules: a third of the packages of Knative's programs are its own, the
// others are compiled for Kubernetes already.
func TestKnativeSharesModules(t *testing.T) {
	kube, knative := requires(t, "kubernetes-"+kubernetesRelease), requires(t, "knative-"+DefaultKnative)
	shared := 0
	for mod, v := range knative {
		switch other, ok := kube[mod]; {
		case !ok:
		case v != other:
			t.Errorf("%s is %s for Knative Serving and %s for Kubernetes", mod, v, other)
		default:
			shared++
		}
	}
	if shared < 50 {
		t.Errorf("only %d modules are shared", shared)
	}
}

// TestComponentOfTwoModules copies files of several modules into one folder.
func TestComponentOfTwoModules(t *testing.T) {
	dst := filepath.Join(t.TempDir(), "out")
	for i, f := range []moduleFiles{{paths: []string{"config/core"}}, {paths: []string{"config/image.yaml"}}} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "config", "core", "a.yaml"), "a\n")
		write(t, filepath.Join(dir, "config", "image.yaml"), "image\n")
		if err := f.copy(dir, dst, false); err != nil {
			t.Fatalf("module %d: %v", i, err)
		}
	}
	for _, f := range []string{"core/a.yaml", "image.yaml"} {
		if _, err := os.Stat(filepath.Join(dst, f)); err != nil {
			t.Error(err)
		}
	}
}
