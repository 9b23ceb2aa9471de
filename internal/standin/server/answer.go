package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/meshbench/meshbench/internal/standin"
)

// maxRequest is how much of a request's body is read, in bytes.
const maxRequest = 64 << 20

// Answer is the body of an HTTP answer: who got what.
type Answer struct {
	standin.Self
	// Port is the one that was asked, Protocol HTTP/1.1 or HTTP/2.0.
	Port     int    `json:"port,omitempty"`
	Protocol string `json:"protocol"`
	Method   string `json:"method"`
	Host     string `json:"host"`
	Path     string `json:"path"` // with the query
	// Headers are those of the request, in lower case; several of one name are joined by
	// commas. x-forwarded-client-cert is among them where a sidecar took the request by mutual
	// TLS.
	Headers map[string]string `json:"headers"`
	// Received is the size of the request's body in bytes.
	Received int64 `json:"received,omitempty"`
	// Calls are the answers to the configuration's calls, in its order.
	Calls []Call `json:"calls,omitempty"`
	// Filler makes the body as long as it shall be.
	Filler string `json:"filler,omitempty"`
}

// answerer answers HTTP and gRPC.
type answerer struct {
	config  standin.Config
	self    standin.Self
	caller  *caller
	padding string
}

func newAnswerer(c standin.Config, self standin.Self) *answerer {
	return &answerer{config: c, self: self, caller: newCaller(c), padding: strings.Repeat("x", c.Size)}
}

// probes are paths at which health is asked for, beside the user agent of kubelets.
var probes = []string{"/healthz", "/health", "/livez", "/readyz", "/ready"}

// isProbe reports whether a request asks for the process's health, which is well whatever the
// configuration says of answers.
func isProbe(r *http.Request) bool {
	if strings.HasPrefix(r.UserAgent(), "kube-probe/") {
		return true
	}
	for _, path := range probes {
		if r.URL.Path == path {
			return true
		}
	}
	return false
}

// ServeHTTP answers one request.
func (a *answerer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		a.grpc(w, r)
		return
	}
	if isProbe(r) {
		w.WriteHeader(http.StatusOK)
		return
	}
	received, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxRequest))
	if err != nil {
		http.Error(w, fmt.Sprintf("cannot read the request: %v", err), http.StatusRequestEntityTooLarge)
		return
	}
	if !wait(r.Context(), a.config.Delay) {
		return
	}
	answer := Answer{
		Self: a.self, Port: port(r), Protocol: r.Proto, Method: r.Method, Host: r.Host,
		Path: r.URL.RequestURI(), Headers: headers(r.Header), Received: received,
	}
	status := a.config.Status
	if len(a.config.Calls) > 0 {
		if depth(r) >= maxDepth {
			http.Error(w, fmt.Sprintf("%d stand-ins have called one another for this request: the calls of their configurations go in a circle", maxDepth), http.StatusLoopDetected)
			return
		}
		answer.Calls = a.caller.all(r)
	}
	body, err := a.encode(&answer)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	a.addHeaders(w, "application/json")
	if status != http.StatusNoContent && status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // who asked may be gone
	}
}

// addHeaders sets those of an answer.
func (a *answerer) addHeaders(w http.ResponseWriter, contentType string) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Stand-In", strings.Trim(a.self.Namespace+"/"+a.self.Pod, "/"))
	for name, value := range a.config.Headers {
		w.Header().Set(name, value)
	}
}

// encode writes an answer, at least as long as the configuration says.
func (a *answerer) encode(answer *Answer) ([]byte, error) {
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, fmt.Errorf("write the answer: %w", err)
	}
	const field = `,"filler":""`
	if missing := a.config.Size - len(body) - 1; missing > 0 {
		filler := a.padding[:max(0, missing-len(field))]
		body = append(body[:len(body)-1], `,"filler":"`+filler+`"}`...)
	}
	return append(body, '\n'), nil
}

// wait waits, and reports whether who asked is still there.
func wait(ctx context.Context, d standin.Duration) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(time.Duration(d))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// port is the local one of a request.
func port(r *http.Request) int {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return 0
	}
	return local.Port
}

func headers(from http.Header) map[string]string {
	all := make(map[string]string, len(from))
	for name, values := range from {
		all[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return all
}
