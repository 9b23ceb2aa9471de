package kind

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meshbench/meshbench/harness/cluster"
)

var oneNode = []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 1}}

// A cluster cannot be finished on fakes, as there is no API server: Create fails at the
// latest after kind has done its part.
func TestCreateFails(t *testing.T) {
	for name, c := range map[string]struct {
		there []string
		make  func(k *fakeKinds, name string) error
		want  []string // what was done to kind's clusters
		words []string
		logs  bool
	}{
		"kind fails": {
			make:  func(*fakeKinds, string) error { return errors.New("could not find a log line") },
			want:  []string{"create one", "logs one", "delete one"},
			words: []string{"make kind cluster one", "could not find a log line"}, logs: true,
		},
		"it cannot be finished": {
			want:  []string{"create one", "logs one", "delete one"},
			words: []string{"kubeconfig"}, logs: true,
		},
		"it is somebody else's": {
			there: []string{"one"},
			words: []string{"meshbench did not make"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			k := newFake(c.there...)
			k.create = c.make
			p := world(t, dockerMachine(), nil, k, Options{})
			dir := t.TempDir()
			_, err := p.Create(context.Background(), cluster.Spec{Name: "one", Nodes: oneNode, Dir: dir})
			wantWords(t, err, c.words...)
			if !slices.Equal(k.done, c.want) {
				t.Errorf("done: %q, want %q", k.done, c.want)
			}
			if !slices.Equal(k.clusters, c.there) {
				t.Errorf("clusters afterwards: %q, want %q", k.clusters, c.there)
			}
			if left := records(t); len(left) > 0 {
				t.Errorf("records are left: %q", left)
			}
			if _, err := os.Stat(filepath.Join(dir, logsName, "kubelet.log")); (err == nil) != c.logs {
				t.Errorf("logs in the folder: %v, want %t", err, c.logs)
			}
		})
	}
}

// kind knows no context: it is cut short by taking its nodes away.
func TestCreateIsInterrupted(t *testing.T) {
	k := newFake("other")
	started := make(chan struct{})
	k.create = func(k *fakeKinds, name string) error {
		close(started)
		<-k.deleted
		// A node that was on its way.
		k.mu.Lock()
		k.clusters = append(k.clusters, name)
		k.mu.Unlock()
		return errors.New("the node is gone")
	}
	p := world(t, dockerMachine(), nil, k, Options{Keep: true})
	ctx, cancel := context.WithCancelCause(context.Background())
	go func() {
		<-started
		cancel(errors.New("interrupted by signal"))
	}()
	_, err := p.Create(ctx, cluster.Spec{Name: "one", Nodes: oneNode, Dir: t.TempDir()})
	wantWords(t, err, "interrupted by signal")
	if !slices.Equal(k.clusters, []string{"other"}) {
		t.Errorf("clusters afterwards: %q", k.clusters)
	}
	if left := records(t); len(left) > 0 {
		t.Errorf("records are left: %q", left)
	}
	if slices.Contains(k.done, "logs "+KeptName) {
		t.Error("the logs of a cluster that somebody stopped were exported")
	}
}

// write leaves a record as a process that has ended does.
func write(t *testing.T, r Record) {
	t.Helper()
	s, _, err := claim(r.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.write(r), s.release()); err != nil {
		t.Fatal(err)
	}
}

func TestSweep(t *testing.T) {
	k := newFake("dead", "kept", "busy", "cut", "other")
	world(t, dockerMachine(), nil, k, Options{})
	write(t, Record{Name: "dead", Engine: "docker"})
	write(t, Record{Name: "kept", Engine: "docker", Kept: true})
	write(t, Record{Name: "gone", Engine: "docker"}) // killed before its first container
	root, _ := stateRoot()
	if err := os.WriteFile(filepath.Join(root, "cut"+recordSuffix), []byte(`{"Name": "cu`), 0o600); err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir() // the record does not say which engine: it is looked for
	if err := os.WriteFile(filepath.Join(bin, "docker"), []byte("#!/bin/sh\necho Docker version 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	busy, _, err := claim("busy")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.release()
	if err := busy.write(Record{Name: "busy", Engine: "docker"}); err != nil {
		t.Fatal(err)
	}
	kindsOf := func(engine) kinds { return k }
	if err := sweep(context.Background(), kindsOf); err != nil {
		t.Fatal(err)
	}
	if want := []string{"kept", "busy", "other"}; !slices.Equal(k.clusters, want) {
		t.Errorf("clusters: %q, want %q", k.clusters, want)
	}
	if got, want := records(t), []string{"busy", "kept"}; !slices.Equal(got, want) {
		t.Errorf("records: %q, want %q", got, want)
	}
	if _, _, err := claim("busy"); err == nil {
		t.Error("a cluster in use was claimed")
	} else {
		wantWords(t, err, "in use by another meshbench")
	}

	for _, name := range []string{"kept", "busy"} {
		if err := deleteNamed(context.Background(), name, kindsOf); err != nil {
			t.Error(err)
		}
	}
	if want := []string{"other"}; !slices.Equal(k.clusters, want) || len(records(t)) > 0 {
		t.Errorf("clusters: %q, records: %q", k.clusters, records(t))
	}
	if err := deleteNamed(context.Background(), "other", kindsOf); !errors.Is(err, cluster.ErrNoCluster) || !k.has("other") {
		t.Errorf("%v: somebody else's cluster was deleted", err)
	}
}

// A cluster whose deletion failed stays on record.
func TestDeleteFails(t *testing.T) {
	k := newFake("dead")
	world(t, dockerMachine(), nil, k, Options{})
	write(t, Record{Name: "dead", Engine: "docker"})
	k.deleteErr = errors.New("the engine is down")
	err := sweep(context.Background(), func(engine) kinds { return k })
	wantWords(t, err, "the engine is down")
	if got := records(t); !slices.Equal(got, []string{"dead"}) {
		t.Errorf("records: %q", got)
	}
	k.deleteErr = nil
	if err := sweep(context.Background(), func(engine) kinds { return k }); err != nil || len(records(t)) > 0 || len(k.clusters) > 0 {
		t.Errorf("%v; records: %q, clusters: %q", err, records(t), k.clusters)
	}
}

// A name that is taken by a cluster that was left up is no name for another one.
func TestNameIsTaken(t *testing.T) {
	k := newFake("one")
	p := world(t, dockerMachine(), nil, k, Options{})
	write(t, Record{Name: "one", Engine: "docker", Kept: true})
	_, err := p.Create(context.Background(), cluster.Spec{Name: "one", Nodes: oneNode, Dir: t.TempDir()})
	wantWords(t, err, "already a cluster named one", "meshbench down --name one")
	if !k.has("one") || len(records(t)) != 1 {
		t.Error("it was touched")
	}
}

// A kept cluster that does not fit is made anew.
func TestKeptDoesNotFit(t *testing.T) {
	k := newFake(KeptName)
	k.create = func(*fakeKinds, string) error { return errors.New("enough") }
	var notes []string
	p := world(t, dockerMachine(), nil, k, Options{Keep: true, Note: func(line string) { notes = append(notes, line) }})
	write(t, Record{Name: KeptName, Engine: "docker", Kept: true, Shape: "another", Workers: 9})
	_, err := p.Create(context.Background(), cluster.Spec{Name: "one", Nodes: oneNode, Dir: t.TempDir()})
	wantWords(t, err, "enough")
	if want := []string{"delete " + KeptName, "create " + KeptName, "logs " + KeptName, "delete " + KeptName}; !slices.Equal(k.done, want) {
		t.Errorf("done: %q, want %q", k.done, want)
	}
	if len(notes) != 1 {
		t.Errorf("notes: %q", notes)
	}
}
