// Package patience lets requests wait for an API server that is away for a while, as one that is
// updated or behind a network that breaks, and keeps in mind when that was.
package patience

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Limit is how long requests wait unless they are told otherwise. Managed control planes are
// away for a minute or two when they are updated.
const Limit = 3 * time.Minute

// every is how often an API server that is away is asked whether it is back.
const every = time.Second

// Outage is a time in which the API server did not answer.
type Outage struct {
	Began  time.Time
	Lasted time.Duration
	Why    string // what the first request was told
}

// String is a sentence for people.
func (o Outage) String() string {
	return fmt.Sprintf("the API server did not answer for at least %s (%s); the run waited for it", o.Lasted.Round(time.Second), o.Why)
}

// Patience is what the requests of one cluster share. Use [New].
type Patience struct {
	limit time.Duration
	note  func(string)

	mu    sync.Mutex
	since time.Time // of the outage under way; zero for none
	why   string
	ended []Outage
}

// New is patience for limit; note is told in words when the API server goes and comes back, and
// may be nil.
func New(limit time.Duration, note func(string)) *Patience {
	if note == nil {
		note = func(string) {}
	}
	return &Patience{limit: limit, note: note}
}

// Outages are those that have ended since the last call; none of nobody's patience.
func (p *Patience) Outages() []Outage {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ended := p.ended
	p.ended = nil
	return ended
}

// Away is for how long the API server has not answered; 0 while it does.
func (p *Patience) Away() time.Duration {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return 0
	}
	return time.Since(p.since)
}

// Waits tells whether requests wait for the API server: it is away, and not yet for the limit.
func (p *Patience) Waits() bool {
	away := p.Away()
	return away > 0 && away < p.limit
}

// Wrap is next with patience, for [k8s.io/client-go/rest.Config.Wrap]. A request that has not
// reached the API server, or may be repeated, is sent again once that is ready; after the limit,
// or when its context ends, it fails as it did first.
func (p *Patience) Wrap(next http.RoundTripper) http.RoundTripper { return &transport{p, next} }

type transport struct {
	patience *Patience
	next     http.RoundTripper
}

// WrappedRoundTripper is for client-go, which looks for what lies inside.
func (t *transport) WrappedRoundTripper() http.RoundTripper { return t.next }

// RoundTrip implements [http.RoundTripper].
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	var began time.Time
	for {
		response, err := t.next.RoundTrip(request)
		if err == nil && response.StatusCode < http.StatusInternalServerError {
			// Whoever waited may have given up before.
			t.patience.back()
		}
		if err == nil || request.Context().Err() != nil || !away(request, err) {
			return response, err
		}
		if began.IsZero() {
			began = time.Now()
		}
		next, gone := again(request)
		if gone != nil {
			return nil, err
		}
		t.patience.gone(err)
		if e := t.await(request, began); e != nil {
			return nil, fmt.Errorf("%w: %w", e, err)
		}
		request = next
	}
}

// away reports whether an error means that the API server is away, and the request can be sent
// again: it has not arrived, or changes nothing when it does so twice.
func away(request *http.Request, err error) bool {
	var at *net.OpError
	if errors.As(err, &at) && at.Op == "dial" || errors.Is(err, syscall.ECONNREFUSED) || strings.Contains(err.Error(), "TLS handshake timeout") {
		return true
	}
	return repeatable(request) && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || strings.Contains(err.Error(), "http2: client connection lost") || strings.Contains(err.Error(), "server closed idle connection"))
}

// repeatable reports whether a request may arrive twice.
func repeatable(r *http.Request) bool {
	return slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, r.Method) ||
		r.Method == http.MethodPatch && r.Header.Get("Content-Type") == "application/apply-patch+yaml"
}

// again is the request with its body from the beginning.
func again(r *http.Request) (*http.Request, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return r, nil
	}
	if r.GetBody == nil {
		return nil, errors.New("the body is gone")
	}
	body, err := r.GetBody()
	if err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.Body = body
	return r, nil
}

// await returns when the API server is ready, with an error when it has not been for the limit.
func (t *transport) await(request *http.Request, began time.Time) error {
	ctx, cancel := context.WithDeadline(request.Context(), began.Add(t.patience.limit))
	defer cancel()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if t.ready(ctx, request) {
			t.patience.back()
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err := context.Cause(request.Context()); err != nil {
				return err
			}
			return fmt.Errorf("the API server has not answered for %s", t.patience.limit)
		}
	}
}

// ready asks the API server whether it is. One that does not say so to this user is.
func (t *transport) ready(ctx context.Context, of *http.Request) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	at := *of.URL
	// A cluster behind a proxy has a path of its own, which this request need not know: what
	// answers at all is taken for ready then.
	at.Path, at.RawPath, at.RawQuery = "/readyz", "", ""
	question, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return true
	}
	answer, err := t.next.RoundTrip(question)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 1<<16))
	answer.Body.Close()
	return answer.StatusCode < http.StatusInternalServerError
}

// gone notes that the API server did not answer.
func (p *Patience) gone(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.since.IsZero() {
		return
	}
	p.since, p.why = time.Now(), err.Error()
	p.note(fmt.Sprintf("the API server does not answer; waiting for up to %s: %v", p.limit, err))
}

// back notes that it answers again.
func (p *Patience) back() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.since.IsZero() {
		return
	}
	o := Outage{Began: p.since, Lasted: time.Since(p.since), Why: p.why}
	p.since, p.ended = time.Time{}, append(p.ended, o)
	p.note(o.String())
}
