package sample

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	labelset "github.com/prometheus/prometheus/model/labels"

	"github.com/meshbench/meshbench/observations"
)

// stand stands in for a Prometheus: it keeps what it is given to scrape and answers the two
// forms of query that are asked. The real program is asked in e2e/prometheus_test.go.
type stand struct {
	*httptest.Server
	begin time.Time     // what is scraped was age before
	ahead time.Duration // of its clock
	warns []string
	token string // asked for; "" for none

	mu     sync.Mutex
	series map[string]*model.SampleStream
}

func newStand(t *testing.T) *stand {
	s := &stand{begin: time.Now(), series: map[string]*model.SampleStream{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

// scrape takes in a page of metrics as it was age ago, with further labels; counters have gone
// on by more since.
func (s *stand) scrape(t *testing.T, page string, age time.Duration, more float64, labels model.LabelSet) {
	t.Helper()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, f := range families {
		for _, m := range f.Metric {
			metric := model.Metric{model.MetricNameLabel: model.LabelValue(name)}
			for _, l := range m.Label {
				if l.GetValue() != "" { // an empty label is none
					metric[model.LabelName(l.GetName())] = model.LabelValue(l.GetValue())
				}
			}
			maps.Copy(metric, model.Metric(labels))
			v := value(m)
			if m.Counter != nil {
				v += more
			}
			key := metric.String()
			if s.series[key] == nil {
				s.series[key] = &model.SampleStream{Metric: metric}
			}
			s.series[key].Values = append(s.series[key].Values, model.SamplePair{Timestamp: model.TimeFromUnixNano(s.begin.Add(-age).UnixNano()), Value: model.SampleValue(v)})
		}
	}
}

// ServeHTTP answers /api/v1/query.
func (s *stand) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if s.token != "" && req.Header.Get("Authorization") != "Bearer "+s.token {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if req.URL.Path != "/prom/api/v1/query" {
		http.NotFound(w, req)
		return
	}
	at := time.Now().Add(s.ahead)
	if text := req.FormValue("time"); text != "" {
		seconds, err := strconv.ParseFloat(text, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		at = time.UnixMilli(int64(seconds * 1000))
	}
	now := model.TimeFromUnixNano(at.UnixNano())
	answer := map[string]any{}
	if query := req.FormValue("query"); query == "time()" {
		answer["resultType"], answer["result"] = "scalar", model.Scalar{Timestamp: now, Value: model.SampleValue(now.Unix())}
	} else {
		found, err := s.selected(query, now)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer["resultType"], answer["result"] = "matrix", found
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"status": "success", "data": answer, "warnings": s.warns})
}

// selector and matcher are the forms of a range selector and of one of its matchers.
var (
	selector = regexp.MustCompile(`^(\w+)\{(.*)\}\[(\d+)s\]$`)
	matcher  = regexp.MustCompile(`(\w+)(=~|!=|=)("[^"]*")`)
)

func (s *stand) selected(query string, now model.Time) (model.Matrix, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := model.Matrix{}
	by := selector.FindStringSubmatch(query)
	if by == nil {
		return nil, fmt.Errorf("no range selector: %s", query)
	}
	back, err := time.ParseDuration(by[3] + "s")
	if err != nil {
		return nil, err
	}
	matchers := []*labelset.Matcher{labelset.MustNewMatcher(labelset.MatchEqual, "__name__", by[1])}
	for _, m := range matcher.FindAllStringSubmatch(by[2], -1) {
		value, err := strconv.Unquote(m[3])
		if err != nil {
			return nil, err
		}
		kind := map[string]labelset.MatchType{"=": labelset.MatchEqual, "!=": labelset.MatchNotEqual, "=~": labelset.MatchRegexp}[m[2]]
		matchers = append(matchers, labelset.MustNewMatcher(kind, m[1], value))
	}
	for _, key := range slices.Sorted(maps.Keys(s.series)) {
		one := s.series[key]
		matches := true
		for _, m := range matchers {
			matches = matches && m.Matches(string(one.Metric[model.LabelName(m.Name)]))
		}
		var values []model.SamplePair
		for _, v := range one.Values {
			if v.Timestamp.After(now.Add(-back)) && !v.Timestamp.After(now) {
				values = append(values, v)
			}
		}
		if matches && len(values) > 0 {
			found = append(found, &model.SampleStream{Metric: one.Metric, Values: values})
		}
	}
	return found, nil
}

// sampler reads from the stand.
func (s *stand) sampler(t *testing.T, match map[string]string) *Sampler {
	t.Helper()
	sampler := newWorld(t).sampler(t)
	if err := sampler.ReadFrom(Source{Through: observations.ThroughPrometheus, Prometheus: Prometheus{URL: s.URL + "/prom/", Match: match}}); err != nil {
		t.Fatal(err)
	}
	return sampler
}

// cadvisorPage is in the form of the /metrics/cadvisor of a kind node (cgroups of containerd
// below kubelet.slice), written for this test after pages that others have recorded, and with
// a pause container as dockershim named it besides.
func cadvisorPage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "cadvisor.txt"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// cadvisorPods are the pods of that page, and one that it knows nothing of. One pod that it
// does know is missing.
func cadvisorPods() []Pod {
	return []Pod{
		{Namespace: "istio-system", Name: "istiod-7d5f9c6c8b-x2k4p", Node: "kind-worker", Workload: "istio-system/istiod", istiod: true},
		{Namespace: "ns1", Name: "test-7955cf7657-8zbn8", Node: "kind-worker", Workload: "ns1/test", RealProxy: true, Process: "containerd://a"},
		{Namespace: "ns1", Name: "young", Node: "kind-worker", Workload: "ns1/test", RealProxy: true},
	}
}

// kubelet are the labels that a scrape of a kubelet adds.
func kubelet(job, path string) model.LabelSet {
	return model.LabelSet{"job": model.LabelValue(job), "metrics_path": model.LabelValue(path), "instance": "172.18.0.3:10250", "node": "kind-worker"}
}

// byName are readings as container to memory in bytes.
func byName(usage []observations.Usage) map[string]int64 {
	found := map[string]int64{}
	for _, u := range usage {
		found[u.Namespace+"/"+u.Pod+"/"+u.Container] = u.MemoryBytes
	}
	return found
}

// all are the containers of the page that the sampler's pods have: no row of a pod's cgroup, of
// a pause container, or of a pod that is not known.
var all = map[string]int64{
	"istio-system/istiod-7d5f9c6c8b-x2k4p/discovery": 61648896,
	"ns1/test-7955cf7657-8zbn8/istio-proxy":          41861120,
	"ns1/test-7955cf7657-8zbn8/nginx":                3129344,
}

func TestPrometheus(t *testing.T) {
	s := newStand(t)
	page := cadvisorPage(t)
	for i, age := range []time.Duration{40, 25, 10} {
		s.scrape(t, page, age*time.Second, float64(i)*0.03, kubelet("kubelet", "/metrics/cadvisor"))
	}
	sampler := s.sampler(t, nil)
	sampler.MarkWitness("containerd://a")
	usage, err := sampler.Usage(t.Context(), cadvisorPods())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, byName(usage)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, u := range usage {
		// 0.03 s of CPU in 15 s are 2 millicores.
		if age := time.Since(u.Measured); age < 10*time.Second || age > 25*time.Second || u.Window != 15*time.Second || u.CPUNano < 1999e3 || u.CPUNano > 2001e3 {
			t.Errorf("%s: measured %s ago, %d nanocores in %s", u.Container, age, u.CPUNano, u.Window)
		}
		if proxy := u.Container == observations.SidecarContainer; u.Witness != proxy || u.Workload == "" || u.Node != "kind-worker" {
			t.Errorf("of %s: %+v", u.Container, u)
		}
	}
	if name := sampler.Reader(); name != "Prometheus (a sample each 15 s)" {
		t.Errorf("the source is called %q", name)
	}
	found, err := sampler.source.of(t.Context(), cadvisorPods()[0])
	if err != nil || len(found) != 1 || found[0].memoryBytes != 61648896 || found[0].cpuSeconds < 12.46 {
		t.Errorf("istiod alone: %+v, %v", found, err)
	}
}

// TestPrometheusRows: which of several rows for one container counts, and when none does.
func TestPrometheusRows(t *testing.T) {
	page := cadvisorPage(t)
	// The same kubelet's other page.
	var resource []string
	for _, kind := range []string{"container_memory_working_set_bytes", "container_cpu_usage_seconds_total"} {
		resource = append(resource, kind+`{container="istio-proxy",namespace="ns1",pod="test-7955cf7657-8zbn8"} 41861120`)
	}
	renamed := func(from, to string) string { return strings.ReplaceAll(page, from, to) }
	cadvisor := kubelet("kubelet", "/metrics/cadvisor")
	const proxy = "ns1/test-7955cf7657-8zbn8/istio-proxy"
	tests := map[string]struct {
		scrape func(*testing.T, *stand)
		match  map[string]string
		want   map[string]int64
		fails  []string // what the error says
	}{
		"two jobs": {
			scrape: func(t *testing.T, s *stand) {
				for _, age := range []time.Duration{20, 5} {
					s.scrape(t, page, age*time.Second, 0, cadvisor)
					s.scrape(t, page, age*time.Second, 0, kubelet("kubernetes-nodes-cadvisor", "/metrics/cadvisor"))
				}
			},
			fails: []string{"two values for container", "of the jobs kubelet and kubernetes-nodes-cadvisor", "--prometheus-job"},
		},
		"two jobs, one chosen": {
			scrape: func(t *testing.T, s *stand) {
				for _, age := range []time.Duration{20, 5} {
					s.scrape(t, page, age*time.Second, 0, cadvisor)
					s.scrape(t, renamed("41861120", "1"), age*time.Second, 0, kubelet("other", "/metrics/cadvisor"))
				}
			},
			match: map[string]string{"job": "kubelet"}, want: all,
		},
		"two pages of one job": {
			scrape: func(t *testing.T, s *stand) {
				for _, age := range []time.Duration{20, 5} {
					s.scrape(t, page, age*time.Second, 0, cadvisor)
					s.scrape(t, strings.Join(resource, "\n")+"\n", age*time.Second, 0, kubelet("kubelet", "/metrics/resource"))
				}
			},
			fails: []string{`of job kubelet, with the labels metrics_path="/metrics/cadvisor" and metrics_path="/metrics/resource"`, "--prometheus-match metrics_path=VALUE"},
		},
		"two clusters": {
			scrape: func(t *testing.T, s *stand) {
				for _, age := range []time.Duration{20, 5} {
					for _, cluster := range []model.LabelValue{"a", "b"} {
						labels := kubelet("kubelet", "/metrics/cadvisor")
						labels["cluster"] = cluster
						s.scrape(t, page, age*time.Second, 0, labels)
					}
				}
			},
			fails: []string{`cluster="a" and cluster="b"`, "--prometheus-match cluster=VALUE"},
		},
		"a restarted container": { // Prometheus goes on telling of the one before
			scrape: func(t *testing.T, s *stand) {
				for _, age := range []time.Duration{50, 35, 20} {
					s.scrape(t, renamed("41861120", "90000000"), age*time.Second, 0, cadvisor)
				}
				s.scrape(t, renamed("4b18b32dbff5", "ffffffffffff"), 5*time.Second, 0, cadvisor)
			},
			want: all,
		},
		"a pod made again on another node": {
			scrape: func(t *testing.T, s *stand) {
				for _, age := range []time.Duration{50, 35, 20} {
					s.scrape(t, renamed("41861120", "90000000"), age*time.Second, 0, cadvisor)
				}
				labels := kubelet("kubelet", "/metrics/cadvisor")
				labels["instance"], labels["node"] = "172.18.0.4:10250", "kind-worker2"
				s.scrape(t, page, 5*time.Second, 0, labels)
			},
			want: all,
		},
		"samples of two intervals ago": {
			scrape: func(t *testing.T, s *stand) {
				for _, age := range []time.Duration{61, 46, 31} {
					s.scrape(t, page, age*time.Second, 0, cadvisor)
				}
			},
			want: map[string]int64{},
		},
		"of one container": {
			scrape: func(t *testing.T, s *stand) {
				for _, age := range []time.Duration{61, 46, 31} {
					s.scrape(t, page, age*time.Second, 0, cadvisor)
				}
				s.scrape(t, renamed(`container="istio-proxy"`, `container="POD"`), 16*time.Second, 0, cadvisor)
				s.scrape(t, renamed(`container="istio-proxy"`, `container="POD"`), time.Second, 0, cadvisor)
			},
			want: func() map[string]int64 { others := maps.Clone(all); delete(others, proxy); return others }(),
		},
		"a long interval": { // it is the samples' own, not what others use
			scrape: func(t *testing.T, s *stand) {
				for _, age := range []time.Duration{230, 170, 110} {
					s.scrape(t, page, age*time.Second, 0, cadvisor)
				}
			},
			want: all,
		},
		"one sample": {
			scrape: func(t *testing.T, s *stand) { s.scrape(t, page, time.Second, 0, cadvisor) },
			fails:  []string{"one sample of each container only"},
		},
		"none": {
			scrape: func(*testing.T, *stand) {},
			fails:  []string{`no sample of container_memory_working_set_bytes{namespace=~"istio-system|ns1"`, "/metrics/cadvisor or /metrics/resource"},
		},
		"another clock": {
			scrape: func(_ *testing.T, s *stand) { s.ahead = -40 * time.Second },
			fails:  []string{"its clock is 40s from this machine's"},
		},
		"a part of an answer": {
			scrape: func(_ *testing.T, s *stand) { s.warns = []string{"store b did not answer"} },
			fails:  []string{"it warns of its answer: store b did not answer"},
		},
		"a stranger": {
			scrape: func(_ *testing.T, s *stand) { s.token = "secret" },
			fails:  []string{"401", "who are you?"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newStand(t)
			test.scrape(t, s)
			usage, err := s.sampler(t, test.match).Usage(t.Context(), cadvisorPods())
			if len(test.fails) > 0 {
				for _, want := range append(test.fails, "ask Prometheus at "+s.URL) {
					if err == nil || !strings.Contains(err.Error(), want) {
						t.Errorf("error %v, want %s", err, want)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, byName(usage)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestPrometheusCPU: a process that has one sample of CPU has no CPU yet.
func TestPrometheusCPU(t *testing.T) {
	s := newStand(t)
	page := cadvisorPage(t)
	for _, age := range []time.Duration{40, 25} {
		s.scrape(t, page, age*time.Second, 1, kubelet("kubelet", "/metrics/cadvisor"))
	}
	s.scrape(t, strings.ReplaceAll(page, "4b18b32dbff5", "ffffffffffff"), 10*time.Second, 0, kubelet("kubelet", "/metrics/cadvisor"))
	usage, err := s.sampler(t, nil).Usage(t.Context(), cadvisorPods())
	if err != nil || len(usage) != 3 {
		t.Fatalf("%+v, %v", usage, err)
	}
	for _, u := range usage { // of the others the counter fell, as after a restart in their place
		if u.CPUKnown() {
			t.Errorf("%s used %d nanocores in %s", u.Container, u.CPUNano, u.Window)
		}
	}
}

// TestPrometheusAccess: a token from a file, read again when it is renewed, and certificates.
func TestPrometheusAccess(t *testing.T) {
	s := newStand(t)
	s.token = "first"
	secure := httptest.NewTLSServer(s)
	t.Cleanup(secure.Close)
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	token := write("token", []byte("first\n"))
	ca := write("ca", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}))
	garbage := write("garbage", []byte("garbage"))
	check := func(p Prometheus) error {
		return Source{Through: observations.ThroughPrometheus, Prometheus: p}.Check(t.Context())
	}
	url := secure.URL + "/prom"
	for name, p := range map[string]Prometheus{
		"its authority": {URL: url, TokenFile: token, CAFile: ca},
		"no check":      {URL: url, TokenFile: token, Insecure: true},
		"without TLS":   {URL: s.URL + "/prom", TokenFile: token},
	} {
		if err := check(p); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, bad := range map[string]struct {
		Prometheus
		want string
	}{
		"an unknown authority": {Prometheus{URL: url, TokenFile: token}, "certificate"},
		"no token":             {Prometheus{URL: url, CAFile: ca}, "401"},
		"no file":              {Prometheus{URL: url, CAFile: ca, TokenFile: filepath.Join(dir, "none")}, "no such file"},
		"no certificate":       {Prometheus{URL: url, CAFile: garbage, TokenFile: token}, "certificate"},
		"nobody there":         {Prometheus{URL: "http://127.0.0.1:1"}, "connection refused"},
		"another server":       {Prometheus{URL: s.URL, TokenFile: token}, "404"},
	} {
		if err := check(bad.Prometheus); err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestKubelets: CPU is known from the second reading on, over 10 s where there are so many.
func TestKubelets(t *testing.T) {
	k := &kubelets{past: map[container]*history{}}
	begin := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	read := func(at time.Duration, seconds float64) reading {
		found := []reading{{container: container{"ns1", "a", "istio-proxy"}, measured: begin.Add(at), cpuSeconds: seconds}}
		// The node's clock is another one.
		k.compare(found, begin.Add(at+time.Hour))
		return found[0]
	}
	for _, step := range []struct {
		at      time.Duration
		seconds float64
		nano    int64
		window  time.Duration
	}{
		{0, 10, 0, 0},
		{0, 10, 0, 0},             // a repeated reading
		{time.Second, 10.1, 0, 0}, // too short to tell
		{4 * time.Second, 10.4, 1e8, 4 * time.Second},
		{12 * time.Second, 11.2, 1e8, 11 * time.Second}, // the shortest of 10 s or more
		{13 * time.Second, 0.1, 0, 0},                   // another process
		{16 * time.Second, 0.4, 1e8, 3 * time.Second},
		{5 * time.Minute, 30, 0, 0}, // what it was before is over
	} {
		got := read(step.at, step.seconds)
		if diff := got.cpuNano - step.nano; max(diff, -diff) > 10 || got.window != step.window {
			t.Errorf("at %s: %d nanocores in %s, want %d in %s", step.at, got.cpuNano, got.window, step.nano, step.window)
		}
	}
}

// TestUsageFromKubelets reads the nodes with real proxies and istiod, and says what right is
// missing.
func TestUsageFromKubelets(t *testing.T) {
	w := newWorld(t)
	forbidden := false
	scrapes := 0
	w.HandleFunc("GET /api/v1/nodes/{node}/proxy/metrics/resource", func(rw http.ResponseWriter, req *http.Request) {
		if forbidden {
			refuse(rw)
			return
		}
		if node := req.PathValue("node"); node != "real" {
			t.Errorf("node %s was scraped", node)
		}
		page := strings.ReplaceAll(resourceText, "1763964000000", fmt.Sprint(1763964000000+scrapes*2500))
		fmt.Fprint(rw, strings.Replace(page, `pod="a"} 0.25`, fmt.Sprintf(`pod="a"} %g`, 0.25+0.1*float64(scrapes)), 1))
		scrapes++
	})
	s := w.sampler(t)
	if err := s.ReadFrom(Source{Through: observations.ThroughKubelet}); err != nil {
		t.Fatal(err)
	}
	pods := []Pod{
		{Namespace: "ns1", Name: "a", Node: "real", Workload: "ns1/test", RealProxy: true},
		{Namespace: "ns1", Name: "c", Node: "simulated", Proxy: true},
		{Namespace: "istio-system", Name: "istiod-0", Node: "real", istiod: true},
	}
	for _, want := range []observations.Usage{{CPUNano: 0}, {CPUNano: 4e7, Window: 2500 * time.Millisecond}} {
		usage, err := s.Usage(t.Context(), pods)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(usage, func(u observations.Usage) bool { return u.Pod == "a" && u.Container == observations.SidecarContainer })
		if i < 0 || len(usage) != 3 {
			t.Fatalf("%+v", usage) // b and the stranger are not among the pods
		}
		if u := usage[i]; u.MemoryBytes != 30408704 || max(u.CPUNano-want.CPUNano, want.CPUNano-u.CPUNano) > 10 || u.Window != want.Window || u.CPUKnown() != (want.Window > 0) {
			t.Errorf("%+v, want CPU %d in %s", u, want.CPUNano, want.Window)
		}
	}
	forbidden = true
	if _, err := s.Usage(t.Context(), pods); err == nil || !strings.Contains(err.Error(), "the right to get nodes/proxy") {
		t.Errorf("without the right: %v", err)
	}
}

// refuse answers as an API server does whose caller may not.
func refuse(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusForbidden)
	_, _ = bytes.NewBufferString(`{"kind":"Status","apiVersion":"v1","status":"Failure","message":"nodes \"real\" is forbidden","reason":"Forbidden","code":403}`).WriteTo(w)
}
