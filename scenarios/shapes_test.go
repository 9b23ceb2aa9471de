package scenarios

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRefusedAndTaken holds each refusal, with its place and its advice, beside an input that
// differs in one word and is taken. The word in [] is the wrong one, after | the right one.
func TestRefusedAndTaken(t *testing.T) {
	const (
		two      = `{deployment: {namespace: ns1, name: svc0-v1, image: nginx, labels: {app: svc0, version: v1}}}, `
		db       = `{statefulset: {namespace: ns1, name: db, image: postgres}}, `
		agent    = `{daemonset: {namespace: ns1, name: agent, image: fluentd}}, `
		plain    = `{namespace: {name: plain}}, `
		manifest = `{apply: {manifest: '{apiVersion: apps/v1, kind: StatefulSet, metadata: {namespace: ns1, name: kept}, spec: {replicas: 2}}'}}, `
	)
	for name, c := range map[string]struct{ actions, path, want string }{
		"two Deployments that select each other's pods": {
			two + `{deployment: {namespace: ns1, name: svc0-v2, image: nginx, labels: {app: svc0, version: [v1|v2]}}}`,
			"actions[1].deployment.name", "selects the pods of Deployment svc0-v1 (app=svc0,version=v1); give each a label of its own and select by it, e.g. labels: {app: svc0, version: v1}",
		},
		"a Job whose pods a Deployment selects": {
			`{job: {namespace: ns1, name: [test|once], image: busybox}}`,
			"actions[0].job.name", "its pods are selected by Deployment test (app=test); give each a label of its own and select by it, e.g. labels: {app: test, version: v1}",
		},
		"a selector that its own pods do not match": {
			`{deployment: {namespace: ns1, name: a, image: nginx, labels: {app: b, version: v1}, selector: {version: [v2|v1]}}}`,
			"actions[0].deployment.selector.version", "the pods have label version=v1, not version=v2; Kubernetes rejects a selector that its own pods do not match",
		},
		"a selector by a label that the pods do not have": {
			`{statefulset: {namespace: ns1, name: a, image: nginx, labels: {app: b, tier: x}, selector: {[teir|tier]: x}}}`,
			"actions[0].statefulset.selector.teir", "the pods have no label teir; add it to labels",
		},
		"a Service for labels that no pods have": {
			two + `{expose: {namespace: ns1, name: svc0, selector: {app: [svc|svc0]}, ports: [{port: 80}]}}`,
			"actions[1].expose.selector", `no pods in namespace "ns1" have the labels app=svc; there are pods with app=svc0,version=v1 and with app=test`,
		},
		"a Service without a name": {
			two + `{expose: {namespace: ns1, [headless|name]: svc0, selector: {app: svc0}, ports: [{port: 80}]}}`,
			"actions[1].expose.headless", `want true or false, got the string "svc0"`,
		},
		"a Service for a workload and for labels": {
			`{expose: {namespace: ns1, [deployment|name]: test, selector: {app: test}, ports: [{port: 80}]}}`,
			"actions[0].expose.selector", "deployment is set already; name one of deployment, statefulset, daemonset, selector, endpoints",
		},
		"a Service for nothing": {
			`{expose: {namespace: ns1, [name|deployment]: test, ports: [{port: 80}]}}`,
			"actions[0].expose.deployment", "is required; name one of deployment, statefulset, daemonset",
		},
		"an address that is none": {
			`{expose: {namespace: ns1, name: out, endpoints: [["192.0.2"|192.0.2.2]], ports: [{port: 80}]}}`,
			"actions[0].expose.endpoints[0]", `invalid address "192.0.2": want an IPv4 address like 192.0.2.10`,
		},
		"an address of the pod itself": {
			`{expose: {namespace: ns1, name: out, endpoints: [[127.0.0.1|192.0.2.1]], ports: [{port: 80}]}}`,
			"actions[0].expose.endpoints[0]", "Kubernetes rejects 127.0.0.1: it must not be a loopback, link-local, multicast or unspecified address",
		},
		"an address twice": {
			`{expose: {namespace: ns1, name: out, endpoints: [192.0.2.1, [192.0.2.1|192.0.2.2]], ports: [{port: 80}]}}`,
			"actions[0].expose.endpoints[1]", "192.0.2.1 is endpoints[0] already",
		},
		"a StatefulSet scaled as a Deployment": {
			db + `{scale: {namespace: ns1, [deployment|statefulset]: db, replicas: 2}}`,
			"actions[1].scale.deployment", "ns1/db is a StatefulSet; write statefulset: db",
		},
		"a StatefulSet of a manifest scaled as a Deployment": {
			manifest + `{scale: {namespace: ns1, [deployment|statefulset]: kept, replicas: 3}}`,
			"actions[1].scale.deployment", "ns1/kept is a StatefulSet; write statefulset: kept",
		},
		"a DaemonSet scaled": {
			agent + `{[scale|restart]: {namespace: ns1, daemonset: agent}}`,
			"actions[1].scale.daemonset", "unknown field; known: deployment, namespace, replicas, statefulset",
		},
		"a Deployment that is not there": {
			`{restart: {namespace: ns1, deployment: [tst|test]}}`,
			"actions[0].restart.deployment", `no earlier step creates Deployment "tst" in namespace "ns1"; did you mean "test"?`,
		},
		"a Job that never ends": {
			`{job: {namespace: ns1, name: once, image: busybox, restartPolicy: [Always|OnFailure]}}`,
			"actions[0].job.restartPolicy", `unknown policy "Always"; want Never or OnFailure: the pods of a Job end`,
		},
		"a Job that lasts for a number": {
			`{job: {namespace: ns1, name: once, image: busybox, lasts: [5|5s]}}`,
			"actions[0].job.lasts", "5 has no unit; want a duration like 90s or 5m",
		},
		"a Job that ends with too much": {
			`{job: {namespace: ns1, name: once, image: busybox, exitCode: [256|255]}}`,
			"actions[0].job.exitCode", "256 is too large; want at most 255",
		},
		"a Job told twice how long it lasts": {
			`{job: {namespace: ns1, name: once, image: busybox, lasts: 5s, annotations: {simulate.meshbench.dev/[lasts|exit-code]: "1"}}}`,
			"actions[0].job.annotations.simulate.meshbench.dev/lasts", "lasts says it already; omit one of them",
		},
		"a schedule of too little": {
			`{cronjob: {namespace: ns1, name: a, image: a, schedule: "*/5 * * *[| *]"}}`,
			"actions[0].cronjob.schedule", `invalid schedule "*/5 * * *": expected exactly 5 fields, found 4: [*/5 * * *]; want minute, hour, day, month and weekday, e.g. "*/5 * * * *"`,
		},
		"a schedule of a time zone": {
			`{cronjob: {namespace: ns1, name: a, image: a, schedule: "[TZ=UTC|] 0 * * * *"}}`,
			"actions[0].cronjob.schedule", `"TZ=UTC 0 * * * *" names a time zone, which Kubernetes rejects; it is read by UTC`,
		},
		"an annotation that nobody reads": {
			`{deployment: {namespace: ns1, name: a, image: nginx, annotations: {simulate.meshbench.dev/[last|lasts]: 5s}}}`,
			"actions[0].deployment.annotations.simulate.meshbench.dev/last", "unknown annotation simulate.meshbench.dev/last: use simulate.meshbench.dev/lasts or simulate.meshbench.dev/exit-code",
		},
		"an annotation about a container that is not there": {
			`{deployment: {namespace: ns1, name: a, image: "nginx:1", annotations: {simulate.meshbench.dev/lasts.[web|nginx]: 5s}}}`,
			"actions[0].deployment.annotations.simulate.meshbench.dev/lasts.web", `annotation simulate.meshbench.dev/lasts.web: the pod has no container "web": it has nginx`,
		},
		"a number of real sidecars that is none": {
			`{deployment: {namespace: ns1, name: a, image: nginx, sidecars: {real: [some|all]}}}`,
			"actions[0].deployment.sidecars.real", `want a whole number or all, got the string "some"`,
		},
		"fewer real sidecars than none": {
			`{deployment: {namespace: ns1, name: a, image: nginx, sidecars: {real: [-1|0]}}}`,
			"actions[0].deployment.sidecars.real", "-1 is too small; want at least 0, or all",
		},
		"real sidecars by an annotation": {
			`{daemonset: {namespace: ns1, name: a, image: nginx, annotations: {meshbench.dev/real: "[many|3]"}}}`,
			"actions[0].daemonset.annotations.meshbench.dev/real", `annotation meshbench.dev/real: want a whole number of 0 or more, or all, not "many"`,
		},
		"a stand-in of a field that is not there": {
			`{deployment: {namespace: ns1, name: a, image: nginx, annotations: {meshbench.dev/stand-in: "{[code|status]: 503}"}}}`,
			"actions[0].deployment.annotations.meshbench.dev/stand-in", "annotation meshbench.dev/stand-in: line 1: unknown field code; the fields are status, delay, headers, size, calls, timeout",
		},
		"real sidecars by an annotation of a manifest": {
			`{apply: {manifest: '{apiVersion: apps/v1, kind: StatefulSet, metadata: {namespace: ns1, name: x}, spec: {template: {metadata: {annotations: {meshbench.dev/real: "[many|3]"}}}}}'}}`,
			"actions[0].apply.manifest", `StatefulSet ns1/x: spec.template.metadata.annotations: annotation meshbench.dev/real: want a whole number of 0 or more, or all, not "many"`,
		},
		"a container's life in a manifest": {
			`{apply: {manifest: '{apiVersion: batch/v1, kind: CronJob, metadata: {namespace: ns1, name: x}, spec: {jobTemplate: {spec: {template: {metadata: {annotations: {simulate.meshbench.dev/lasts.[d|c]: 5s}}, spec: {containers: [{name: c}]}}}}}}'}}`,
			"actions[0].apply.manifest", `CronJob ns1/x: spec.jobTemplate.spec.template.metadata.annotations: annotation simulate.meshbench.dev/lasts.d: the pod has no container "d": it has c`,
		},
		"real sidecars where there are none": {
			plain + `{deployment: {namespace: [plain|ns1], name: a, image: nginx, sidecars: {real: 1}}}`,
			"actions[1].deployment.sidecars.real", "the pods of plain/a have no sidecar; set injection on the namespace, or omit the field",
		},
		"light sidecars where there are none": {
			plain + `{deployment: {namespace: [plain|ns1], name: a, image: nginx, sidecars: {light: all}}}`,
			"actions[1].deployment.sidecars.light", "the pods of plain/a have no sidecar; set injection on the namespace, or omit the field",
		},
		"light sidecars said twice": {
			`{deployment: {namespace: ns1, name: a, image: nginx, annotations: {meshbench.dev/[light|real]: all}, sidecars: {light: all}}}`,
			"actions[0].deployment.annotations.meshbench.dev/light", "sidecars.light says it already; omit one of them",
		},
		"fake sidecars": {
			`{deployment: {namespace: ns1, name: a, image: nginx, sidecars: {[fake|real]: all}}}`,
			"actions[0].deployment.sidecars.fake", `unknown field; known: light, real`,
		},
		"no pause": {
			`{pause: {for: [0s|1s]}}`, "actions[0].pause.for", "0s is no pause; want e.g. 30s",
		},
		"a pause without a unit": {
			`{pause: {for: [30|30s]}}`, "actions[0].pause.for", "30 has no unit; want a duration like 90s or 5m",
		},
		"a share above all": {
			`{churn: {namespace: ns1, share: [101%|100%]}}`,
			"actions[0].churn.share", `invalid share "101%": want a percentage above 0% and at most 100%, e.g. 25%`,
		},
		"a share that is no share": {
			`{churn: {namespace: ns1, share: "[0.5|0.5%]"}}`,
			"actions[0].churn.share", `invalid share "0.5": want a percentage above 0% and at most 100%, e.g. 25%`,
		},
		"pods of a Deployment that is not there": {
			`{churn: {namespace: ns1, deployment: [tests|test], share: 50%}}`,
			"actions[0].churn.deployment", `no earlier step creates Deployment "tests" in namespace "ns1"; did you mean "test"?`,
		},
		"no pods": {
			plain + `{churn: {namespace: [plain|ns1], share: 50%}}`,
			"actions[1].churn.namespace", "the pods in plain: there are no pods at this step; scale up first",
		},
		"a namespace of the cluster": {
			plain + `{churn: {namespaces: [[istio-system|plain]], share: 50%}}`,
			"actions[1].churn.namespaces[0]", `cannot churn namespace "istio-system": it belongs to the cluster`,
		},
		"a namespace that is not there": {
			plain + `{churn: {namespaces: [[plane|plain]], share: 50%}}`,
			"actions[1].churn.namespaces[0]", `no earlier step creates namespace "plane"; did you mean "plain"?`,
		},
		"no rounds": {
			`{churn: {namespace: ns1, share: 50%, rounds: [0|1]}}`,
			"actions[0].churn.rounds", "0 is too small; want at least 1",
		},
		"a list of actions without repeat": {
			`{[actions|repeat]: {var: i, from: 1, to: 1}, actions: [{namespace: {name: "a${i}"}}]}`,
			"actions[0].actions", "duplicate field",
		},
		"a variable of an outer repeat": {
			`{repeat: {var: i, from: 1, to: 2}, actions: [{repeat: {var: [i|j], from: 1, to: 1}, namespace: {name: "a${i}"}}]}`,
			"actions[0].actions[0].repeat.var", `"i" is already a parameter or the variable of an outer repeat; use another name`,
		},
		"every copy with the same name": {
			`{repeat: {var: i, from: 1, to: 2}, actions: [{namespace: {name: "a[|${i}]"}}]}`,
			"actions[0].actions[0].namespace.name", `Namespace "a" already exists; delete it first or use another name`,
		},
		"an unknown variable": {
			`{repeat: {var: i, from: 1, to: 2}, actions: [{namespace: {name: "a${[j|i]}"}}]}`,
			"actions[0].actions[0].namespace.name", `unknown parameter "j" in ${j}; did you mean "i"?`,
		},
	} {
		t.Run(name, func(t *testing.T) { refusedAndTaken(t, c.actions, c.path, c.want) })
	}
}

// refusedAndTaken checks actions with the wrong word, which is refused at the path, and with
// the right one.
func refusedAndTaken(t *testing.T, actions, path, want string) {
	t.Helper()
	for _, right := range []bool{false, true} {
		s, err := Load("test.yaml", frame("n: {value: 3}", choose(t, actions, right)), nil)
		if right {
			if err != nil {
				t.Fatalf("with the right word: %v", err)
			}
			rendersToItself(t, s)
			for _, a := range s.Steps[1].Actions {
				if a.Change.String() == "" {
					t.Errorf("%s has no words", a.Change.Word())
				}
			}
			continue
		}
		if err == nil {
			t.Fatalf("taken with the wrong word; want %s: %s", path, want)
		}
		if !slices.ContainsFunc(strings.Split(err.Error(), "\n"), func(line string) bool {
			place, message, _ := strings.Cut(line, ": steps[1].")
			return strings.HasPrefix(place, "test.yaml:12:") && message == path+": "+want
		}) {
			t.Errorf("got  %s\nwant test.yaml:12:…: steps[1].%s: %s", err, path, want)
		}
	}
}

// choose replaces [wrong|right] by one of them. Lists of YAML have no | in them.
func choose(t *testing.T, text string, right bool) string {
	t.Helper()
	for i := 0; ; {
		bar := strings.IndexByte(text[i:], '|')
		if bar < 0 {
			return text
		}
		bar += i
		open, end := strings.LastIndexByte(text[:bar], '['), bar+strings.IndexByte(text[bar:], ']')
		word := text[open+1 : bar]
		if right {
			word = text[bar+1 : end]
		}
		text = text[:open] + word + text[end+1:]
		i = open
	}
}

// TestTwoVersions: two Deployments behind one Service, by the actions alone.
func TestTwoVersions(t *testing.T) {
	s, err := Load("test.yaml", frame("", `
      {repeat: {var: v, from: 1, to: 2}, deployment: {namespace: ns1, name: "svc0-v${v}", image: nginx, replicas: 3, labels: {app: svc0, version: "v${v}"}, sidecars: {real: "${v}"}}},
      {expose: {namespace: ns1, name: svc0, selector: {app: svc0}, ports: [{port: 80}]}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	one, two := Real(1), Real(2)
	version := func(v string, real *Real) *Deployment {
		set := map[string]string{"app": "svc0", "version": v}
		return &Deployment{
			Namespace: "ns1", Name: "svc0-" + v, Image: "nginx", Replicas: 3, Selector: set,
			PodOptions: PodOptions{Labels: set, Sidecars: Sidecars{Real: real}},
		}
	}
	want := []Change{version("v1", &one), version("v2", &two), &Expose{
		Namespace: "ns1", Name: "svc0", Selector: map[string]string{"app": "svc0"}, Ports: []Port{{Port: 80, TargetPort: 80, Protocol: "TCP"}},
	}}
	var got []Change
	for _, a := range s.Steps[1].Actions {
		got = append(got, a.Change)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if annotations := got[1].(*Deployment).PodAnnotations(); annotations["meshbench.dev/real"] != "2" {
		t.Errorf("annotations of the pods are %v", annotations)
	}
	if text := got[2].String(); text != "expose pods app=svc0 in ns1 as ClusterIP Service svc0, ports 80->80/TCP" {
		t.Errorf("in words: %s", text)
	}
	// 1 of the first step, 1 and 2 by their own numbers.
	if n := s.Plan().Sidecars(10); n != 4 {
		t.Errorf("%d real sidecars planned, want 4", n)
	}
}

// TestRepeatedSteps: the variable is usable in names, and copies come in order.
func TestRepeatedSteps(t *testing.T) {
	file := func(steps string) []byte {
		return []byte(`
name: framed
title: A scenario for tests
parameters: {n: {value: 2}}
cluster: {nodes: [{type: m6i.large, count: 4}]}
steps:
  - name: first
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: test, image: nginx}
` + steps)
	}
	for name, c := range map[string]struct {
		steps string
		names []string
		want  string // of the error
	}{
		"a step": {
			`  - {repeat: {var: i, from: 1, to: "${n}"}, name: "s${i}", actions: [{scale: {namespace: ns1, deployment: test, replicas: "${i}"}}], expect: {pods: "${i-1}"}}`,
			[]string{"first", "s1", "s2"}, "",
		},
		"a list of steps": {
			`  - {repeat: {var: i, from: 1, to: 2}, steps: [{name: "fill${i}", actions: [{namespace: {name: x}}]}, {name: "empty${i}", actions: [{delete: {kind: Namespace, name: x}}]}]}`,
			[]string{"first", "fill1", "empty1", "fill2", "empty2"}, "",
		},
		"lists in lists": {
			`  - {repeat: {var: i, from: 1, to: 2}, steps: [{repeat: {var: j, from: 1, to: 2}, name: "s${i}-${j}"}, {name: "t${i}"}]}`,
			[]string{"first", "s1-1", "s1-2", "t1", "s2-1", "s2-2", "t2"}, "",
		},
		"no times": {`  - {repeat: {var: i, from: 1, to: 0}, name: "s${i}"}`, []string{"first"}, ""},
		"every copy with the same name": {
			`  - {repeat: {var: i, from: 1, to: 2}, name: s}`, nil,
			`test.yaml:11:46: steps[1].name: every copy is named "s"; use the variable of repeat in the name, e.g. s-${i}`,
		},
		"the name of another step": {
			`  - {repeat: {var: i, from: 1, to: 1}, steps: [{name: first}]}`, nil,
			`test.yaml:11:55: steps[1].steps[0].name: name "first" is already used by steps[0]`,
		},
		"a list without repeat": {
			`  - {steps: [{name: s}]}`, nil,
			`test.yaml:11:6: steps[1].steps: is for repeat, which is missing; add repeat: {var: i, from: 1, to: 3}, or put the steps into the scenario's own list`,
		},
		"a list and a step's own field": {
			`  - {repeat: {var: i, from: 1, to: 1}, steps: [{name: "s${i}"}], settle: {limit: 5s}}`, nil,
			`test.yaml:11:66: steps[1].settle: belongs to one step; put it into each of steps`,
		},
		"repeat twice": {
			`  - {repeat: {var: i, from: 1, to: 1}, name: "s${i}", repeat: {var: j, from: 1, to: 1}}`, nil,
			`test.yaml:11:55: steps[1].repeat: duplicate field`,
		},
		"a mistake in every copy": {
			`  - {repeat: {var: i, from: 1, to: 3}, name: "s${i}", actions: [{scale: {namespace: ns1, deployment: tset, replicas: 1}}]}`, nil,
			`test.yaml:11:102: steps[1].actions[0].scale.deployment: no earlier step creates Deployment "tset" in namespace "ns1"; did you mean "test"?`,
		},
		"no mapping": {`  - s`, nil, `test.yaml:11:5: steps[1]: want a mapping, got the string "s"`},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Load("test.yaml", file(c.steps+"\n"), nil)
			if c.want != "" {
				if err == nil || err.Error() != c.want {
					t.Errorf("got  %v\nwant %s", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, step := range s.Steps {
				names = append(names, step.Name)
			}
			if diff := cmp.Diff(c.names, names); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			rendersToItself(t, s)
		})
	}
}

// TestChoose pins what a seed chooses: runs are compared by it.
func TestChoose(t *testing.T) {
	for _, c := range []struct {
		share          string
		seed, round, n int
		want           []int
	}{
		{"25%", 7, 0, 12, []int{0, 4, 8}},
		{"25%", 7, 1, 12, []int{3, 4, 11}},
		{"25%", 8, 0, 12, []int{1, 3, 9}},
		{"10%", 1, 0, 30, []int{12, 14, 26}}, // and not four, for want of bits
		{"1%", 1, 0, 3, []int{2}},            // rounded up
		{"100%", 1, 0, 3, []int{0, 1, 2}},
		{"50%", 1, 0, 0, nil},
	} {
		x := Churn{Share: c.share, Seed: c.seed}
		if diff := cmp.Diff(c.want, x.Choose(c.round, c.n)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", c, diff)
		}
	}
}

// TestPlanOfShapes: the plan knows every kind of workload.
func TestPlanOfShapes(t *testing.T) {
	for name, c := range map[string]struct {
		actions        string
		pods, sidecars int // at most, besides the first step's one
		real           int
	}{
		"a StatefulSet":           {`{statefulset: {namespace: ns1, name: a, image: a, replicas: 5}}`, 5, 2, 2},
		"a StatefulSet restarted": {`{statefulset: {namespace: ns1, name: a, image: a, replicas: 5}}, {restart: {namespace: ns1, statefulset: a}}`, 5, 5, -1},
		"a DaemonSet":             {`{daemonset: {namespace: ns1, name: a, image: a}}`, 4, 4, -1},
		"a DaemonSet and more nodes": {
			`{daemonset: {namespace: ns1, name: a, image: a}}, {nodes: {groups: [{type: m6i.large, count: 6}]}}`, 6, 6, -1,
		},
		"a Job":             {`{job: {namespace: ns1, name: a, image: a, completions: 9, parallelism: 3}}`, 3, 3, -1},
		"a Job of few":      {`{job: {namespace: ns1, name: a, image: a, completions: 2, parallelism: 3}}`, 2, 2, -1},
		"a CronJob":         {`{cronjob: {namespace: ns1, name: a, image: a, schedule: "*/5 * * * *"}}`, 1, 1, -1},
		"a suspended one":   {`{cronjob: {namespace: ns1, name: a, image: a, schedule: "*/5 * * * *", suspended: true}}`, 0, 0, -1},
		"its own number":    {`{deployment: {namespace: ns1, name: a, image: a, replicas: 9, sidecars: {real: 2}}}`, 9, 2, 5},
		"more than the run": {`{deployment: {namespace: ns1, name: a, image: a, replicas: 9, sidecars: {real: all}}}`, 9, 9, 5},
		"a gateway is real": {`{deployment: {namespace: ns1, name: a, image: auto, replicas: 3, annotations: {inject.istio.io/templates: gateway}, labels: {sidecar.istio.io/inject: "true"}}}`, 3, 3, 0},
		"an annotation": {
			`{apply: {manifest: '{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: ns1, name: x}, spec: {replicas: 4, template: {metadata: {annotations: {meshbench.dev/real: "3"}}}}}'}}`, 4, 3, 0,
		},
		"a StatefulSet of a manifest, scaled": {
			`{apply: {manifest: '{apiVersion: apps/v1, kind: StatefulSet, metadata: {namespace: ns1, name: x}, spec: {replicas: 2}}'}}, {scale: {namespace: ns1, statefulset: x, replicas: 7}}`, 7, 7, -1,
		},
		"churn of pods": {
			`{deployment: {namespace: ns1, name: a, image: a, replicas: 8}}, {churn: {namespace: ns1, deployment: a, share: 25%}}`, 10, 10, -1,
		},
		"churn of namespaces": {
			`{namespace: {name: x, injection: true}}, {deployment: {namespace: x, name: a, image: a, replicas: 8}}, {churn: {namespaces: [x], share: 25%}}`, 8, 8, -1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := Load("test.yaml", frame("", c.actions), nil)
			if err != nil {
				t.Fatal(err)
			}
			plan := s.Plan()
			first := 1
			if c.real == 0 {
				first = 0
			}
			if got := plan.Sidecars(c.real); got != first+c.sidecars {
				t.Errorf("%d sidecars, want %d", got, first+c.sidecars)
			}
			if plan.MostPods != 1+c.pods {
				t.Errorf("%d pods, want %d", plan.MostPods, 1+c.pods)
			}
		})
	}
}

// TestRoomOfJobs: pods that have ended leave their room to others; those that a classic
// sidecar keeps alive, or that last, do not.
func TestRoomOfJobs(t *testing.T) {
	const plain = `{namespace: {name: plain}}, `
	const more = `{deployment: {namespace: ns1, name: a, image: a, replicas: 60}}`
	for name, c := range map[string]struct {
		actions string
		fits    bool
	}{
		"ended":              {plain + `{job: {namespace: plain, name: j, image: a, completions: 60, parallelism: 60}}, ` + more, true},
		"told to last":       {plain + `{job: {namespace: plain, name: j, image: a, completions: 60, parallelism: 60, lasts: 1h}}, ` + more, false},
		"kept by a sidecar":  {plain + `{job: {namespace: ns1, name: j, image: a, completions: 60, parallelism: 60}}, ` + more, false},
		"deleted":            {plain + `{job: {namespace: ns1, name: j, image: a, completions: 60, parallelism: 60}}, {delete: {kind: Job, namespace: ns1, name: j}}, ` + more, true},
		"too many at a time": {plain + `{job: {namespace: plain, name: j, image: a, completions: 200, parallelism: 200}}`, false},
	} {
		s, err := Load("test.yaml", frame("", c.actions), nil)
		if (err == nil) != c.fits {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && s.Plan().MostPods != 61 {
			t.Errorf("%s: %d pods at most, want 61", name, s.Plan().MostPods)
		}
	}
}

// TestWitnessOfAnotherKind: the proxy that is dumped may be of a StatefulSet.
func TestWitnessOfAnotherKind(t *testing.T) {
	for action, kind := range map[string]string{"statefulset": "StatefulSet", "daemonset": "DaemonSet"} {
		s, err := Load("test.yaml", []byte(`
name: framed
title: A scenario for tests
cluster: {nodes: [{type: m6i.large, count: 4}]}
steps:
  - name: first
    actions:
      - namespace: {name: ns1, injection: true}
      - job: {namespace: ns1, name: before, image: a}
      - `+action+`: {namespace: ns1, name: a, image: a}
`), nil)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]Witness{{Namespace: "ns1", Kind: kind, Name: "a"}}, s.Witnesses); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		rendersToItself(t, s)
	}
}
