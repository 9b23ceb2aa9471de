package light

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/meshbench/meshbench/harness/cluster/embedded/light/ads"
	"github.com/meshbench/meshbench/internal/bounded"
)

// Command is the hidden command that [Main] serves: whoever speaks for light proxies starts
// the own executable with this word as first argument, and with the path of a socket.
const Command = "light"

// Change is what is told of a proxy whenever it changes.
type Change struct {
	ID               string
	Ready, Connected bool
	Error            string
}

// State is how far all light proxies are, and what has been done for them, those that have
// gone included.
type State struct {
	// Clients are spoken for; Connected have a stream on which istiod has answered, and
	// Acknowledged have everything that they have asked for and have acknowledged it.
	Clients, Connected, Acknowledged int
	// Streams were opened, and Certificates signed.
	Streams, Certificates int64
	// Responses, Bytes (of the messages) and Resources were sent by istiod, and Held resources
	// are there now, by type URL.
	Responses, Bytes, Resources, Held map[string]int64
	// Sent clusters and listeners were sent, and Read of them had to be read, since none
	// before was equal.
	Sent, Read int64
	// Error is one of a proxy that is not well; "" for none.
	Error string
}

// ByType are numbers by Istio's short word for a type (cds, lds, rds, eds, …), as its metrics
// have it, in place of the type URL.
func ByType(numbers map[string]int64) map[string]int64 {
	words := map[string]string{
		ads.ClusterType: "cds", ads.EndpointType: "eds", ads.ListenerType: "lds", ads.RouteType: "rds", ads.SecretType: "sds",
		ads.ExtensionType: "ecds", ads.NameTableType: "nds", ads.ProxyConfigType: "pcds",
	}
	all := map[string]int64{}
	for typeURL, n := range numbers {
		word, known := words[typeURL]
		if !known {
			word = typeURL
		}
		all[word] += n
	}
	return all
}

// Details are what one proxy asks for and has, by type URL.
type Details struct{ Subscribed, Held map[string][]string }

// Main is the hidden command: args are the arguments after [Command]. It returns the exit
// code.
func Main(args []string) int {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "this command is meshbench's own: light proxies are asked for with --light, or by a scenario's sidecars")
		return 2
	}
	// Most of what is made is let go at once: collecting twice as often costs little, and there
	// is half as much in between.
	debug.SetGCPercent(50)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if err := serve(ctx, args[0]); err != nil {
		slog.Error("giving up", "err", err)
		return 1
	}
	return 0
}

// serve serves the socket until ctx ends.
func serve(ctx context.Context, socket string) error {
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listen on the socket: %w", err)
	}
	s := newServer(ctx)
	http := &http.Server{Handler: s.handler(), BaseContext: func(net.Listener) context.Context { return ctx }, ReadHeaderTimeout: time.Minute}
	context.AfterFunc(ctx, func() { http.Close() })
	err = http.Serve(listener)
	s.ended.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// Paths of the socket.
const (
	proxiesPath      = "/proxies"
	hostsPath        = "/hosts"
	changesPath      = "/changes"
	statePath        = "/state"
	watchesPath      = "/watches"
	acknowledgedPath = "/acknowledged"
)

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+proxiesPath, func(w http.ResponseWriter, r *http.Request) {
		var p Proxy
		if err := json.NewDecoder(bounded.Reader(r.Body, bounded.Answer)).Decode(&p); err != nil {
			answer(w, nil, fmt.Errorf("decode a proxy: %w", err))
			return
		}
		answer(w, struct{}{}, s.add(p))
	})
	mux.HandleFunc("PUT "+proxiesPath+"/{id}/token", func(w http.ResponseWriter, r *http.Request) {
		var token string
		if err := json.NewDecoder(bounded.Reader(r.Body, bounded.Answer)).Decode(&token); err != nil {
			answer(w, nil, fmt.Errorf("decode a token: %w", err))
			return
		}
		p := s.find(r.PathValue("id"))
		if p == nil {
			answer(w, nil, errNoProxy)
			return
		}
		p.token.Store(&token)
		answer(w, struct{}{}, nil)
	})
	mux.HandleFunc("GET "+proxiesPath+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		p := s.find(r.PathValue("id"))
		if p == nil {
			answer(w, nil, errNoProxy)
			return
		}
		answer(w, Details{p.client.Subscriptions(), p.client.Held()}, nil)
	})
	mux.HandleFunc("DELETE "+proxiesPath+"/{id}", func(w http.ResponseWriter, r *http.Request) {
		s.remove(r.PathValue("id"))
		answer(w, struct{}{}, nil)
	})
	mux.HandleFunc("PUT "+hostsPath, func(w http.ResponseWriter, r *http.Request) {
		var hosts map[string][]string
		if err := json.NewDecoder(bounded.Reader(r.Body, bounded.Answer)).Decode(&hosts); err != nil {
			answer(w, nil, fmt.Errorf("decode hosts: %w", err))
			return
		}
		s.mu.Lock()
		s.hosts = hosts
		s.mu.Unlock()
		answer(w, struct{}{}, nil)
	})
	mux.HandleFunc("GET "+changesPath, s.tell)
	mux.HandleFunc("GET "+statePath, func(w http.ResponseWriter, _ *http.Request) { answer(w, s.state(), nil) })
	mux.HandleFunc("PUT "+watchesPath, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		s.shared.Watch(q.Get("type"), q.Get("name"))
		answer(w, struct{}{}, nil)
	})
	mux.HandleFunc("DELETE "+watchesPath, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		s.shared.Unwatch(q.Get("type"), q.Get("name"))
		answer(w, struct{}{}, nil)
	})
	mux.HandleFunc("GET "+acknowledgedPath, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		since, err := time.Parse(time.RFC3339Nano, q.Get("since"))
		if err != nil {
			answer(w, nil, fmt.Errorf("read since when: %w", err))
			return
		}
		first, watching := s.shared.Acknowledged(q.Get("type"), q.Get("name"), since)
		if !watching {
			answer(w, nil, fmt.Errorf("%s %s is not watched", q.Get("type"), q.Get("name")))
			return
		}
		answer(w, first, nil)
	})
	return mux
}

var errNoProxy = errors.New("there is no such light proxy")

// mostChanges is how many changes may wait to be told.
const mostChanges = 1 << 14

// tell tells changes as lines of JSON until the asker goes.
func (s *server) tell(w http.ResponseWriter, r *http.Request) {
	changes := make(chan Change, mostChanges)
	s.mu.Lock()
	s.listen[changes] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listen, changes)
	}()
	out := http.NewResponseController(w)
	_ = out.Flush() // so that the asker knows that it is heard
	encoder := json.NewEncoder(w)
	for {
		select {
		case c := <-changes:
			if encoder.Encode(c) != nil || out.Flush() != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// answer writes value as JSON, or err as text.
func answer(w http.ResponseWriter, value any, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
