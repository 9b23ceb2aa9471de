package alias

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// plain are fields whose texts are words of the API, and never names.
func plain() []string {
	return []string{
		"apiVersion", "kind", "@type", "type_url", "typeUrl", "type", "protocol", "appProtocol", "addressType", "resolution", "location", "mode", "operator", "group",
		"ipFamilyPolicy", "ipFamilies", "sessionAffinity", "internalTrafficPolicy", "trafficDistribution", "podManagementPolicy", "clusterIP", "applyTo", "operation",
		"context", "proxyVersion", "minProtocolVersion", "maxProtocolVersion", "tlsVersion", "cipherSuites", "ecdhCurves", "policyType", "localityLbSetting",
		"action", "phase", "simple", "h2UpgradePolicy", "controllerName", "failStrategy", "pluginConfigMode", "imagePullPolicy", "logLevel", "componentLogLevel",
	}
}

// labelled are fields that hold labels by their keys, and keyed fields whose keys are names of
// another kind.
func labelled() []string {
	return []string{"labels", "matchLabels", "selector", "sourceLabels", "nodeSelector", "podLabels"}
}

func keyed() []string {
	return []string{"headers", "withoutHeaders", "queryParams", "set", "add", "meshNetworks", "customTags", "claimToHeaders", "tagOverrides"}
}

// expressions are fields with a language of their own, in which only known names are replaced.
func expressions() []string {
	return []string{"expression", "inclusionPrefixes", "inclusionRegexps", "inclusionSuffixes", "celExpression"}
}

// code are fields with programs. Their length is all that a proxy is to keep.
func code() []string { return []string{"inlineCode", "inline_code", "source_code"} }

// behaviour are labels whose values decide what Istio does, or say where a machine is.
func behaviour(key string) bool {
	switch key {
	case "istio-injection", "istio.io/rev", "istio.io/tag", "sidecar.istio.io/inject", "istio.io/dataplane-mode", "istio.io/waypoint-for", "istio-locality",
		"gateway.istio.io/managed", "networking.istio.io/gatewayPort", "kubernetes.io/os", "kubernetes.io/arch", "node.kubernetes.io/instance-type",
		"kubernetes.io/cluster-service", "security.istio.io/tlsMode":
		return true
	}
	return strings.HasPrefix(key, "topology.kubernetes.io/") || strings.HasPrefix(key, "failure-domain.beta.kubernetes.io/")
}

// publicDomains end the prefixes of keys that are no user's own.
func publicDomains() []string {
	return []string{"kubernetes.io", "k8s.io", "istio.io", "x-k8s.io", "helm.sh", "prometheus.io", "eks.amazonaws.com", "meshbench.dev", "knative.dev", "gke.io", "azure.com"}
}

// Key gives the key of a label or an annotation an alias, if it is a user's own.
func (n *Names) Key(key string) string {
	prefix, name, ok := strings.Cut(key, "/")
	if !ok {
		return n.Name(key)
	}
	for _, domain := range publicDomains() {
		if prefix == domain || strings.HasSuffix(prefix, "."+domain) {
			n.Keep(key)
			return key
		}
	}
	return n.Name(prefix) + "/" + n.Name(name)
}

// Label gives the value of a label an alias, unless Istio's behaviour depends on it.
func (n *Names) Label(key, value string) string {
	if behaviour(key) {
		n.Keep(value)
		return value
	}
	return n.Name(value)
}

// Keep notes the words of a text that stays, so that they are no leaks.
func (n *Names) Keep(s string) {
	for _, word := range words.FindAllString(s, -1) {
		n.kept[word] = true
	}
}

// Object gives the names in an object of the API, or in Helm values, aliases. The value is copied.
func (n *Names) Object(value map[string]any) map[string]any {
	return n.value(value, place{}).(map[string]any)
}

// place is where a value stands: the field, and the two that its table stands in.
type place struct{ field, above, aboveAbove string }

func (n *Names) value(value any, at place) any {
	switch v := value.(type) {
	case map[string]any:
		return n.table(v, at)
	case map[string]string:
		all := make(map[string]any, len(v))
		for k, s := range v {
			all[k] = s
		}
		return n.table(all, at)
	case []any:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = n.value(item, at)
		}
		return all
	case []string:
		all := make([]any, len(v))
		for i, item := range v {
			all[i] = n.value(item, at)
		}
		return all
	case string:
		return n.string(v, at)
	}
	return value
}

func (n *Names) table(v map[string]any, at place) map[string]any {
	renamed := make(map[string]any, len(v))
	for _, key := range sorted(v) {
		item, to := v[key], key
		text, isText := item.(string)
		switch {
		case isText && slices.Contains(labelled(), at.field):
			to, item = n.Key(key), n.Label(key, text)
		case isText && (at.field == "annotations" || at.field == "injectedAnnotations"):
			to, item = n.Key(key), n.annotation(key, text)
		case slices.Contains(keyed(), at.field):
			to, item = n.Name(key), n.value(item, place{key, at.field, at.above})
		case key == "key" && v["operator"] != nil && isText: // of a label's expression
			to, item = "key", n.Key(text)
			n.Keep("key")
		case key == "values" && v["operator"] != nil && v["key"] != nil:
			label, _ := v["key"].(string)
			item = n.labels(label, item)
			n.Keep("values")
		case key == "sha256" && isText:
			mac := hmac.New(sha256.New, n.key)
			mac.Write([]byte(text))
			item = hex.EncodeToString(mac.Sum(nil))
			n.Keep(key)
		default:
			n.Keep(key)
			item = n.value(item, place{key, at.field, at.above})
		}
		renamed[to] = item
	}
	return renamed
}

// labels are the values of a label.
func (n *Names) labels(key string, values any) any {
	list, _ := values.([]any)
	all := make([]any, len(list))
	for i, v := range list {
		all[i] = v
		if text, ok := v.(string); ok {
			all[i] = n.Label(key, text)
		}
	}
	return all
}

func (n *Names) string(s string, at place) string {
	within := func(fields []string) bool {
		return slices.Contains(fields, at.field) || slices.Contains(fields, at.above)
	}
	switch {
	case slices.Contains(plain(), at.field) || at.above == "localityLbSetting" || at.above == "distribute" || at.above == "failover" || at.field == "failover":
		n.Keep(s)
		return s
	case at.field == "image" && s == "auto":
		return s
	case at.field == "targetPort" || at.field == "name" && (at.above == "ports" || at.above == "port"):
		return n.PortName(s)
	case at.field == "regex" || at.field == "safe_regex" || at.field == "google_re2":
		return n.Regexp(s)
	case within(expressions()) || at.field == "value" && at.aboveAbove == "tagOverrides":
		return n.Known(s)
	case slices.Contains(code(), at.field):
		return "--" + strings.Repeat("x", max(0, len(s)-2))
	}
	return n.Text(s)
}

// annotation gives the names in an annotation's value aliases. Those of Istio have words that it
// depends on, and names only where they are known.
func (n *Names) annotation(key, value string) string {
	prefix, _, _ := strings.Cut(key, "/")
	switch {
	case key == "proxy.istio.io/config":
		var config map[string]any
		if yaml.Unmarshal([]byte(value), &config) != nil {
			return ""
		}
		n.Object(config) // all its names are known then
		return n.Known(value)
	case key == "networking.istio.io/exportTo":
		return n.Name(value)
	case key == "inject.istio.io/templates", key == "istio.io/rev":
		n.Keep(value)
		return value
	case prefix == "istio.io" || strings.HasSuffix(prefix, ".istio.io"):
		return n.Known(value)
	}
	return n.Name(value)
}

func sorted(v map[string]any) []string {
	keys := make([]string, 0, len(v))
	for k := range v {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
