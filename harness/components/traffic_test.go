package components

import (
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/internal/skip"
)

// TestTraffic: what runs need that send requests is there when it is asked for, from modules
// and from images, in the version that the .mod files pin.
func TestTraffic(t *testing.T) {
	want := map[Name]string{
		CoreDNS: requires(t, "coredns-"+corednsRelease)[corednsModule],
		Fortio:  requires(t, "fortio-"+fortioRelease)[fortioModule],
	}
	for _, from := range []Source{FromModules, FromImages} {
		without, err := New(Options{Root: t.TempDir(), From: from})
		if err != nil {
			t.Fatal(err)
		}
		with, err := New(Options{Root: t.TempDir(), From: from, Traffic: true})
		if err != nil {
			t.Fatal(err)
		}
		found := map[Name]Status{}
		for _, st := range with.List() {
			found[st.Name] = st
		}
		for n, version := range want {
			st := found[n]
			if "v"+st.Version != version || !st.Needed || st.Pinned == "" {
				t.Errorf("from %s, with traffic: %+v; want %s", from, st, version)
			}
			if without.Has(n) {
				t.Errorf("from %s, without traffic there is %s", from, n)
			}
		}
		if extra := len(with.List()) - len(without.List()); extra != len(want) {
			t.Errorf("from %s: traffic adds %d components, want %d", from, extra, len(want))
		}
	}
}

// TestTrafficImages takes both programs out of images, from the hubs that stand in for those
// that they are published at.
func TestTrafficImages(t *testing.T) {
	h := newHub(t)
	for _, p := range trafficImages() {
		var items []item
		for _, n := range slices.Sorted(maps.Keys(p.files)) {
			items = append(items, item{name: strings.TrimPrefix(p.files[n], "/"), content: string(n)})
		}
		h.push(t, p.name+":"+p.tag, makeImage(t, base(t), makeLayer(t, items...)))
	}
	hubs, err := ParseHubs([]string{KubernetesHub + "=" + h.host + "/" + KubernetesHub, FortioHub + "=" + h.host + "/" + FortioHub})
	if err != nil {
		t.Fatal(err)
	}
	s := imageStore(t, t.TempDir(), h, Options{Traffic: true, Hubs: hubs})
	set, err := s.Obtain(t.Context(), nil, CoreDNS, Fortio)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []Name{CoreDNS, Fortio} {
		checkContent(t, set.Path(n), string(n))
	}
	if got := set[Fortio].Image; !strings.HasPrefix(got, FortioHub+"/fortio@sha256:") {
		t.Errorf("fortio is from %q", got)
	}
}

// TestTrafficInBundles: bundles of all that is in the cache hold them, and importing knows
// them, whether this command asked for traffic or not.
func TestTrafficInBundles(t *testing.T) {
	s, err := New(Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	units, err := s.pinnedUnits()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []Name{CoreDNS, Fortio} {
		if !slices.ContainsFunc(units, func(u *unit) bool {
			return slices.ContainsFunc(u.parts, func(p part) bool { return p.name == n })
		}) {
			t.Errorf("no unit has %s", n)
		}
	}
}

// TestCoreDNSSharesModules: CoreDNS compiles 80 packages of its own, the others are
// compiled for Kubernetes already.
func TestCoreDNSSharesModules(t *testing.T) {
	kube := requires(t, "kubernetes-"+kubernetesRelease)
	shared := 0
	for mod, v := range requires(t, "coredns-"+corednsRelease) {
		switch other, ok := kube[mod]; {
		case !ok:
		case v != other:
			t.Errorf("%s is %s for CoreDNS and %s for Kubernetes", mod, v, other)
		default:
			shared++
		}
	}
	if shared < 40 {
		t.Errorf("only %d modules are shared", shared)
	}
}

// TestSourceOfMainPackage builds a program whose main package is ours.
func TestSourceOfMainPackage(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		skip.Missing(t, "needs the go command: %v", err)
	}
	g := &goModules{mod: []byte("module meshbench.invalid/m\n\ngo 1.24\n")}
	store := func(text string) *Store {
		g.programs = map[Name]program{tiny: {pkg: "meshbench.invalid/m/tiny", ldflags: "-s -w", source: text}}
		u := &unit{name: "own", version: "1.0", builder: g, compiles: true}
		u.add(tiny, "1.0", "own", "tiny", false)
		return &Store{root: t.TempDir(), units: []*unit{u}}
	}
	s := store("package main\n\nfunc main() { print(\"ours\") }\n")
	set := obtain(t, s)
	if out, err := exec.Command(set.Path(tiny)).CombinedOutput(); err != nil || string(out) != "ours" {
		t.Errorf("%q, %v", out, err)
	}
	before := s.units[0].key(tiny)
	if after := store("package main\n\nfunc main() {}\n").units[0].key(tiny); before == after {
		t.Error("another source has the same key")
	}
}

// TestCoreDNSSource: the main package that is built is the one that lies with the modules.
func TestCoreDNSSource(t *testing.T) {
	u, err := corednsUnit()
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join("modules", "coredns.txt"))
	if err != nil {
		t.Fatal(err)
	}
	p := u.builder.(*goModules).programs[CoreDNS]
	if p.source != string(b) || executable(p.pkg) != path.Base(p.pkg) {
		t.Errorf("%+v", p)
	}
}
