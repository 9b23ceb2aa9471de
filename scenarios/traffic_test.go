package scenarios

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/onsi/gomega"
)

// world has a client, what answers, and Services of several kinds.
const world = `{deployment: {namespace: ns1, name: client, image: "docker.io/fortio/fortio:1.75.3"}},
	{namespace: {name: server, injection: true}}, {deployment: {namespace: server, name: echo, image: nginx, replicas: 2}},
	{expose: {namespace: server, deployment: echo, ports: [{name: http, port: 80, targetPort: 8080}, {name: dns, port: 53, protocol: UDP}]}},
	{expose: {namespace: server, name: out, endpoints: [192.0.2.1], ports: [{port: 80}]}},
	{expose: {namespace: ns1, deployment: test, ports: [{port: 80}]}},
	{deployment: {namespace: server, name: none, image: nginx, replicas: 0}}, {expose: {namespace: server, deployment: none, ports: [{port: 80}]}},
	`

func TestTrafficRefusedAndTaken(t *testing.T) {
	const rest = `, qps: 10, duration: 2s}}`
	const from = `{traffic: {from: ns1/client, `
	const echo = from + `to: "echo.server:80", `
	for name, c := range map[string]struct{ actions, path, want string }{
		"from nobody": {
			`{traffic: {from: ns1/[cleint|client], to: "echo.server:80"` + rest,
			"from", `no earlier step creates a workload "cleint" in namespace "ns1"; did you mean "client"?`,
		},
		"from a namespace that is not there": {
			`{traffic: {from: [ns1/client, [ns3/client|server/fortio]], to: "echo.server:80"` + rest,
			"from[1]", `no earlier step creates namespace "ns3"; did you mean "ns1"?`,
		},
		"from a workload without a namespace": {
			`{traffic: {from: [client|ns1/client], to: "echo.server:80"` + rest,
			"from", `invalid name "client": want NAMESPACE/NAME of a workload`,
		},
		"from a container that cannot send": {
			`{traffic: {from: ns1/[test|client], to: "echo.server:80"` + rest,
			"from", "ns1/test cannot send: none of its containers has the image fortio/fortio, whose load generator sends the requests; it has nginx (nginx)",
		},
		"from one twice": {
			`{traffic: {from: [ns1/client, [ns1/client|server/fortio]], to: "echo.server:80"` + rest,
			"from[1]", "ns1/client is in the list already",
		},
		"to a Service that is not there": {
			from + `to: "[ehco|echo].server:80"` + rest,
			"to", `no earlier step creates Service "ehco" in namespace "server"; did you mean "echo"?; for a host that is no Service write outside: true`,
		},
		"to a namespace that is not there": {
			from + `to: "echo.[severs|server].svc.cluster.local:80"` + rest,
			"to", `no earlier step creates namespace "severs"; did you mean "server"?; for a host that is no Service write outside: true`,
		},
		"to a Service of another namespace by its short name": {
			from + `to: "[echo|test]:80"` + rest,
			"to", `no earlier step creates Service "echo" in namespace "ns1"; known: test; for a host that is no Service write outside: true`,
		},
		"to a port that the Service does not have": {
			from + `to: "echo.server:[8080|80]"` + rest,
			"to", "Service server/echo has no port 8080; it has 80, 53/UDP",
		},
		"to addresses": {
			from + `to: "[out|echo].server:80"` + rest,
			"to", "Service server/out has addresses in place of pods, where nothing of the scenario answers; for what runs there anyway write outside: true",
		},
		"to a Service without pods": {
			from + `to: "[none|echo].server:80"` + rest,
			"to", "Service server/none has no pods at this step: nothing would answer; create or scale up what it selects (app=none) first",
		},
		"to no port": {
			from + `to: "echo.server[|:80]"` + rest,
			"to", `invalid target "echo.server": want SERVICE.NAMESPACE:PORT, e.g. echo.server:8080`,
		},
		"to a host outside that is none": {
			from + `outside: true, to: "[a_b|a.b.example]:80"` + rest,
			"to", `invalid host "a_b": want SERVICE.NAMESPACE, or a DNS name or an address with outside: true`,
		},
		"without a rate": {
			echo + `duration: 2s, [path: /|qps: 1]}}`,
			"qps", "is required; want a whole number",
		},
		"as fast as possible": {
			echo + `duration: 2s, qps: [0|1]}}`,
			"qps", "0 is no rate; state how many requests a second to send, at most 100000: as fast as possible is no bound",
		},
		"faster than can be": {
			echo + `duration: 2s, qps: [100001|100000]}}`,
			"qps", "100001 is too large; want at most 100000",
		},
		"for ever": {
			echo + `qps: 1, [path: /|duration: 2s]}}`,
			"duration", "is required; want a duration like 90s or 5m",
		},
		"for no time": {
			echo + `qps: 1, duration: [0s|1s]}}`,
			"duration", "0s is too short for a rate; want at least 1s",
		},
		"for too long": {
			echo + `qps: 1, duration: [61m|1h]}}`,
			"duration", "1h1m0s is too long; want at most 1h0m0s",
		},
		"with more connections than requests": {
			echo + `qps: 10, duration: 2s, connections: [21|20]}}`,
			"connections", "10 requests a second for 2s are fewer than 21 connections; send more, for longer, or use fewer connections",
		},
		"with a payload that is too large": {
			echo + `payload: [262145|262144]` + rest,
			"payload", "262145 is too large; want at most 262144",
		},
		"by a protocol that is not known": {
			echo + `protocol: [https|http]` + rest,
			"protocol", `unknown protocol "https"; want http, grpc or tcp`,
		},
		"by TCP with a path": {
			echo + `protocol: [tcp|http], path: /a` + rest,
			"path", "is for protocol http, not tcp; omit it",
		},
		"with a path that is none": {
			echo + `path: "[a|/a]"` + rest,
			"path", `invalid path "a": want e.g. /productpage?u=normal`,
		},
		"with a header that is none": {
			echo + `headers: {"[a b|a-b]": c}` + rest,
			"headers.a b", `"a b: c" is not valid as an HTTP header`,
		},
		"with a status that is none": {
			echo + `expect: {[OK|200]: 100%}` + rest,
			"expect.OK", `"OK" is no status of HTTP; want 100 to 599, or error for requests that are not answered`,
		},
		"with a status of HTTP for gRPC": {
			echo + `protocol: grpc, expect: {"[200|OK]": 100%}` + rest,
			"expect.200", `unknown status "200" of grpc; want OK or error`,
		},
		"with a share that is none": {
			echo + `expect: {200: "[1|99.5%]", 502: 0%}` + rest,
			"expect.200", `invalid share "1": want a percentage from 0% to 100%, e.g. 99.5%`,
		},
		"with shares of more than there is": {
			echo + `expect: {200: 60%, 503: [50|40]%}` + rest,
			"expect", "the least shares add up to 110%; want at most 100%",
		},
	} {
		t.Run(name, func(t *testing.T) {
			const senders = `{deployment: {namespace: server, name: fortio, image: fortio/fortio}}, `
			actions := world + senders + c.actions
			path := "actions[9].traffic." + c.path
			refusedAndTaken(t, flat(actions), path, c.want)
		})
	}
}

func TestTraffic(t *testing.T) {
	g := gomega.NewWithT(t)
	s, err := Load("test.yaml", frame("", flat(world+`
		{traffic: {from: ns1/client, to: "echo.server:80", qps: 100, payload: 1024, connections: 4, duration: 10s}},
		{traffic: {from: [ns1/client], to: "192.0.2.7:81", outside: true, protocol: tcp, qps: 1, duration: 1s, expect: {error: 100%}}}`)), nil)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	actions := s.Steps[1].Actions
	inside, outside := actions[len(actions)-2].Change.(*Traffic), actions[len(actions)-1].Change.(*Traffic)
	want := &Traffic{
		From: Sources{"ns1/client"}, To: "echo.server:80", Protocol: HTTP, Path: "/", QPS: 100, Payload: 1024, Connections: 4,
		Duration: 10 * time.Second, Expect: map[string]string{"200": "100%"},
	}
	g.Expect(cmp.Diff(want, inside, cmpopts.IgnoreUnexported(Traffic{}))).To(gomega.BeEmpty())
	g.Expect(inside.String()).To(gomega.Equal("send 100 requests a second of 1024 bytes from ns1/client to http://echo.server:80/ for 10s over 4 connections"))
	g.Expect(inside.Service()).To(gomega.Equal("server/echo"))
	g.Expect(inside.Targets()).To(gomega.Equal([]string{"server/echo"}))
	g.Expect(inside.Shares()).To(gomega.Equal(map[string]float64{"200": 1}))
	g.Expect(outside.URL()).To(gomega.Equal("tcp://192.0.2.7:81"))
	g.Expect(outside.Service()).To(gomega.BeEmpty())
	g.Expect(outside.Shares()).To(gomega.Equal(map[string]float64{"error": 1}))

	plan := s.Plan()
	g.Expect(plan.Applications).To(gomega.BeTrue())
	fortio := []Container{{Name: "fortio", Image: "docker.io/fortio/fortio:1.75.3"}}
	g.Expect(cmp.Diff([]PlannedApplication{
		{Kind: "Deployment", Namespace: "server", Name: "echo", Answers: true, Injected: true, Replicas: 2, Containers: []Container{{Name: "nginx", Image: "nginx"}}, Ports: []int{8080}},
		{Kind: "Deployment", Namespace: "ns1", Name: "client", Sends: true, Injected: true, Replicas: 1, Containers: fortio},
	}, plan.Running, cmpopts.IgnoreUnexported(PlannedApplication{}))).To(gomega.BeEmpty())

	g.Expect(s.Simulated(Shares{Real: -1})).To(gomega.Succeed())
	g.Expect(s.Simulated(Shares{Real: 2})).To(gomega.Succeed())
	g.Expect(s.Simulated(Shares{Real: 0})).To(gomega.MatchError(gomega.And(
		gomega.ContainSubstring("steps[1].actions[8].traffic: server/echo cannot answer all requests: of its 2 pods, the containers of 2 would be simulated (--real 0 or sidecars.real); let all run with sidecars: {real: all} or --real 2"),
		gomega.ContainSubstring("ns1/client cannot send: its container fortio would be simulated, since none of its pods runs"),
	)))
	var problems Problems
	g.Expect(errors.As(s.Simulated(Shares{Real: 1}), &problems)).To(gomega.BeTrue())
	g.Expect(problems).To(gomega.HaveLen(1))
	g.Expect(problems[0].Line).To(gomega.Equal(12))
}

// TestTrafficToManifests checks what a manifest's Service and workloads tell.
func TestTrafficToManifests(t *testing.T) {
	g := gomega.NewWithT(t)
	s, err := Load("test.yaml", frame("", flat(`{deployment: {namespace: ns1, name: client, image: fortio/fortio}},
		{apply: {manifest: '{apiVersion: v1, kind: List, items: [{apiVersion: v1, kind: Service, metadata: {namespace: ns1, name: s}, spec: {selector: {a: b}, ports: [{port: 80, targetPort: web}]}},
			{apiVersion: v1, kind: Service, metadata: {namespace: ns1, name: named}, spec: {type: ExternalName, externalName: example.com, ports: [{port: 80}]}},
			{apiVersion: apps/v1, kind: StatefulSet, metadata: {namespace: ns1, name: x}, spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b, c: d}},
				spec: {containers: [{name: c, image: i, ports: [{name: web, containerPort: 8080}, {containerPort: 9}, {name: u, containerPort: 1, protocol: UDP}]}]}}}},
			{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: ns1, name: other}, spec: {selector: {matchLabels: {a: other}}, template: {metadata: {labels: {a: other}, annotations: {meshbench.dev/stand-in: "{}"}}}}}]}'}},
		{traffic: {from: ns1/client, to: "s:80", qps: 100, duration: 10s}}, {traffic: {from: ns1/client, to: "named:80", qps: 100, duration: 10s}}`)), nil)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(cmp.Diff([]PlannedApplication{
		{Kind: "StatefulSet", Namespace: "ns1", Name: "x", Answers: true, Injected: true, Replicas: 1, Ports: []int{8080},
			Containers: []Container{{Name: "c", Image: "i", Ports: map[string]int{"web": 8080, "9": 9}}}},
		{Kind: "Deployment", Namespace: "ns1", Name: "client", Sends: true, Injected: true, Replicas: 1, Containers: []Container{{Name: "fortio", Image: "fortio/fortio"}}},
		{Kind: "Deployment", Namespace: "ns1", Name: "other", Answers: true, Injected: true, Replicas: 1},
	}, s.Plan().Running, cmpopts.IgnoreUnexported(PlannedApplication{}))).To(gomega.BeEmpty())
}

func TestIsFortio(t *testing.T) {
	for image, want := range map[string]bool{
		"fortio/fortio": true, "fortio/fortio:1.75.3": true, "docker.io/fortio/fortio@sha256:ab": true, "localhost:5000/fortio/fortio": true,
		"localhost:5000/fortio/fortio:latest_release@sha256:ab": true, "fortio": false, "fortio/fortio2": false, "notfortio/fortio": false, "": false,
	} {
		gomega.NewWithT(t).Expect(IsFortio(image)).To(gomega.Equal(want), image)
	}
}

// flat puts actions on one line, of which tests know the number.
func flat(actions string) string { return strings.Join(strings.Fields(actions), " ") }
