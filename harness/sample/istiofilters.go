package sample

import (
	"fmt"
	"regexp"
	"strings"
)

// istioExtensions are what istio/proxy adds to Envoy (source/extensions and src, from 1.15
// to 1.31, and bazel/extension_config since it is in Envoy's contrib), by what they are
// called in configuration or their configuration's type is.
var istioExtensions = []struct {
	name  string
	words []string
}{
	{"istio.stats", []string{"istio.stats", "stats.PluginConfig", "envoy.filters.http.istio_stats"}},
	{"istio.alpn", []string{"istio.alpn", "istio.envoy.config.filter.http.alpn", "envoy.filters.http.alpn"}},
	{"istio_authn", []string{"istio_authn", "istio.authn", "istio.envoy.config.filter.http.authn"}},
	{"peer metadata", []string{"istio.peer_metadata", "io.istio.http.peer_metadata", "envoy.filters.http.peer_metadata", "envoy.filters.network.peer_metadata", "waypoint_peer_metadata"}},
	{"metadata exchange", []string{"istio.metadata_exchange", "envoy.filters.network.metadata_exchange", "envoy.filters.network.upstream.metadata_exchange", "envoy.tcp.metadataexchange"}},
	{"workload discovery", []string{"envoy.bootstrap.workload_discovery", "istio.workload.BootstrapExtension"}},
	{"connect_authority", []string{"io.istio.http.connect_authority", "io.istio.connect_authority"}},
	{"connect_baggage", []string{"io.istio.http.connect_baggage"}},
	{"set_internal_dst_address", []string{"istio.set_internal_dst_address"}},
	{"tls_passthrough", []string{"istio.tls_passthrough"}},
	{"stackdriver", []string{"stackdriver.config", "accesslogpolicy.config"}},
}

// unknownWords are how Envoy says that it has no such extension or type: when it takes
// configuration, and when it prints it as JSON.
var unknownWords = regexp.MustCompile(`(?i)didn't find a registered implementation|could not find @type|invalid type url|unknown type|unable to (?:find|resolve)|no such type|invalid value for any|failed to (?:resolve|find|convert|serialize|print)|could not resolve`)

// LacksIstio says, in one sentence, which of Istio's own extensions a text of Envoy says
// that it does not have; "" where it says something else. Upstream Envoy has none of them.
func LacksIstio(text string) string {
	if !unknownWords.MatchString(text) {
		return ""
	}
	for _, x := range istioExtensions {
		for _, word := range x.words {
			if strings.Contains(text, word) {
				return fmt.Sprintf("this Envoy has no %s, which is of Istio's own build of Envoy: use --from images", x.name)
			}
		}
	}
	return ""
}

// answerLength is how much of an unexpected answer is quoted, in bytes.
const answerLength = 300

// notJSON is the error for an answer that ought to be JSON and is not: what it says instead.
// None is nil.
func notJSON(body []byte) error {
	text := strings.TrimSpace(string(body[:min(len(body), 4*answerLength)]))
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		return nil
	}
	if text == "" {
		return fmt.Errorf("%w: it is empty", errAnswer)
	}
	if lacks := LacksIstio(text); lacks != "" {
		return fmt.Errorf("%w: %s; it says %q", errAnswer, lacks, shortened(text))
	}
	return fmt.Errorf("%w: it is no JSON but says %q", errAnswer, shortened(text))
}

func shortened(text string) string {
	if len(text) <= answerLength {
		return text
	}
	return strings.ToValidUTF8(text[:answerLength], "") + "..."
}
