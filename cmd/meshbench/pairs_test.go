package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestFirst: of every two pairs each side is first in one, and seeds differ.
func TestFirst(t *testing.T) {
	orders := map[string]bool{}
	for seed := range uint64(32) {
		var order []string
		for pair := 1; pair <= 8; pair += 2 {
			a, b := first(seed, pair), first(seed, pair+1)
			if a == b {
				t.Errorf("seed %d: side %d is first in pairs %d and %d", seed, a, pair, pair+1)
			}
			order = append(order, sideNames[a])
		}
		orders[strings.Join(order, " ")] = true
	}
	// 4 draws have 16 results.
	if len(orders) < 10 {
		t.Errorf("32 seeds give %d orders", len(orders))
	}
}

func TestParseSide(t *testing.T) {
	s, err := parseSide("candidate", "istio=1.27.0,envoy=1.40.0,set=pilot.env.X=y,set=a.b=c,meshbench=pairs_test.go")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"--istio=1.27.0", "--envoy=1.40.0", "--mesh-set=pilot.env.X=y", "--mesh-set=a.b=c"}
	if !slices.Equal(s.flags, want) || !strings.HasPrefix(s.program, "/") || !strings.HasSuffix(s.program, "/pairs_test.go") {
		t.Errorf("%q, %s", s.flags, s.program)
	}
	for text, want := range map[string]string{
		"1.27.0":            "expected KEY=VALUE",
		"istio=":            "expected KEY=VALUE",
		"istio=1.27.0,":     "expected KEY=VALUE",
		"real=5":            `unknown key "real"`,
		"set=a.b":           "expected set=KEY=VALUE",
		"meshbench=nowhere": "cannot find that program",
	} {
		if _, err := parseSide("candidate", text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// TestGiven: another program is given the flags of run as they were given here.
func TestGiven(t *testing.T) {
	cmd := &cobra.Command{Use: "gate"}
	p := &pairs{}
	p.flags(cmd)
	if err := cmd.ParseFlags([]string{"--scenario", "headless", "--set", "replicas=5", "--set", "mode=x", "--real", "all", "--mesh-set", "a={x,y}", "--mesh-set", "b=c", "--seed", "3", "--allow-unsettled"}); err != nil {
		t.Fatal(err)
	}
	want := []string{"--allow-unsettled=true", "--mesh-set=a={x,y}", "--mesh-set=b=c", "--real=all", "--set=mode=x", "--set=replicas=5"}
	if got := given(cmd.Flags()); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestParseAlarms(t *testing.T) {
	alarms, err := parseAlarms([]string{"istiod_memory_bytes=10%", "memory=off", "counts=off"})
	if err != nil || alarms["istiod_memory_bytes"] != 0.1 {
		t.Fatalf("%v, %v", alarms, err)
	}
	for _, name := range []string{"sidecar_memory_bytes", "listener_rows", "pods"} {
		if share, given := alarms[name]; !given || share != 0 {
			t.Errorf("%s is judged: %v", name, alarms)
		}
	}
	for _, bad := range []string{"memroy=3%", "memory", "memory=3", "memory=-3%", "memory=0%", "pods=3%", "memory=NaN%"} {
		if _, err := parseAlarms([]string{bad}); err == nil {
			t.Errorf("%s was read", bad)
		}
	}
}
