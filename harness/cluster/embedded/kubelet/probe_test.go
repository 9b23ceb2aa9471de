package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
)

// fakeProcess runs commands: the first word is the exit code, the others the output.
type fakeProcess struct{ Process }

func (fakeProcess) Exec(_ context.Context, cmd []string, _ io.Reader, stdout, _ io.Writer, _ bool, _ <-chan runtime.TerminalSize) (int, error) {
	code, err := strconv.Atoi(cmd[0])
	if err != nil {
		return 0, errors.New("no such command")
	}
	fmt.Fprintln(stdout, strings.Join(cmd[1:], " "))
	return code, nil
}

func TestHandlers(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "kube-probe/1.31" || r.URL.RawQuery != "" && r.URL.RawQuery != "a=b" {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, "not yet")
	})
	mux.HandleFunc("/headers", func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "example.com" || r.Header.Get("X-Colour") != "green" {
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	mux.HandleFunc("/near", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/bad", http.StatusFound) })
	mux.HandleFunc("/far", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
	})
	mux.HandleFunc("/round", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/round", http.StatusFound) })
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer secure.Close()
	port := func(server *httptest.Server) int {
		u, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.Atoi(u.Port())
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closedPort := closed.Addr().(*net.TCPAddr).Port
	closed.Close()

	get := func(path string) handler {
		return handler{http: &corev1.HTTPGetAction{Path: path, Port: intstr.FromString("web")}}
	}
	run := func(cmd ...string) handler { return handler{exec: &corev1.ExecAction{Command: cmd}} }
	for _, test := range []struct {
		name    string
		handler handler
		err     string // "" is success
	}{
		{"get", get("/ok"), ""},
		{"get with a query", get("/ok?a=b"), ""},
		{"get without a slash", get("ok"), ""},
		{"bad status", get("/bad"), "503 Service Unavailable: not yet"},
		{"not found", get("/absent"), "404"},
		{"redirect to the same host", get("/near"), "503"},
		{"redirect to another host", get("/far"), ""},
		{"redirect without end", get("/round"), "10 redirects"},
		{"headers", handler{http: &corev1.HTTPGetAction{Path: "/headers", Port: intstr.FromString("web"),
			HTTPHeaders: []corev1.HTTPHeader{{Name: "Host", Value: "example.com"}, {Name: "X-Colour", Value: "green"}}}}, ""},
		{"https unverified", handler{http: &corev1.HTTPGetAction{Path: "/ok", Scheme: corev1.URISchemeHTTPS, Port: intstr.FromInt(port(secure))}}, ""},
		{"host", handler{http: &corev1.HTTPGetAction{Path: "/ok", Host: "localhost", Port: intstr.FromInt(port(plain))}}, ""},
		{"unknown port", handler{http: &corev1.HTTPGetAction{Port: intstr.FromString("nope")}}, `no port "nope"`},
		{"numeric name", handler{tcp: &corev1.TCPSocketAction{Port: intstr.FromString(strconv.Itoa(port(plain)))}}, ""},
		{"tcp", handler{tcp: &corev1.TCPSocketAction{Port: intstr.FromInt(port(plain))}}, ""},
		{"tcp refused", handler{tcp: &corev1.TCPSocketAction{Port: intstr.FromInt(closedPort)}}, "refused"},
		{"exec", run("0", "fine"), ""},
		{"exec fails", run("2", "broken"), "2 broken ended with 2: broken"},
		{"exec cannot", run("nope"), "no such command"},
		{"sleep", handler{sleep: &corev1.SleepAction{}}, ""},
		{"unknown", handler{}, "knows exec, httpGet, tcpSocket and sleep only"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := &corev1.Container{Name: "c", Ports: []corev1.ContainerPort{{Name: "other", ContainerPort: 1}, {Name: "web", ContainerPort: int32(port(plain))}}}
			err := test.handler.run(t.Context(), target{"127.0.0.1", c, fakeProcess{}})
			if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
				t.Errorf("error is %v, want %q", err, test.err)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	bad := errors.New("bad")
	for _, test := range []struct {
		name             string
		initial          verdict
		success, failure int32
		results          string // + is a success
		changes          string // what the verdict becomes after each; . is no change
	}{
		{"readiness comes and goes", failed, 1, 3, "--+---+", "..+..-+"},
		{"success threshold", failed, 2, 1, "+-++-+", "...+-."},
		{"liveness", passed, 1, 3, "+--+---", "......-"},
		{"startup passes", unknown, 1, 3, "--+", "..+"},
		{"startup fails", unknown, 1, 3, "---", "..-"},
		{"startup fails at once", unknown, 1, 1, "-", "-"},
	} {
		j := judge{probe: &corev1.Probe{SuccessThreshold: test.success, FailureThreshold: test.failure}, verdict: test.initial}
		var changes strings.Builder
		for _, result := range test.results {
			var err error
			if result == '-' {
				err = bad
			}
			switch changed := j.observe(err); {
			case !changed:
				changes.WriteByte('.')
			case j.verdict == passed:
				changes.WriteByte('+')
			default:
				changes.WriteByte('-')
			}
		}
		if changes.String() != test.changes {
			t.Errorf("%s: %s gives %s, want %s", test.name, test.results, changes.String(), test.changes)
		}
	}
}

// watch keeps the probe's times.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var calls, changes []time.Duration
		ctx, cancel := context.WithCancel(t.Context())
		process := hookedProcess{exec: func() int {
			calls = append(calls, time.Since(begin))
			if len(calls) < 3 {
				return 1
			}
			return 0
		}}
		p := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}},
			InitialDelaySeconds: 3, PeriodSeconds: 5, SuccessThreshold: 1, FailureThreshold: 1, TimeoutSeconds: 1}
		go watch(ctx, p, failed, target{process: process}, func(err error) {
			if err != nil {
				t.Errorf("changed to failed: %v", err)
			}
			changes = append(changes, time.Since(begin))
		})
		time.Sleep(20 * time.Second)
		cancel()
		synctest.Wait()
		want := []time.Duration{3 * time.Second, 8 * time.Second, 13 * time.Second, 18 * time.Second}
		if fmt.Sprint(calls) != fmt.Sprint(want) || len(changes) != 1 || changes[0] != 13*time.Second {
			t.Errorf("probed at %v, want %v; changed at %v, want 13s", calls, want, changes)
		}
	})
}

type hookedProcess struct {
	Process
	exec func() int
}

func (p hookedProcess) Exec(context.Context, []string, io.Reader, io.Writer, io.Writer, bool, <-chan runtime.TerminalSize) (int, error) {
	return p.exec(), nil
}
