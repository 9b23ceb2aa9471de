package mesh

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/strvals"
)

// Layer is a set of chart values.
type Layer struct {
	// Name says where the values come from, for messages: the scenario, a file, a setting.
	Name string
	// Values are in the charts' own shape: {"pilot": {"env": {...}}}.
	Values map[string]any
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
	return Layer{Name: "meshbench", Values: map[string]any{
		"global": map[string]any{"hub": options.Hub, "tag": options.Version},
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

// checkUsed refuses values that no template of the charts mentions: Helm ignores them, and
// a misspelt option would be measured as if it had no effect. Only the first level and
// what is below pilot can be told; other tables are handed on whole.
func checkUsed(layers []Layer, charts ...*chart.Chart) error {
	var text strings.Builder
	for _, c := range charts {
		for _, f := range slices.Concat(c.Templates, c.Files) {
			text.Write(f.Data)
		}
	}
	templates := text.String()
	// Charts from 1.24 on copy what is below pilot to the first level before using it.
	flattened := strings.Contains(templates, `(index $.Values "pilot")`)
	used := func(name string) bool { return strings.Contains(templates, "Values."+name) }
	var problems []error
	for _, layer := range layers {
		pilot, _ := layer.Values["pilot"].(map[string]any)
		for prefix, values := range map[string]map[string]any{"": layer.Values, "pilot.": pilot} {
			for _, key := range slices.Sorted(maps.Keys(values)) {
				if !used(prefix+key) && !(flattened && (prefix+key == "pilot" || prefix != "" && used(key))) {
					problems = append(problems, fmt.Errorf("%s: no template of Istio's charts uses the value %s%s: check its spelling", layer.Name, prefix, key))
				}
			}
		}
	}
	return errors.Join(problems...)
}

// merge lays later layers over earlier ones, as Helm does with several value files: maps
// are merged, everything else is replaced. The layers are left as they are.
func merge(layers []Layer) map[string]any {
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
		values, err := chartutil.ReadValuesFile(file)
		if err != nil {
			problems = append(problems, fmt.Errorf("mesh values %s: %w", file, err))
			continue
		}
		layers = append(layers, Layer{Name: "mesh values " + file, Values: values})
	}
	for _, setting := range settings {
		values, err := strvals.Parse(setting)
		if err != nil {
			problems = append(problems, fmt.Errorf("mesh value %q: %w: write it as pilot.env.NAME=value", setting, err))
			continue
		}
		layers = append(layers, Layer{Name: fmt.Sprintf("mesh value %q", setting), Values: values})
	}
	return layers, errors.Join(problems...)
}
