package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/meshbench/meshbench/internal/standin"
)

const (
	// maxDepth is how many stand-ins may call one another for one request.
	maxDepth = 16
	// depthHeader counts them.
	depthHeader = "X-Stand-In-Depth"
	// maxNested is how much of a call's answer is kept, in bytes; all calls of an answer share
	// standin.MaxSize.
	maxNested = 1 << 20
)

// forwarded are the headers of a request that its calls get: those that the applications of
// bookinfo pass on, for tracing and for routing by the user.
var forwarded = []string{
	"X-Request-Id", "X-Ot-Span-Context", "X-Datadog-Trace-Id", "X-Datadog-Parent-Id", "X-Datadog-Sampling-Priority",
	"Traceparent", "Tracestate", "X-Cloud-Trace-Context", "Grpc-Trace-Bin",
	"B3", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled", "X-B3-Flags", "Sw8",
	"End-User", "User-Agent", "Cookie", "Authorization", "Jwt",
}

// Call is the answer to one call.
type Call struct {
	URL string `json:"url"`
	// Status is that of HTTP; 0 where there was no answer.
	Status int `json:"status,omitempty"`
	// Answer is the body where it is JSON, and Text where it is not.
	Answer json.RawMessage `json:"answer,omitempty"`
	Text   string          `json:"text,omitempty"`
	// Error says why there was no answer, or no whole one.
	Error string `json:"error,omitempty"`
}

// caller does the calls of a configuration.
type caller struct {
	config standin.Config
	client *http.Client
}

func newCaller(c standin.Config) *caller {
	transport := &http.Transport{ // no proxy of the environment: a sidecar takes what is sent
		MaxIdleConns: 256, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second,
	}
	return &caller{config: c, client: &http.Client{
		Transport: transport,
		Timeout:   time.Duration(c.Timeout),
		// A redirect is the answer, not a further call.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// all does the calls one after the other.
func (c *caller) all(r *http.Request) []Call {
	calls := make([]Call, len(c.config.Calls))
	left := int64(standin.MaxSize)
	for i, url := range c.config.Calls {
		calls[i] = c.one(r.Context(), r, url, min(left, maxNested))
		left -= int64(len(calls[i].Answer) + len(calls[i].Text))
	}
	return calls
}

// one does a call of which at most limit bytes are kept.
func (c *caller) one(ctx context.Context, of *http.Request, url string, limit int64) (call Call) {
	call.URL = url
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		call.Error = err.Error()
		return call
	}
	for _, name := range forwarded {
		if values := of.Header[name]; len(values) > 0 {
			request.Header[name] = values
		}
	}
	request.Header.Set(depthHeader, strconv.Itoa(depth(of)+1))
	response, err := c.client.Do(request)
	if err != nil {
		call.Error = err.Error()
		return call
	}
	defer response.Body.Close()
	call.Status = response.StatusCode
	body, err := io.ReadAll(io.LimitReader(response.Body, limit+1))
	switch {
	case err != nil:
		call.Error = fmt.Sprintf("the answer broke off: %v", err)
	case int64(len(body)) > limit:
		call.Error = fmt.Sprintf("the answer is longer than %d bytes and is left out", limit)
	case json.Valid(body):
		call.Answer = body
	default:
		call.Text = string(body)
	}
	return call
}

// depth is how many stand-ins have called one another for a request.
func depth(r *http.Request) int {
	n, err := strconv.Atoi(r.Header.Get(depthHeader))
	if err != nil || n < 0 {
		return 0
	}
	return n
}
