package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFitThenPredict fits real runs' logs and puts the model to use.
func TestFitThenPredict(t *testing.T) {
	model := filepath.Join(t.TempDir(), "model.json")
	const logs = "../../reports/costmodel/testdata/"
	do := func(args ...string) string {
		t.Helper()
		var out, problems bytes.Buffer
		if code := run(args, &out, &problems); code != exitOK {
			t.Fatalf("meshbench %s: exit code %d: %s", strings.Join(args, " "), code, problems.String())
		}
		return out.String()
	}
	text := do("fit", logs+"cost-model.jsonl", logs+"cost-model-headless.jsonl", "-o", model)
	for _, want := range []string{"A sidecar's memory", "R² 0.99", "published: real Envoy, 100 to 3,000 headless pods", "istiod's memory", model} {
		if !strings.Contains(text, want) {
			t.Errorf("fit does not say %q:\n%s", want, text)
		}
	}
	for _, figure := range []string{"model-residuals-sidecar.svg", "model-residuals-istiod-storm.svg"} {
		svg, err := os.ReadFile(filepath.Join(filepath.Dir(model), figure))
		if err != nil || !bytes.Contains(svg, []byte("</svg>")) {
			t.Errorf("%s: %v", figure, err)
		}
	}
	if text := do("predict", "--model", model, "--services", "20"); !strings.Contains(text, "Model: "+model) {
		t.Errorf("predict does not name the model:\n%s", text)
	}
}
