package scenarios

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestWaits(t *testing.T) {
	const minute = time.Minute
	for _, c := range []struct {
		name   string
		values string // of the mesh
		given  map[string]any
		action string // a further one
		want   Waits
		limit  time.Duration
	}{
		{name: "Istio's own", want: DefaultWaits(), limit: 3 * minute},
		{
			name: "a long drain", values: `meshConfig: {defaultConfig: {drainDuration: 300s}}`,
			want: Waits{Drain: 5 * minute}, limit: 3*minute + 255*time.Second,
		},
		{
			name: "a long drain, written as in Istio's protocol", values: `meshConfig: {default_config: {drain_duration: 300s}}`,
			want: Waits{Drain: 5 * minute}, limit: 3*minute + 255*time.Second,
		},
		{
			name: "a long debounce", values: `pilot: {env: {PILOT_DEBOUNCE_AFTER: 20s, PILOT_DEBOUNCE_MAX: 60s}}`,
			want: Waits{DebounceAfter: 20 * time.Second, DebounceMax: minute}, limit: 3*minute + 2*19900*time.Millisecond,
		},
		{
			name: "what is shorter than by default changes no limit", values: `meshConfig: {defaultConfig: {drainDuration: 2s, terminationDrainDuration: 1s}}`,
			want: Waits{Drain: 2 * time.Second, TerminationDrain: time.Second}, limit: 3 * minute,
		},
		{
			name: "a command line's values win", values: `meshConfig: {defaultConfig: {drainDuration: 300s}}`,
			given: map[string]any{"meshConfig": map[string]any{"defaultConfig": map[string]any{"drainDuration": "60s"}}},
			want:  Waits{Drain: minute}, limit: 3*minute + 15*time.Second,
		},
		{
			name:   "a pod's annotation",
			action: `{deployment: {namespace: ns1, name: b, image: b, annotations: {proxy.istio.io/config: "terminationDrainDuration: 25s"}}}`,
			want:   Waits{TerminationDrain: 25 * time.Second}, limit: 3*minute + 20*time.Second,
		},
		{
			name: "a manifest's annotation",
			action: `{apply: {manifest: '{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "b", "namespace": "ns1"},
				"spec": {"template": {"metadata": {"annotations": {"proxy.istio.io/config": "{drainDuration: 90s}"}}}}}'}}`,
			want: Waits{Drain: 90 * time.Second}, limit: 3*minute + 45*time.Second,
		},
		{
			name: "an upgrade's values", action: `{upgrade: {istio: 1.24.0, values: {env: {PILOT_DEBOUNCE_AFTER: 1100ms}}}}`,
			want: Waits{DebounceAfter: 1100 * time.Millisecond}, limit: 3*minute + 2*time.Second,
		},
		{name: "what is no duration", values: `pilot: {env: {PILOT_DEBOUNCE_AFTER: soon}}`, want: DefaultWaits(), limit: 3 * minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := waitsScenario(c.values, c.action, "")
			s, err := Loader{Values: c.given}.Load("s.yaml", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			want := c.want
			for to, value := range map[*time.Duration]time.Duration{
				&want.Drain: DefaultDrain, &want.TerminationDrain: DefaultTerminationDrain,
				&want.DebounceAfter: DefaultDebounceAfter, &want.DebounceMax: DefaultDebounceMax,
			} {
				if *to == 0 {
					*to = value
				}
			}
			if got := s.Waits(); got != want {
				t.Errorf("waits %v, want %v", got, want)
			}
			if got := s.Waits().SettleLimit(); got != c.limit {
				t.Errorf("limit %v, want %v", got, c.limit)
			}
			if len(s.Warnings()) > 0 {
				t.Errorf("warnings without a limit: %v", s.Warnings())
			}
		})
	}
}

func waitsScenario(values, action, settle string) string {
	if action != "" {
		action = "\n      - " + action
	}
	return fmt.Sprintf(`name: waits
title: waits
mesh: {istio: 1.23.2, values: {%s}}
cluster: {nodes: [{type: m6i.xlarge, count: 1}]}
steps:
  - name: one
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: a, image: a}%s
    settle: {%s}
`, values, action, settle)
}

func TestShortLimits(t *testing.T) {
	for _, c := range []struct {
		values, settle string
		want           []string // the parts of each warning
	}{
		{"", "limit: 45s", nil},
		{"", "limit: 30s", []string{"draining listeners takes 45s", "the limit, 30s"}},
		{"pilot: {env: {PILOT_DEBOUNCE_AFTER: 2m}}", "limit: 1m", []string{"istiod's debounce takes 2m0s (PILOT_DEBOUNCE_AFTER)", "the limit, 1m0s"}},
		{"meshConfig: {defaultConfig: {terminationDrainDuration: 2m}}", "limit: 1m", []string{"pods end takes 2m0s (terminationDrainDuration)"}},
		{"pilot: {env: {PILOT_DEBOUNCE_AFTER: 2m}}", "", nil},
	} {
		s, err := Load("s.yaml", []byte(waitsScenario(c.values, "", c.settle)), nil)
		if err != nil {
			t.Fatal(err)
		}
		got := s.Warnings()
		if (len(got) == 1) != (c.want != nil) || len(got) > 1 {
			t.Errorf("%q, %q: warnings %v", c.values, c.settle, got)
			continue
		}
		for _, part := range c.want {
			if text := got[0].String(); !strings.Contains(text, part) || got[0].Line != 10 || got[0].File != "s.yaml" {
				t.Errorf("%q, %q: %q, want %q at line 10", c.values, c.settle, text, part)
			}
		}
	}
}
