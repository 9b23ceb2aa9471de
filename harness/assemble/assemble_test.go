package assemble

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/providers"
	"github.com/meshbench/meshbench/scenarios"
)

// chosen is the source of a name, with its flags at their defaults.
func chosen(t *testing.T, name string) cluster.Source {
	t.Helper()
	for _, s := range providers.Table() {
		if s.Name() == name {
			s.Flags(pflag.NewFlagSet(name, pflag.ContinueOnError))
			return s
		}
	}
	t.Fatalf("no source %s", name)
	return nil
}

const injectedByDefault = `apiVersion: meshbench.dev/v1
name: x
title: A namespace without labels
cluster:
  nodes: [{type: m6i.large, count: 1}]
steps:
  - name: one
    actions:
      - namespace: {name: ns1, injection: true}
      - namespace: {name: ns2}
      - deployment: {namespace: ns1, name: a, image: nginx, replicas: 2}
      - deployment: {namespace: ns2, name: b, image: nginx, replicas: 3}
`

// The preflight counts the sidecars of the mesh that will be installed, with what the
// command line says of it.
func TestSidecarsOfTheMeshThatIsInstalled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.yaml")
	if err := os.WriteFile(file, []byte(injectedByDefault), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		source   string
		real     int
		settings []string
		want     int
	}{
		{"embedded", 10, nil, 2},
		{"embedded", 1, nil, 1},
		{"embedded", 10, []string{"sidecarInjectorWebhook.enableNamespacesByDefault=true"}, 5},
		{"kind", 1, nil, 2}, // whose sidecars all run
	} {
		o := Options{Source: chosen(t, tt.source), Shares: scenarios.Shares{Real: tt.real}, Settings: tt.settings}
		s, err := o.Open(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := o.needs(s)
		if err != nil {
			t.Fatal(err)
		}
		if n.spec.Sidecars != tt.want {
			t.Errorf("%+v: %d sidecars", tt, n.spec.Sidecars)
		}
	}
}

// Where all sidecars run, a number of real ones is said to have no effect, once.
func TestRealWithoutEffect(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.yaml")
	for _, tt := range []struct {
		source, a, b string
		want         string // of the warning; "" for none
	}{
		{"kind", "sidecars: {real: 1}", "sidecars: {real: 2}", "of ns1/a and 1 more (sidecars.real, annotation meshbench.dev/real) has no effect on a kind cluster"},
		{"kind", "labels: {a: b}", `annotations: {meshbench.dev/real: "0"}`, "of ns1/b ("},
		{"kind", "sidecars: {real: all}", "labels: {a: b}", ""},
		{"kind", "labels: {a: b}", `annotations: {inject.istio.io/templates: gateway}`, ""}, // all of a gateway is real anyway
		{"embedded", "sidecars: {real: 1}", "sidecars: {real: 2}", ""},
	} {
		text := `apiVersion: meshbench.dev/v1
name: x
title: Numbers of their own
cluster:
  nodes: [{type: m6i.large, count: 1}]
steps:
  - name: one
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: a, image: nginx, replicas: 2, ` + tt.a + `}
      - deployment: {namespace: ns1, name: b, image: nginx, replicas: 3, ` + tt.b + `}
  - name: two
    actions:
      - scale: {namespace: ns1, deployment: a, replicas: 3}
`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := Options{Source: chosen(t, tt.source), Shares: scenarios.Shares{Real: 10}}
		s, err := o.Open(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := o.Warnings(s)
		if want := min(len(tt.want), 1); len(got) != want || want == 1 && !strings.Contains(got[0], tt.want) {
			t.Errorf("%+v: %q", tt, got)
		}
	}
}

// What cannot be had is an option's error, so that nobody looks for it in the scenario.
func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct {
		source string
		change func(*Options)
	}{
		"a version nobody pinned": {"embedded", func(o *Options) { o.Programs.Istio = "9.9.9" }},
		"the same on kind":        {"kind", func(o *Options) { o.Programs.Istio = "9.9.9" }},
		"an Envoy nobody has":     {"embedded", func(o *Options) { o.Programs.Envoy = "./none" }},
		"a bad value":             {"embedded", func(o *Options) { o.Settings = []string{"pilot"} }},
		"a file that is not there": {"embedded", func(o *Options) {
			o.ValuesFiles = []string{"none.yaml"}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			good := Options{Source: chosen(t, tt.source), Shares: scenarios.Shares{Real: 1}}
			s, err := good.Open("one-pod", nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := good.Check(t.Context(), s); err != nil {
				t.Fatalf("without the change: %v", err)
			}
			tt.change(&good)
			var option *cluster.OptionError
			if err := good.Check(t.Context(), s); !errors.As(err, &option) {
				t.Errorf("%v is not an option's error", err)
			}
		})
	}
}

// Requests are not sent where nothing would answer them.
func TestApplications(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.yaml")
	text := `apiVersion: meshbench.dev/v1
name: x
title: Requests
cluster:
  nodes: [{type: m6i.large, count: 1}]
steps:
  - name: one
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: client, image: fortio/fortio}
      - deployment: {namespace: ns1, name: web, image: nginx}
      - expose: {namespace: ns1, deployment: web, ports: [{name: http, port: 80}]}
      - traffic: {from: ns1/client, to: "web.ns1:80", qps: 1, duration: 1s}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		source, mode string
		runs         bool
	}{
		{"embedded", "auto", true}, {"embedded", "on", true}, {"embedded", "off", false}, {"kind", "", true},
	} {
		var args []string
		if tt.mode != "" {
			args = []string{"--data-plane", tt.mode}
		}
		o := Options{Source: sourceWith(t, tt.source, args...), Shares: scenarios.Shares{Real: 10}}
		s, err := o.Open(file, nil)
		if err != nil {
			t.Fatal(err)
		}
		n, err := o.needs(s)
		if !tt.runs {
			var option *cluster.OptionError
			if !errors.As(err, &option) || !strings.Contains(err.Error(), "scenario x sends requests") {
				t.Errorf("%+v: %v", tt, err)
			}
			continue
		}
		if err != nil || n.spec.Applications == nil || len(n.spec.Applications.StandIns) != 1 {
			t.Errorf("%+v: %v, %+v", tt, err, n.spec.Applications)
		}
	}
}
