package peer

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/internal/bounded"
)

// serve answers at a socket until the test's end.
func serve(t testing.TB, handler http.HandlerFunc) *Client {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close() })
	return New("the other", socket, 0)
}

// FuzzCall asks a process that answers anything: the answer is decoded as encoding/json does, or
// the error says what the process said, or whose answer could not be read.
func FuzzCall(f *testing.F) {
	f.Add(200, []byte(`{"a": 1}`))
	f.Add(500, []byte("  it failed\n"))
	f.Add(200, []byte("not JSON"))
	f.Add(404, []byte(nil))
	var status int
	var body []byte
	client := serve(f, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write(body)
	})
	f.Fuzz(func(t *testing.T, code int, answer []byte) {
		if code < 200 || code > 599 || code == 204 || code == 304 {
			return // without a body
		}
		status, body = code, answer
		var got, want any
		err := client.Call(t.Context(), http.MethodPost, "/x", []int{1}, &got)
		wantErr := json.Unmarshal(answer, &want)
		switch {
		case code != http.StatusOK:
			if err == nil || err.Error() != strings.TrimSpace(string(answer)) {
				t.Errorf("status %d with %q: %v", code, answer, err)
			}
		case wantErr != nil:
			if err == nil || !strings.Contains(err.Error(), "the other") {
				t.Errorf("%q: error %v", answer, err)
			}
		case err != nil || !reflect.DeepEqual(got, want):
			t.Errorf("%q: %v, %v", answer, got, err)
		}
	})
}

func TestAnAnswerThatNeverEndsIsRefused(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 1<<16)
		for r.Context().Err() == nil {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	})
	err := client.Call(t.Context(), http.MethodGet, "/", nil, nil)
	if !errors.Is(err, bounded.ErrTooLong) || err.Error() != "read the answer of the other: it is longer than 128 MiB, the most that is read" {
		t.Errorf("error %v", err)
	}
}

func TestAnAnswerThatIsShorterThanItSaysIsRefused(t *testing.T) {
	client := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = w.Write([]byte(`{"a": 1}`))
	})
	if err := client.Call(t.Context(), http.MethodGet, "/", nil, new(any)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("error %v", err)
	}
}
