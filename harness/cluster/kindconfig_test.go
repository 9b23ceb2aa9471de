package cluster

import (
	"os"
	"testing"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"
)

// TestKindConfig holds the top-level kind-config.yaml against kind's own types, and
// its pod limit against the largest scenario's pods on one worker.
func TestKindConfig(t *testing.T) {
	text, err := os.ReadFile("../../kind-config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config v1alpha4.Cluster
	if err := yaml.UnmarshalStrict(text, &config); err != nil {
		t.Fatal(err)
	}
	if len(config.Nodes) < 2 {
		t.Errorf("%d nodes, want a worker beside the control plane", len(config.Nodes))
	}
	var kubelet struct{ MaxPods int }
	for _, patch := range config.KubeadmConfigPatches {
		if err := yaml.Unmarshal([]byte(patch), &kubelet); err != nil {
			t.Fatal(err)
		}
	}
	if kubelet.MaxPods < 244 {
		t.Errorf("the kubelet takes %d pods, want room for the 244 of eks-nginx", kubelet.MaxPods)
	}
}
