package actions

import (
	"testing"

	. "github.com/onsi/gomega"
)

// What Fortio's server and the stand-in repeat of a request that came by mutual TLS.
const (
	fortioDebug = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nΦορτίο version 1.75.3\nGET /debug HTTP/1.1\n\nheaders:\n\n" +
		"Host: inside.ns2:8080\nX-Envoy-Attempt-Count: 1\n" +
		"X-Forwarded-Client-Cert: By=spiffe://cluster.local/ns/ns2/sa/default;Hash=e5c2;Subject=\"\";URI=spiffe://cluster.local/ns/ns1/sa/default\n" +
		"X-Forwarded-Proto: http\n\nbody:\n"
	standInAnswer = `HTTP/1.1 200 OK
content-type: application/json

{"pod":"inside","headers":{"user-agent":"fortio","x-forwarded-client-cert":"By=spiffe://cluster.local/ns/ns2/sa/default;Hash=e5c2;Subject=\"\";URI=spiffe://cluster.local/ns/ns1/sa/default","x-forwarded-proto":"http"}}`
)

func TestCertificate(t *testing.T) {
	for name, tt := range map[string]struct {
		answer, account string
		holds           bool
		says            string
	}{
		"Fortio's server":        {fortioDebug, "", true, "spiffe://cluster.local/ns/ns1/sa/default"},
		"the stand-in":           {standInAnswer, "default", true, "spiffe://cluster.local/ns/ns1/sa/default"},
		"somebody else's":        {standInAnswer, "other", false, "spiffe://cluster.local/ns/ns1/sa/default"},
		"no header":              {"HTTP/1.1 200 OK\r\n\r\nHost: a\n", "", false, "the answer has no header"},
		"no certificate":         {"X-Forwarded-Client-Cert: By=spiffe://cluster.local/ns/ns2/sa/default\n", "", false, "names no certificate"},
		"an identity of no hash": {"X-Forwarded-Client-Cert: URI=spiffe://cluster.local/ns/ns1/sa/default\n", "", false, "names no certificate"},
		"no answer":              {"", "", false, "the answer has no header"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := certificate([]byte(tt.answer), "ns1", tt.account)
			g.Expect(*p.Holds).To(Equal(tt.holds))
			g.Expect(p.Says).To(ContainSubstring(tt.says))
		})
	}
}

func TestAnswerStatus(t *testing.T) {
	g := NewWithT(t)
	g.Expect(answerStatus([]byte(fortioDebug))).To(Equal("200"))
	g.Expect(answerStatus([]byte("{\"level\":\"err\",\"msg\":\"Error status 502\"}\nHTTP/1.1 502 Bad Gateway\r\n"))).To(Equal("502"))
	g.Expect(answerStatus([]byte("the body says HTTP/1.1 200 OK"))).To(BeEmpty())
}

// Lines of Istio's own format, of JSON, and of requests that came otherwise to a 502.
func TestBlockedLine(t *testing.T) {
	for line, want := range map[string]bool{
		`[2026-11-30T10:07:39.377Z] "GET /debug?meshbench-call=a HTTP/1.1" 502 - direct_response - "-" 0 0 0 - "-" "fortio.org" "67bd" "outside.ns3:8080" "-" - - 172.20.9.108:8080 10.0.16.6:42748 - block_all`:                          true,
		`{"path":"/debug?meshbench-call=a","response_code":502,"response_code_details":"direct_response","route_name":"block_all","upstream_cluster":null}`:                                                                               true,
		`[2026-11-30T10:07:39.377Z] "GET /debug?meshbench-call=a HTTP/1.1" 502 UF upstream_reset - "-" 0 0 0 - "-" "fortio.org" "67bd" "inside.ns2:8080" "10.0.16.4:8080" outbound|8080||inside.ns2 - - - - default`:                      false,
		`[2026-11-30T10:07:39.377Z] "GET /debug?meshbench-call=a HTTP/1.1" 200 - via_upstream - "-" 0 656 5 4 "-" "fortio.org" "bafd" "block_all:8080" "10.0.16.4:8080" PassthroughCluster 10.0.16.6:38908 172.20.9.1:8080 - - allow_any`: false,
	} {
		p := blockedLine(line)
		NewWithT(t).Expect(*p.Holds).To(Equal(want), line)
		NewWithT(t).Expect(p.Says).To(Equal(line))
	}
}
