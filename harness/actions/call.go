package actions

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

const (
	// logPatience is how long a line of the access log is waited for: Envoy writes it at least
	// once a second, a kubelet hands it on.
	logPatience = 20 * time.Second
	// callTimeout bounds one request with all that is asked about it.
	callTimeout = time.Minute
)

// Ways to a proof ([observations.Proof].By).
const (
	byAnswer      = "the answer"
	byCertificate = "the client's certificate, as the server's sidecar saw it"
	byAccessLog   = "the access log of the client's sidecar"
	byMetric      = "istio_requests_total of the client's sidecar"
	byBlackHole   = "the connections that the client's sidecar tried at BlackHoleCluster"
)

// call asks once and records what became of the request.
func call(ctx context.Context, on *On, c *scenarios.Call) error {
	on.Progress.Status("%s: waiting for the mesh", c)
	if err := on.Quiet.Pushed(ctx, ""); err != nil {
		return err
	}
	return callOnce(ctx, on, c, "")
}

// callOnce asks in a mesh that is quiet, as a part of a walk along a graph or, for "", by itself.
func callOnce(ctx context.Context, on *On, c *scenarios.Call, graph string) error {
	pod, container, err := findSender(ctx, on, c.From)
	if err != nil {
		return fmt.Errorf("from %s: %w", c.From, err)
	}
	on.Progress.Status("%s", c)
	ctx, cancel := context.WithTimeoutCause(ctx, callTimeout, fmt.Errorf("the request and its proofs took longer than %s", callTimeout))
	defer cancel()
	a := &asking{on: on, Call: c, pod: pod, container: container}
	record := &observations.Call{
		From: c.From, Graph: graph, Pod: kube.Name(pod).String(), To: c.To, Protocol: c.Protocol, Path: c.Path, Proves: c.Proves, At: time.Now().UTC(),
	}
	if err := a.prove(ctx, record); err != nil {
		return fmt.Errorf("from %s: %w", c.From, err)
	}
	return on.Recorder.Append(observations.Record{Call: record})
}

// asking is one request.
type asking struct {
	on *On
	*scenarios.Call
	pod       *corev1.Pod // that asks
	container string
}

// prove asks and fills in what was seen.
func (a *asking) prove(ctx context.Context, record *observations.Call) error {
	if a.Protocol == scenarios.TCP {
		return a.blockedTCP(ctx, record)
	}
	mark := "meshbench-call=" + strings.ToLower(rand.Text())
	answer, err := a.request(ctx, mark)
	if err != nil {
		return err
	}
	record.Answer = answerStatus(answer)
	if a.Proves == scenarios.MutualTLS {
		record.Proofs = []observations.Proof{
			proof(byAnswer, record.Answer == "200", "status %s", orNone(record.Answer)),
			certificate(answer, a.pod.Namespace, a.pod.Spec.ServiceAccountName),
		}
		return nil
	}
	logged, err := a.accessLog(ctx, record.At, mark)
	if err != nil {
		return err
	}
	counted, err := a.counted(ctx)
	if err != nil {
		return err
	}
	record.Proofs = []observations.Proof{proof(byAnswer, record.Answer == "502", "status %s", orNone(record.Answer)), logged, counted}
	return nil
}

func proof(by string, holds bool, format string, args ...any) observations.Proof {
	return observations.Proof{By: by, Holds: &holds, Says: fmt.Sprintf(format, args...)}
}

func orNone(status string) string {
	if status == "" {
		return "none: there was no answer"
	}
	return status
}

// exec runs a command in a container of the pod that asks, and returns what it printed. That it
// failed is no error.
func (a *asking) exec(ctx context.Context, container string, command ...string) (stdout, stderr []byte, err error) {
	out, log := &bounded{most: mostOutput}, &bounded{most: mostOutput}
	err = a.on.Exec.Exec(ctx, kube.Name(a.pod), container, command, out, log)
	var failed *kube.ExitError
	if err != nil && !errors.As(err, &failed) {
		return nil, nil, fmt.Errorf("run %s in pod %s: %w", command[0], kube.Name(a.pod), err)
	}
	return out.Bytes(), log.Bytes(), nil
}

// request asks by HTTP, with a mark in the query by which the request is known, and returns
// the answer as it came.
func (a *asking) request(ctx context.Context, mark string) ([]byte, error) {
	url := a.URL() + "?" + mark
	if strings.Contains(a.Path, "?") {
		url = a.URL() + "&" + mark
	}
	// A bad status is a failure to it, and is printed all the same; where, differs.
	out, log, err := a.exec(ctx, a.container, fortioProgram, "curl", "-quiet", "-timeout", requestTimeout.String(), url)
	return bytes.Join([][]byte{log, out}, []byte("\n")), err
}

var statusLine = regexp.MustCompile(`(?m)^HTTP/[0-9.]+ ([0-9]{3})\b`)

// answerStatus is the status of an answer; "" for none.
func answerStatus(answer []byte) string {
	if found := statusLine.FindSubmatch(answer); found != nil {
		return string(found[1])
	}
	return ""
}

// clientCertificate is the header as Fortio's server and the stand-in repeat it. The first names
// it in capitals, the second in JSON.
var clientCertificate = regexp.MustCompile(`(?im)x-forwarded-client-cert"?:\s*"?((?:\\.|[^"\r\n\\]|";?|"[^,}])*)`)

// spiffe is an identity in it.
var spiffe = regexp.MustCompile(`URI=(spiffe://[^;,"\s\\]+)`)

// certificate looks for the client's certificate in an answer that repeats the headers of the
// request.
func certificate(answer []byte, namespace, account string) observations.Proof {
	found := clientCertificate.FindSubmatch(answer)
	if found == nil {
		return proof(byCertificate, false, "the answer has no header x-forwarded-client-cert of the request")
	}
	who := spiffe.FindSubmatch(found[1])
	if who == nil || !bytes.Contains(found[1], []byte("Hash=")) {
		return proof(byCertificate, false, "x-forwarded-client-cert names no certificate: %s", found[1])
	}
	if account == "" {
		account = "default"
	}
	want := "/ns/" + namespace + "/sa/" + account
	return proof(byCertificate, strings.HasSuffix(string(who[1]), want), "%s", who[1])
}

// accessLog looks for the request in the log of the client's sidecar: that Envoy answered
// itself, by the route block_all, and asked no cluster.
func (a *asking) accessLog(ctx context.Context, since time.Time, mark string) (observations.Proof, error) {
	after := metav1.NewTime(since.Add(-5 * time.Second)) // by the node's clock
	ctx, cancel := context.WithTimeout(ctx, logPatience)
	defer cancel()
	for {
		stream, err := a.on.Kube.CoreV1().Pods(a.pod.Namespace).GetLogs(a.pod.Name, &corev1.PodLogOptions{Container: observations.SidecarContainer, SinceTime: &after}).Stream(ctx)
		if err == nil {
			var line string
			line, err = lineWith(stream, mark)
			stream.Close()
			if err == nil && line != "" {
				return blockedLine(line), nil
			}
		}
		select {
		case <-ctx.Done():
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				return observations.Proof{}, fmt.Errorf("read the log of the sidecar of pod %s: %w", kube.Name(a.pod), err)
			}
			return proof(byAccessLog, false, "it has no line of the request: is the access log on (meshConfig.accessLogFile: /dev/stdout)?"), nil
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// lineWith is the first line with a text; "" for none.
func lineWith(r io.Reader, text string) (string, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if strings.Contains(lines.Text(), text) {
			return lines.Text(), nil
		}
	}
	return "", lines.Err()
}

var status502 = regexp.MustCompile(`(?:\s|:)"?502\b`)

// blockedLine judges a line of the access log, in Istio's own format or as JSON.
func blockedLine(line string) observations.Proof {
	holds := status502.MatchString(line) && strings.Contains(line, "direct_response") && strings.Contains(line, "block_all")
	return proof(byAccessLog, holds, "%s", line)
}

// ask asks Envoy's administration through the agent in the sidecar.
func (a *asking) ask(ctx context.Context, path string) (string, error) {
	out, _, err := a.exec(ctx, observations.SidecarContainer, "pilot-agent", "request", "GET", path)
	return string(out), err
}

// counted looks for the request in Istio's own metric, which only Istio's build of Envoy keeps.
func (a *asking) counted(ctx context.Context) (observations.Proof, error) {
	text, err := a.ask(ctx, "stats/prometheus?filter=istiocustom.istio_requests_total")
	if err != nil {
		return observations.Proof{}, err
	}
	kept := false
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "istio_requests_total{") {
			continue
		}
		kept = true
		if strings.Contains(line, `destination_service_name="BlackHoleCluster"`) && strings.Contains(line, `response_code="502"`) {
			return proof(byMetric, true, "%s", strings.TrimSpace(line)), nil
		}
	}
	if !kept {
		return observations.Proof{By: byMetric, Says: "this proxy does not keep it: it takes istio.stats, which upstream's Envoy lacks (--from images has Istio's own)"}, nil
	}
	return proof(byMetric, false, "it has no request to BlackHoleCluster with 502"), nil
}

// blockedTCP connects, and counts what the client's sidecar has tried at BlackHoleCluster.
func (a *asking) blockedTCP(ctx context.Context, record *observations.Call) error {
	// Envoy makes the counter with the first connection.
	before, _, err := a.blackHole(ctx)
	if err != nil {
		return err
	}
	out, log, err := a.exec(ctx, a.container, fortioProgram, "load", "-quiet", "-log-errors=false", "-json", "-", "-n", "1", "-c", "1", "-qps", "1",
		"-timeout", requestTimeout.String(), "-allow-initial-errors", "tcp://"+a.To)
	if err != nil {
		return err
	}
	result, err := parseFortio(out)
	if err != nil {
		return fmt.Errorf("read what fortio in pod %s says: %w%s", kube.Name(a.pod), err, lastWords(log))
	}
	record.Answer = scenarios.AnswerError
	for code, n := range result.RetCodes {
		if n > 0 && status(code, scenarios.TCP) == scenarios.AnswerOK {
			record.Answer = scenarios.AnswerOK
		}
	}
	after, known, err := a.blackHole(ctx)
	if err != nil {
		return err
	}
	record.Proofs = []observations.Proof{proof(byAnswer, record.Answer == scenarios.AnswerError, "%s", record.Answer)}
	if !known {
		record.Proofs = append(record.Proofs, proof(byBlackHole, false, "it has no statistics of that cluster: let its pod have them (annotation sidecar.istio.io/statsInclusionPrefixes: cluster.BlackHoleCluster)"))
		return nil
	}
	record.Proofs = append(record.Proofs, proof(byBlackHole, after > before, "%d, %d before the request", after, before))
	return nil
}

// blackHole is how many connections the sidecar has tried at the cluster that leads nowhere.
func (a *asking) blackHole(ctx context.Context) (n int64, known bool, err error) {
	text, err := a.ask(ctx, `stats?filter=^cluster\.BlackHoleCluster;?\.upstream_cx_none_healthy$`)
	if err != nil {
		return 0, false, err
	}
	for line := range strings.Lines(text) {
		// Istio may end the cluster's name with a semicolon, for the statistics' tags.
		if _, number, ok := strings.Cut(strings.TrimSpace(line), "upstream_cx_none_healthy: "); ok {
			n, err = strconv.ParseInt(number, 10, 64)
			return n, err == nil, err
		}
	}
	return 0, false, nil
}
