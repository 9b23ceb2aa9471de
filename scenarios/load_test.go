package scenarios

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestBadFiles compares all problems of every file in testdata/bad with the text beside
// it; -update rewrites the texts.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files found: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Load(file, data, nil)
			var problems Problems
			if !errors.As(err, &problems) || len(problems) == 0 {
				t.Fatalf("the error is not a list of problems: %v", err)
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(file, ".yaml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("problems differ from %s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// frame makes a scenario of the parameters and the actions of a second step.
func frame(parameters, actions string) []byte {
	return []byte(`
name: framed
title: A scenario for tests
parameters: {` + parameters + `}
cluster: {nodes: [{type: m6i.large, count: 4}]}
steps:
  - name: first
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: test, image: nginx}
  - name: second
    actions: [` + actions + `]
`)
}

func TestActions(t *testing.T) {
	const expose = `expose: {namespace: ns1, deployment: test`
	port := func(n int) []Port { return []Port{{Port: n, TargetPort: n, Protocol: "TCP"}} }
	for name, test := range map[string]struct {
		actions string
		want    []Change
	}{
		"defaults of a Deployment": {
			`{deployment: {namespace: ns1, name: a, image: nginx}}`,
			[]Change{&Deployment{Namespace: "ns1", Name: "a", Image: "nginx", Replicas: 1}},
		},
		"a Deployment of none": {
			`{deployment: {namespace: ns1, name: a, image: nginx, replicas: 0}}`,
			[]Change{&Deployment{Namespace: "ns1", Name: "a", Image: "nginx"}},
		},
		"defaults of a Service": {
			`{` + expose + `, ports: [{port: 80}]}}`,
			[]Change{&Expose{Namespace: "ns1", Deployment: "test", Name: "test", Ports: port(80)}},
		},
		"the same port number with two protocols": {
			`{` + expose + `, headless: true, ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, targetPort: 5353, appProtocol: kubernetes.io/h2c}]}}`,
			[]Change{&Expose{Namespace: "ns1", Deployment: "test", Name: "test", Headless: true, Ports: []Port{
				{Name: "dns", Port: 53, TargetPort: 53, Protocol: "UDP"},
				{Name: "dns-tcp", Port: 53, TargetPort: 5353, Protocol: "TCP", AppProtocol: "kubernetes.io/h2c"},
			}}},
		},
		"expressions": {
			`{scale: {namespace: "ns${n - 2}", deployment: test, replicas: "${2 * (n - 1) + max(n, 5)}"}}`,
			[]Change{&Scale{Namespace: "ns1", Deployment: "test", Replicas: 9}},
		},
		"a quotient that is whole": {
			`{scale: {namespace: ns1, deployment: test, replicas: "${(n + 1) / 2}"}}`,
			[]Change{&Scale{Namespace: "ns1", Deployment: "test", Replicas: 2}},
		},
		"what is no expression": {
			`{deployment: {namespace: ns1, name: a, image: nginx, annotations: {a: "$${n} is ${n}", b: "$$${n} $$"}}}`,
			[]Change{&Deployment{Namespace: "ns1", Name: "a", Image: "nginx", Replicas: 1, PodOptions: PodOptions{Annotations: map[string]string{"a": "${n} is 3", "b": "$${n} $$"}}}},
		},
		"repeat": {
			`{repeat: {var: i, from: "${n}", to: 4}, ` + expose + `, name: "s${i}", ports: [{port: "${80 + i}"}]}}`,
			[]Change{
				&Expose{Namespace: "ns1", Deployment: "test", Name: "s3", Ports: port(83)},
				&Expose{Namespace: "ns1", Deployment: "test", Name: "s4", Ports: port(84)},
			},
		},
		"repeat no times": {
			`{` + expose + `, name: "s${i}", ports: [{port: 80}]}, repeat: {var: i, from: 1, to: 0}}`,
			nil,
		},
		"delete and make again": {
			`{` + expose + `, ports: [{port: 80}]}}, {delete: {kind: Service, namespace: ns1, name: test}}, {` + expose + `, ports: [{port: 81}]}}`,
			[]Change{
				&Expose{Namespace: "ns1", Deployment: "test", Name: "test", Ports: port(80)},
				&Delete{APIVersion: "v1", Kind: "Service", Namespace: "ns1", Name: "test"},
				&Expose{Namespace: "ns1", Deployment: "test", Name: "test", Ports: port(81)},
			},
		},
		"delete what was applied": {
			`{apply: {manifest: "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: default, namespace: ns1}, spec: {replicas: some}}"}}, {delete: {kind: Sidecar, namespace: ns1, name: default}}`,
			[]Change{
				&Apply{Manifest: "{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: default, namespace: ns1}, spec: {replicas: some}}"},
				&Delete{APIVersion: "networking.istio.io/v1", Kind: "Sidecar", Namespace: "ns1", Name: "default"},
			},
		},
		"a Deployment that was applied": {
			`{apply: {manifest: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: ns1}}"}}, {restart: {namespace: ns1, deployment: a}}`,
			[]Change{
				&Apply{Manifest: "{apiVersion: apps/v1, kind: Deployment, metadata: {name: a, namespace: ns1}}"},
				&Restart{Namespace: "ns1", Deployment: "a"},
			},
		},
		"as many pods as fit, restarted": {
			`{scale: {namespace: ns1, deployment: test, replicas: 104}}, {restart: {namespace: ns1, deployment: test}}`,
			[]Change{
				&Scale{Namespace: "ns1", Deployment: "test", Replicas: 104},
				&Restart{Namespace: "ns1", Deployment: "test"},
			},
		},
		"more pods a node than the type's own limit": {
			`{nodes: {groups: [{type: m6i.large, count: 1, maxPods: 110}]}}, {scale: {namespace: ns1, deployment: test, replicas: 104}}`,
			[]Change{
				&Nodes{Groups: []NodeGroup{{Type: "m6i.large", Count: 1, MaxPods: 110}}},
				&Scale{Namespace: "ns1", Deployment: "test", Replicas: 104},
			},
		},
		"revisions": {
			`{revisions: {namespace: ns1, service: pod, count: 1, minScale: 2, annotations: {sidecar.istio.io/proxyMemoryLimit: 2Gi}}}, {revisions: {namespace: ns1, service: load, count: "${n == 3 ? 7 : 8}", mode: "${n == 4 ? \"shape\" : \"knative\"}", until: {namespace: ns1, deployment: pod-00001-deployment}}}`,
			[]Change{
				&Revisions{
					Namespace: "ns1", Service: "pod", Count: 1, Batch: 200, Mode: Shape, MinScale: 2, Image: "dev.local/app",
					Annotations: map[string]string{"sidecar.istio.io/proxyMemoryLimit": "2Gi"},
				},
				&Revisions{
					Namespace: "ns1", Service: "load", Count: 7, Batch: 200, Mode: Knative, Image: "dev.local/app",
					Until: &Killed{"ns1", "pod-00001-deployment"},
				},
			},
		},
		"room that a namespace leaves": {
			`{namespace: {name: ns2}}, {deployment: {namespace: ns2, name: a, image: nginx, replicas: 100}}, {delete: {kind: Namespace, name: ns2}}, {scale: {namespace: ns1, deployment: test, replicas: 100}}`,
			[]Change{
				&Namespace{Name: "ns2"},
				&Deployment{Namespace: "ns2", Name: "a", Image: "nginx", Replicas: 100},
				&Delete{APIVersion: "v1", Kind: "Namespace", Name: "ns2"},
				&Scale{Namespace: "ns1", Deployment: "test", Replicas: 100},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Load("test.yaml", frame("n: {value: 3}", test.actions), nil)
			if err != nil {
				t.Fatal(err)
			}
			var got []Change
			for _, a := range s.Steps[1].Actions {
				got = append(got, a.Change)
				if a.Change.String() == "" {
					t.Errorf("%s has no words", a.Change.Word())
				}
			}
			if diff := cmp.Diff(test.want, got, cmpopts.IgnoreUnexported(Apply{}, Gateway{}, Namespace{}, Upgrade{}, Restart{}, Churn{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			rendersToItself(t, s)
		})
	}
}

// rendersToItself checks that a scenario, rendered, is read as the same scenario.
func rendersToItself(t *testing.T, s *Scenario) {
	t.Helper()
	rendered, err := s.Render()
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load("rendered.yaml", rendered, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, rendered)
	}
	if diff := cmp.Diff(s, again, cmpopts.IgnoreUnexported(Scenario{}, Apply{}, Gateway{}, Namespace{}, Upgrade{}, Traffic{}, Restart{}, Churn{}, Graph{}, Scope{}, Walk{}, Probe{})); diff != "" {
		t.Errorf("reads as another scenario (-want +got):\n%s\n%s", diff, rendered)
	}
	twice, err := again.Render()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(rendered), string(twice)); diff != "" {
		t.Errorf("renders to another text (-want +got):\n%s", diff)
	}
}

// TestAPIVersion checks that the version may be left out and is always written.
func TestAPIVersion(t *testing.T) {
	for name, line := range map[string]string{
		"left out": "", "given": "apiVersion: meshbench.dev/v1", "quoted": `apiVersion: "meshbench.dev/v1"`,
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Load("test.yaml", append([]byte(line), frame("", "")...), nil)
			if err != nil {
				t.Fatal(err)
			}
			if s.APIVersion != APIVersion {
				t.Errorf("read as %q", s.APIVersion)
			}
			s.APIVersion = "" // as of a scenario that was not loaded
			rendered, err := s.Render()
			if err != nil {
				t.Fatal(err)
			}
			if first, _, _ := strings.Cut(string(rendered), "\n"); first != "apiVersion: "+APIVersion {
				t.Errorf("rendered with the first line %q", first)
			}
		})
	}
}

func TestOverrides(t *testing.T) {
	const parameters = "n: {value: 3, min: 1, max: 10}, unused: {value: 1}"
	const actions = `{scale: {namespace: ns1, deployment: test, replicas: "${n}"}}`
	for name, test := range map[string]struct {
		overrides map[string]string
		replicas  int
		problem   string
	}{
		"none":     {nil, 3, ""},
		"one":      {map[string]string{"n": "7"}, 7, ""},
		"unknown":  {map[string]string{"m": "7"}, 0, `--set m=7: unknown parameter; did you mean "n"?`},
		"a word":   {map[string]string{"n": "many"}, 0, "--set n=many: want a whole number below 1000000000"},
		"a half":   {map[string]string{"n": "1.5"}, 0, "--set n=1.5: want a whole number below 1000000000"},
		"huge":     {map[string]string{"n": "-99999999999"}, 0, "--set n=-99999999999: want a whole number below 1000000000"},
		"too few":  {map[string]string{"n": "0"}, 0, "--set n=0: 0 is less than the parameter's minimum, 1"},
		"too many": {map[string]string{"n": "11"}, 0, "--set n=11: 11 is more than the parameter's maximum, 10"},
		"unused":   {map[string]string{"unused": "2"}, 0, "--set unused=2: no expression in test.yaml uses this parameter, so setting it changes nothing"},
		"two":      {map[string]string{"n": "0", "a": "1"}, 0, "--set a=1: unknown parameter; did you mean \"n\"?\n--set n=0: 0 is less than the parameter's minimum, 1"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Load("test.yaml", frame(parameters, actions), test.overrides)
			if test.problem != "" {
				if err == nil || err.Error() != test.problem {
					t.Fatalf("got %v, want %s", err, test.problem)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := s.Steps[1].Actions[0].Change.(*Scale).Replicas; got != test.replicas {
				t.Errorf("%d replicas, want %d", got, test.replicas)
			}
			if got := s.Sizes()["n"]; got != test.replicas {
				t.Errorf("size n is %d, want %d", got, test.replicas)
			}
			rendersToItself(t, s)
		})
	}
	t.Run("no parameters", func(t *testing.T) {
		_, err := Load("test.yaml", frame("", ""), map[string]string{"n": "1"})
		if want := "--set n=1: the scenario has no parameters"; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestDefaultWitness(t *testing.T) {
	s, err := Loader{}.Load("test.yaml", []byte(`
name: witness
title: The first Deployment has no sidecar
mesh: {istio: 1.23.2, values: {pilot: {traceSampling: 1.5, replicaCount: 2, env: {TAG: "${n}", SIZE: "${n}"}, tolerations: [null, true, "$${x}"]}}}
parameters: {n: {value: 4}}
cluster: {nodes: [{type: m6i.large, count: 1}]}
steps:
  - name: first
    settle: {limit: 1m30s}
    actions:
      - namespace: {name: plain}
      - namespace: {name: mesh, labels: {istio-injection: enabled}}
      - deployment: {namespace: plain, name: client, image: nginx}
      - deployment: {namespace: mesh, name: server, image: nginx}
`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Witness{{Namespace: "mesh", Deployment: "server"}}, s.Witnesses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	values := map[string]any{
		"pilot": map[string]any{
			"traceSampling": 1.5, "replicaCount": 2, "env": map[string]any{"TAG": "4", "SIZE": "4"}, "tolerations": []any{nil, true, "${x}"},
		},
	}
	if diff := cmp.Diff(values, s.Mesh.Values); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	rendersToItself(t, s)
}

func TestApplyFile(t *testing.T) {
	folder := t.TempDir()
	const manifest = `# ${HOME} stays as it is
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: ns1}
---
---
apiVersion: v1
kind: ConfigMap
metadata: {name: text, namespace: ns1}
data: {script: "echo ${HOME} $${n}"}
`
	if err := os.WriteFile(filepath.Join(folder, "sidecar.yaml"), []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := Load(filepath.Join(folder, "test.yaml"), frame("n: {value: 3}", "{apply: {file: sidecar.yaml}}"), nil)
	if err != nil {
		t.Fatal(err)
	}
	apply := s.Steps[1].Actions[0].Change.(*Apply)
	if apply.Manifest != manifest || apply.File != "" {
		t.Errorf("the file's text is not in the manifest: %+v", apply)
	}
	if want := "apply ConfigMap ns1/text, Sidecar ns1/default"; apply.String() != want {
		t.Errorf("got %q, want %q", apply, want)
	}
	rendersToItself(t, s)
}

// TestFiles checks that a Loader reads nothing outside of its files.
func TestFiles(t *testing.T) {
	folder := t.TempDir()
	outside := filepath.Join(folder, "outside.yaml")
	if err := os.WriteFile(outside, []byte("name: outside"), 0o644); err != nil {
		t.Fatal(err)
	}
	loader := Loader{Files: fstest.MapFS{
		"a/test.yaml": {Data: frame("", `{apply: {file: none.yaml}}, {apply: {file: ../b.yaml}}, {apply: {file: folder}}, {apply: {file: text}}`)},
		"b.yaml":      {}, "a/folder/c.yaml": {}, "a/text": {Data: []byte{0xff}},
	}}
	const want = `./a/test.yaml:12:30: steps[1].actions[0].apply.file: cannot read file: open a/none.yaml: file does not exist
./a/test.yaml:12:58: steps[1].actions[1].apply.file: "../b.yaml" is outside the scenario's folder; put the file next to the scenario
./a/test.yaml:12:86: steps[1].actions[2].apply.file: a/folder must be a regular file
./a/test.yaml:12:111: steps[1].actions[3].apply.file: a/text must be UTF-8 text`
	if _, err := loader.Open("./a/test.yaml"); err == nil {
		t.Error("no problems")
	} else if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := loader.Open(outside); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file outside: %v", err)
	}
	if _, err := loader.Open("one-pod"); err != nil {
		t.Errorf("a built-in scenario: %v", err)
	}
}

// FuzzLoad checks that no file makes the decoder panic, that every problem has a place,
// and that what is read can be rendered and read again.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"*.yaml", "testdata/bad/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			// They render to thousands of objects: with coverage that takes longer than the fuzzer
			// waits for one input, 10 s.
			if strings.HasPrefix(file, "routing-c") {
				continue
			}
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// No file is beside the scenario.
		s, err := Load(filepath.Join(t.TempDir(), "fuzz.yaml"), data, nil)
		if err == nil {
			rendersToItself(t, s)
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("the error is not a list of problems: %v", err)
		}
		for _, p := range problems {
			if p.Line < 1 || p.Column < 1 || p.Message == "" {
				t.Errorf("a problem without place or message: %#v", p)
			}
			if strings.Contains(p.String(), "\n") {
				t.Errorf("a problem of several lines: %q", p)
			}
		}
	})
}

// TestKnativeProblem checks that problems found only on a cluster have a place in the file.
func TestKnativeProblem(t *testing.T) {
	for name, test := range map[string]struct {
		overrides map[string]string
		want      string // "" where Knative is not needed
	}{
		"as it is": {nil, ""},
		"overridden": {
			map[string]string{"mode": "knative"},
			`test.yaml:12:27: steps[1].actions[0].revisions.mode: no Knative here`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Load("test.yaml", frame("mode: {choice: shape, choices: [shape, knative]}",
				`{revisions: {namespace: ns1, service: load, count: 3, mode: "${mode}"}}`), test.overrides)
			if err != nil {
				t.Fatal(err)
			}
			if s.Plan().Knative != (test.want != "") {
				t.Errorf("needs Knative: %v", s.Plan().Knative)
			}
			if test.want == "" {
				return
			}
			if got := s.KnativeProblem("no Knative here").Error(); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			if diff := cmp.Diff(test.overrides, s.Choices()); diff != "" {
				t.Error(diff)
			}
		})
	}
	_, err := Load("test.yaml", frame("mode: {choice: shape, choices: [shape, knative]}",
		`{revisions: {namespace: ns1, service: load, count: 3, mode: "${mode}"}}`), map[string]string{"mode": "knativ"})
	if want := `--set mode=knativ: unknown choice; did you mean "knative"?`; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
