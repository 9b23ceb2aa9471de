package patience

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// server is an API server for tests, as a transport.
type server struct {
	up    time.Time // until then it fails with err
	err   error
	seen  atomic.Int32 // requests that arrived
	ready int          // status of /readyz
	body  string       // of the last request
}

func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	if time.Now().Before(s.up) {
		if r.Body != nil {
			_, _ = io.ReadAll(r.Body) // it has been sent
		}
		return nil, s.err
	}
	answer := httptest.NewRecorder()
	if r.URL.Path == "/readyz" {
		answer.Code = max(s.ready, http.StatusOK)
		return answer.Result(), nil
	}
	s.seen.Add(1)
	if r.Body != nil {
		text, _ := io.ReadAll(r.Body)
		s.body = string(text)
	}
	return answer.Result(), nil
}

var (
	refused = &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	reset   = &net.OpError{Op: "read", Err: syscall.ECONNRESET}
)

func TestRoundTrip(t *testing.T) {
	for name, tt := range map[string]struct {
		method string
		apply  bool
		away   time.Duration
		err    error
		limit  time.Duration // of the request's context; 0 for none
		ok     bool
		waited bool
	}{
		"an API server that answers":             {method: "GET", ok: true},
		"away for a minute":                      {method: "GET", away: time.Minute, err: refused, ok: true, waited: true},
		"away for a minute, something is made":   {method: "POST", away: time.Minute, err: refused, ok: true, waited: true},
		"a connection that breaks":               {method: "GET", away: time.Minute, err: reset, ok: true, waited: true},
		"frozen, so that the connection is lost": {method: "GET", away: time.Minute, err: errors.New("http2: client connection lost"), ok: true, waited: true},
		"frozen, new connections":                {method: "POST", away: time.Minute, err: errors.New("net/http: TLS handshake timeout"), ok: true, waited: true},
		"breaks while something is made":         {method: "POST", away: time.Minute, err: reset},
		"breaks while something is applied":      {method: "PATCH", apply: true, away: time.Minute, err: reset, ok: true, waited: true},
		"away for good":                          {method: "GET", away: time.Hour, err: refused, waited: true},
		"somebody who does not wait that long":   {method: "GET", away: time.Minute, err: refused, limit: 10 * time.Second, waited: true},
		"another error":                          {method: "GET", away: time.Minute, err: errors.New("x509: unknown authority")},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &server{up: time.Now().Add(tt.away), err: tt.err}
				var notes []string
				p := New(Limit, func(text string) { notes = append(notes, text) })
				ctx := t.Context()
				if tt.limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.limit)
					defer cancel()
				}
				r, err := http.NewRequestWithContext(ctx, tt.method, "https://x/api", bytes.NewReader([]byte("body")))
				if err != nil {
					t.Fatal(err)
				}
				if tt.apply {
					r.Header.Set("Content-Type", "application/apply-patch+yaml")
				}
				began := time.Now()
				response, err := p.Wrap(s).RoundTrip(r)
				if (err == nil) != tt.ok {
					t.Fatalf("error %v", err)
				}
				took := time.Since(began)
				if tt.ok {
					response.Body.Close()
					if s.body != "body" || s.seen.Load() != 1 {
						t.Errorf("%d requests, the last with %q", s.seen.Load(), s.body)
					}
				} else if tt.err != nil && !errors.Is(err, tt.err) {
					t.Errorf("got %v", err)
				}
				outages := p.Outages()
				switch {
				case tt.ok && tt.waited:
					if len(outages) != 1 || outages[0].Lasted < tt.away || took > tt.away+2*every || len(notes) != 2 {
						t.Errorf("after %s: %v, notes %q", took, outages, notes)
					}
					if text := outages[0].String(); !strings.Contains(text, "did not answer for at least 1m") || !strings.Contains(text, tt.err.Error()) {
						t.Errorf("%q", text)
					}
				case len(outages) > 0:
					t.Errorf("outages %v", outages)
				case tt.waited && (len(notes) != 1 || tt.limit > 0 && took != tt.limit || tt.limit == 0 && took != Limit):
					t.Errorf("waited %s, notes %q", took, notes)
				case !tt.waited && took != 0:
					t.Errorf("waited %s", took)
				}
				if p.Outages() != nil {
					t.Error("an outage is told twice")
				}
			})
		})
	}
}

// TestBack: an outage ends with the first answer, when nobody waits for one any more.
func TestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{up: time.Now().Add(time.Minute), err: refused}
		p := New(Limit, nil)
		ask := func(limit time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://x/api", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := p.Wrap(s).RoundTrip(r)
			if err == nil {
				response.Body.Close()
			}
			return err
		}
		if p.Waits() {
			t.Error("waits for an API server that nobody has missed")
		}
		if err := ask(10 * time.Second); err == nil || p.Away() != 10*time.Second || !p.Waits() {
			t.Errorf("error %v, away for %s, waits %t", err, p.Away(), p.Waits())
		}
		if impatient := (&Patience{limit: 10 * time.Second, since: p.since}); impatient.Waits() {
			t.Error("waits for longer than its limit")
		}
		time.Sleep(time.Minute)
		if err := ask(time.Second); err != nil || p.Away() != 0 || p.Waits() {
			t.Errorf("error %v, away for %s, waits %t", err, p.Away(), p.Waits())
		}
		if outages := p.Outages(); len(outages) != 1 || outages[0].Lasted != 70*time.Second {
			t.Errorf("outages %v", outages)
		}
	})
}

// An API server that has come back is not ready at once, and one that does not tell is.
func TestReady(t *testing.T) {
	for status, want := range map[int]bool{200: true, 401: true, 404: true, 500: false, 503: false} {
		s := &server{ready: status}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://x/api/v1?limit=5", http.NoBody)
		if got := (&transport{New(Limit, nil), s}).ready(t.Context(), r); got != want {
			t.Errorf("status %d: %v", status, got)
		}
	}
}
