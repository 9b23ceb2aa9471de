package scenarios

import (
	"testing"

	"github.com/onsi/gomega"
)

func TestCallRefusedAndTaken(t *testing.T) {
	for name, c := range map[string]struct{ actions, path, want string }{
		"from nobody":               {`{call: {from: ns1/[cleint|client], to: "echo.server:80", proves: blocked}}`, "from", `no earlier step creates a workload "cleint" in namespace "ns1"; did you mean "client"?`},
		"to nobody":                 {`{call: {from: ns1/client, to: "[ehco|echo].server:80", proves: blocked}}`, "to", `no earlier step creates Service "ehco" in namespace "server"; did you mean "echo"?; for a host that is no Service write outside: true`},
		"to a port that is not":     {`{call: {from: ns1/client, to: "echo.server:[81|80]", proves: blocked}}`, "to", "Service server/echo has no port 81; it has 80, 53/UDP"},
		"another protocol":          {`{call: {from: ns1/client, to: "echo.server:80", protocol: [grpc|tcp], proves: blocked}}`, "protocol", `unknown protocol "grpc"; want http or tcp`},
		"a path of tcp":             {`{call: {from: ns1/client, to: "echo.server:80", protocol: [tcp|http], path: /x, proves: blocked}}`, "path", "is for protocol http, not tcp; omit it"},
		"a path that is none":       {`{call: {from: ns1/client, to: "echo.server:80", path: "[x|/x]", proves: blocked}}`, "path", `invalid path "x": want e.g. /debug`},
		"another proof":             {`{call: {from: ns1/client, to: "echo.server:80", proves: [allowed|blocked]}}`, "proves", `unknown proof "allowed"; want mutual-tls or blocked`},
		"a certificate over tcp":    {`{call: {from: ns1/client, to: "echo.server:80", protocol: [tcp|http], proves: mutual-tls}}`, "proves", "mutual-tls is proved by a header, which tcp has not; want protocol http"},
		"a host that is no Service": {`{call: {from: ns1/client, to: "[example.com|echo.server]:80", proves: blocked}}`, "to", `no earlier step creates namespace "com"; known: default, istio-system, kube-node-lease, kube-public, kube-system, ns1, server; for a host that is no Service write outside: true`},
	} {
		t.Run(name, func(t *testing.T) {
			refusedAndTaken(t, flat(world+c.actions), "actions[8].call."+c.path, c.want)
		})
	}
}

func TestCall(t *testing.T) {
	g := gomega.NewWithT(t)
	s, err := Load("test.yaml", frame("", flat(world+`{call: {from: ns1/client, to: "echo.server:80", proves: mutual-tls}}`)), nil)
	g.Expect(err).NotTo(gomega.HaveOccurred())
	actions := s.Steps[len(s.Steps)-1].Actions
	c := actions[len(actions)-1].Change.(*Call)
	g.Expect(c.URL()).To(gomega.Equal("http://echo.server:80/"))
	g.Expect(c.String()).To(gomega.Equal("call http://echo.server:80/ from ns1/client, by mutual TLS"))
	g.Expect(s.Plan().Applications).To(gomega.BeTrue())
	g.Expect(s.Plan().Running).To(gomega.HaveLen(2))
}
