package kind

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/kind/pkg/apis/config/v1alpha4"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench"
	"github.com/meshbench/meshbench/harness/cluster"
)

// config is kind's own configuration of a cluster.
type config = v1alpha4.Cluster

// config is the configuration for a cluster with a worker for every node that the run has
// at one time.
func (p *provider) config(spec cluster.Spec) (*config, error) {
	text := p.Config
	if text == nil {
		text = meshbench.KindConfig
	}
	var c config
	if err := yaml.UnmarshalStrict(text, &c); err != nil {
		return nil, fmt.Errorf("read the kind configuration: %w", err)
	}
	const kindWord, version = "Cluster", "kind.x-k8s.io/v1alpha4"
	if c.Kind != kindWord || c.APIVersion != version {
		return nil, fmt.Errorf("the kind configuration is of kind %q, apiVersion %q: write %q, %q", c.Kind, c.APIVersion, kindWord, version)
	}
	v1alpha4.SetDefaultsCluster(&c)
	c.Name = spec.Name
	isWorker := func(n v1alpha4.Node) bool { return n.Role == v1alpha4.WorkerRole }
	planes := slices.DeleteFunc(slices.Clone(c.Nodes), isWorker)
	if len(planes) == 0 {
		return nil, errors.New("the kind configuration has no node of role control-plane: add one")
	}
	template := v1alpha4.Node{Role: v1alpha4.WorkerRole, Image: planes[0].Image}
	if i := slices.IndexFunc(c.Nodes, isWorker); i >= 0 {
		template = c.Nodes[i]
	}
	for workers(&c) < needed(spec) {
		c.Nodes = append(c.Nodes, template)
	}
	if p.NodeImage != "" {
		for i := range c.Nodes {
			c.Nodes[i].Image = p.NodeImage
		}
	}
	return &c, nil
}

// needed is the number of workers that a run needs.
func needed(spec cluster.Spec) int {
	return max(1, cluster.Nodes(spec.Nodes), spec.MostNodes)
}

// workers counts the workers of a configuration.
func workers(c *config) int {
	n := 0
	for _, node := range c.Nodes {
		if node.Role == v1alpha4.WorkerRole {
			n++
		}
	}
	return n
}

// nodeImages are the different node images of a configuration.
func nodeImages(c *config) []string {
	var images []string
	for _, n := range c.Nodes {
		if !slices.Contains(images, n.Image) {
			images = append(images, n.Image)
		}
	}
	return images
}

// shape tells configurations apart in everything but their name and their number of
// workers.
func shape(c *config) string {
	bare := *c
	bare.Name = ""
	bare.Nodes = nil
	seen := map[string]bool{}
	for _, n := range c.Nodes {
		text, _ := json.Marshal(n)
		if n.Role != v1alpha4.WorkerRole || !seen[string(text)] {
			seen[string(text)] = true
			bare.Nodes = append(bare.Nodes, n)
		}
	}
	text, _ := json.Marshal(bare) // plain data
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
