package light

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

// FuzzProxyConfig reads a pod's annotation and a mesh's default: laid over twice it is as once,
// and what it does not name stays.
func FuzzProxyConfig(f *testing.F) {
	f.Add("concurrency: 4\nproxyMetadata: {A: b}\nextraStatTags: [x]\n", "{}")
	f.Add(`{"holdApplicationUntilProxyStarts": true, "statNameLength": 10}`, "discoveryAddress: a:1")
	f.Add("a: &a [*a]", "drainDuration: 5s")
	f.Fuzz(func(t *testing.T, annotation, environment string) {
		p := web()
		p.Annotations[proxyConfigAnnotation] = annotation
		p.Env = append(p.Env, "PROXY_CONFIG="+environment)
		s, err := p.read()
		if err != nil {
			return
		}
		if _, err := p.node(s); err != nil {
			return
		}
		once := proto.Clone(s.proxyConfig)
		if err := merge(s.proxyConfig, annotation); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(once, s.proxyConfig) {
			t.Errorf("laid over once: %v\ntwice: %v", once, s.proxyConfig)
		}
	})
}

// FuzzHandler asks the process that speaks for light proxies anything but to speak for one: it
// answers, and goes on to answer.
func FuzzHandler(f *testing.F) {
	f.Add("PUT", hostsPath, []byte(`{"istiod.istio-system.svc": ["10.0.0.1"]}`))
	f.Add("PUT", proxiesPath+"/1/token", []byte(`"token"`))
	f.Add("GET", proxiesPath+"/1", []byte(nil))
	f.Add("DELETE", proxiesPath+"/1", []byte(nil))
	f.Add("GET", acknowledgedPath+"?type=x&name=y&since=2026-11-30T20:00:00Z", []byte(nil))
	f.Add("PUT", watchesPath+"?type=x&name=y", []byte(nil))
	f.Add("POST", statePath, []byte("x"))
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		if method == http.MethodPost || strings.Contains(path, changesPath) {
			return // a connection to istiod; a stream
		}
		request, err := http.NewRequestWithContext(t.Context(), method, "http://peer"+path, strings.NewReader(string(body)))
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		handler := newServer(t.Context()).handler()
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, request)
		if answer.Code == http.StatusInternalServerError && strings.TrimSpace(answer.Body.String()) == "" {
			t.Error("an error without words")
		}
		state := httptest.NewRecorder()
		handler.ServeHTTP(state, httptest.NewRequest(http.MethodGet, "http://peer"+statePath, nil))
		if state.Code != http.StatusOK {
			t.Errorf("after %s %q it answers %d: %s", method, path, state.Code, state.Body)
		}
	})
}
