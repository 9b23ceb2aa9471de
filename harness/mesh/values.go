package mesh

import (
	"errors"
	"fmt"
	"strconv"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/strvals"

	"github.com/meshbench/meshbench/internal/bounded"
)

// Layer is a set of chart values.
type Layer struct {
	// Name says where the values come from, for messages: the scenario, a file, a setting.
	Name string
	// Values are in the charts' own shape: {"pilot": {"env": {...}}}.
	Values map[string]any

	// node is the file's YAML; nil for values that are not of a file.
	node *yaml.Node
}

// place is where a value was given: the layer's name, and the line where it has lines.
func (l Layer) place(path []string) string {
	n := l.node
	line := 0
	if n != nil && n.Kind == yaml.DocumentNode {
		n = n.Content[0]
	}
	for _, key := range path {
		if n != nil && n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		if n == nil {
			break
		}
		next := (*yaml.Node)(nil)
		for i, child := range n.Content {
			switch {
			case n.Kind == yaml.MappingNode && i%2 == 0 && child.Value == key:
				next, line = n.Content[i+1], child.Line
			case n.Kind == yaml.SequenceNode && key == fmt.Sprintf("[%d]", i):
				next, line = child, child.Line
			}
		}
		n = next
	}
	if line == 0 {
		return l.Name
	}
	return fmt.Sprintf("%s:%d", l.Name, line)
}

// UpstreamEnvoyValues make istiod send only what an Envoy without Istio's own filters
// accepts: no istio.stats (the default telemetry provider), no istio.alpn, no
// metadata exchange. They are for clusters whose sidecars are upstream Envoy.
func UpstreamEnvoyValues() Layer {
	return Layer{Name: "upstream Envoy", Values: map[string]any{
		"telemetry": map[string]any{"enabled": false},
		"pilot": map[string]any{"env": map[string]any{
			"PILOT_ENABLE_ALPN_FILTER":       "false",
			"PILOT_ENABLE_METADATA_EXCHANGE": "false",
		}},
	}}
}

// baseValues are the lowest layer: which images, and one istiod for good. The chart's
// autoscaler would start a second istiod when a step's pushes use more than 80 % of half a
// CPU, and with it the number of pods and the control plane's cost would change inside a
// run. The pod disruption budget stays: it only matters to evictions, where it keeps the
// one istiod.
func baseValues(options Options) Layer {
	global := map[string]any{"hub": options.Hub, "tag": options.Version}
	if secret := options.PullSecret.Name; secret != "" {
		global["imagePullSecrets"] = []any{secret}
	}
	return Layer{Name: "meshbench", Values: map[string]any{
		"global": global,
		"pilot":  map[string]any{"autoscaleEnabled": false},
	}}
}

// baseChartValues are those of the values that the base chart knows. The rest is left
// out because charts from 1.24 on refuse what they do not know.
func baseChartValues(values map[string]any) map[string]any {
	known := map[string]any{}
	for _, key := range []string{"global", "base", "defaultRevision", "experimental", "profile", "compatibilityVersion", "revision"} {
		if value, ok := values[key]; ok {
			known[key] = value
		}
	}
	return known
}

// Merge lays later layers over earlier ones, as Helm does with several value files: maps
// are merged, everything else is replaced. The layers are left as they are.
func Merge(layers []Layer) map[string]any {
	merged := map[string]any{}
	for _, layer := range layers {
		overlay(merged, layer.Values)
	}
	return merged
}

func overlay(below, above map[string]any) {
	for key, value := range above {
		if table, ok := value.(map[string]any); ok {
			copied, ok := below[key].(map[string]any)
			if !ok {
				copied = map[string]any{}
			}
			overlay(copied, table)
			value = copied
		}
		below[key] = value
	}
}

// metadataAsText makes texts of the proxies' metadata, which are environment variables:
// of a number or a truth value there, as X=false is read, istiod says one line in its log
// and goes on without any of its mesh configuration.
func metadataAsText(values map[string]any) {
	below := func(values map[string]any, key string) map[string]any {
		table, _ := values[key].(map[string]any)
		return table
	}
	metadata := below(below(below(values, "meshConfig"), "defaultConfig"), "proxyMetadata")
	for key, value := range metadata {
		switch v := value.(type) {
		case float64: // of a YAML file, also where it is whole
			metadata[key] = strconv.FormatFloat(v, 'f', -1, 64)
		case bool, int, int64:
			metadata[key] = fmt.Sprint(v)
		}
	}
}

// CommandLine makes layers of what a user gave on the command line: YAML files with
// values, then settings in Helm's own notation (pilot.env.X=y). Later ones win and every
// setting wins over every file. All problems are returned at once.
func CommandLine(files, settings []string) ([]Layer, error) {
	var layers []Layer
	var problems []error
	for _, file := range files {
		text, err := bounded.File(file, bounded.OwnFile)
		var values chartutil.Values
		if err == nil {
			values, err = chartutil.ReadValues(text)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("mesh values %s: %w", file, err))
			continue
		}
		layer := Layer{Name: file, Values: values}
		var node yaml.Node
		if yaml.Unmarshal(text, &node) == nil {
			layer.node = &node
		}
		layers = append(layers, layer)
	}
	for _, setting := range settings {
		values, err := strvals.Parse(setting)
		if err != nil {
			problems = append(problems, fmt.Errorf("mesh value %q: %w: write it as pilot.env.NAME=value", setting, err))
			continue
		}
		layers = append(layers, Layer{Name: fmt.Sprintf("--mesh-set %s", setting), Values: values})
	}
	return layers, errors.Join(problems...)
}
