package sample

import (
	"errors"
	"net/http"
	"strings"
	"testing"
)

func TestLacksIstio(t *testing.T) {
	for text, want := range map[string]string{
		"virtualOutbound: Didn't find a registered implementation for 'istio.stats' with type URL: 'stats.PluginConfig'":                                             "no istio.stats,",
		"Didn't find a registered implementation for 'istio.alpn' with type URL: 'istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig'":                        "no istio.alpn,",
		"Didn't find a registered implementation for 'istio_authn' with type URL: ''":                                                                                "no istio_authn,",
		"Didn't find a registered implementation for 'istio.metadata_exchange' with type URL: 'envoy.tcp.metadataexchange.config.MetadataExchange'":                  "no metadata exchange,",
		"Unable to parse JSON as proto (INVALID_ARGUMENT: invalid value Invalid type URL, unknown type: io.istio.http.peer_metadata.Config for type Any)":            "no peer metadata,",
		"Failed to convert protobuf message to JSON string: NOT_FOUND: could not find @type 'type.googleapis.com/stats.PluginConfig'":                                "no istio.stats,",
		"Didn't find a registered implementation for 'envoy.filters.http.mine' with type URL: 'a.B'":                                                                 "",
		"Error adding/updating listener(s) 0.0.0.0_15001: '0.0.0.0_15001' has duplicate address '0.0.0.0:15001' as existing listener":                                "",
		"istio.stats: Proto constraint validation failed (field: definition): value is required":                                                                     "",
		"error initializing configuration 'bootstrap': Didn't find a registered implementation for 'envoy.bootstrap.workload_discovery' with type URL: 'istio.work'": "no workload discovery,",
	} {
		got := LacksIstio(text)
		if (got == "") != (want == "") || !strings.Contains(got, want) || want != "" && !strings.Contains(got, "--from images") {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Every reading of JSON says what was answered instead.
func TestAnswersThatAreNoJSON(t *testing.T) {
	const said = "Failed to convert protobuf message to JSON string: could not find @type 'type.googleapis.com/stats.PluginConfig'"
	w := newWorld(t)
	w.pods(istiodPod("istiod-0"))
	answer := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(said)) })
	w.listen(t, "ns1/a", envoyAdminPort, answer)
	w.listen(t, "istio-system/istiod-0", istiodMonitorPort, answer)
	s := w.sampler(t)
	pod := Pod{Namespace: "ns1", Name: "a"}
	for name, read := range map[string]func() error{
		"memory":      func() error { _, err := s.Envoy(t.Context(), pod); return err },
		"a dump":      func() error { _, err := s.dump(t.Context(), pod, "/config_dump", t.TempDir()+"/dump"); return err },
		"connections": func() error { _, err := s.Connections(t.Context()); return err },
	} {
		err := read()
		if err == nil || !errors.Is(err, errAnswer) || !strings.Contains(err.Error(), said) || strings.Contains(err.Error(), "invalid character") || !strings.Contains(err.Error(), "--from images") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for body, want := range map[string]string{
		`{"a": 1}`: "", ` [1]`: "", "": "empty", "<html>": `says "<html>"`, strings.Repeat("x", 5000): "xxx...",
	} {
		if err := notJSON([]byte(body)); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.10q: %v", body, err)
		}
	}
}
