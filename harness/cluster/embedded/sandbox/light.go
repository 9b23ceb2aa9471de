package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/meshbench/meshbench/harness/cluster/embedded/controlplane"
	"github.com/meshbench/meshbench/harness/cluster/embedded/kubelet"
	"github.com/meshbench/meshbench/harness/cluster/embedded/light"
	"github.com/meshbench/meshbench/observations"
)

// handleLight serves what is asked of light proxies.
func (s *server) handleLight(mux *http.ServeMux) {
	mux.HandleFunc("GET /light", func(w http.ResponseWriter, r *http.Request) {
		found, err := s.light(r.Context())
		answer(w, found, err)
	})
	mux.HandleFunc("GET /light/proxies/{id}", func(w http.ResponseWriter, r *http.Request) {
		process, err := s.kubelet.Light()
		if err != nil {
			answer(w, nil, err)
			return
		}
		details, err := process.Details(r.Context(), r.PathValue("id"))
		answer(w, details, err)
	})
	mux.HandleFunc("PUT /light/watch", func(w http.ResponseWriter, r *http.Request) {
		process, err := s.kubelet.Light()
		if err == nil {
			err = process.Watch(r.Context(), r.URL.Query().Get("type"), r.URL.Query().Get("name"))
		}
		answer(w, struct{}{}, err)
	})
	mux.HandleFunc("GET /light/acknowledged", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		process, err := s.kubelet.Light()
		if err != nil {
			answer(w, nil, err)
			return
		}
		since, err := time.Parse(time.RFC3339Nano, q.Get("since"))
		if err != nil {
			answer(w, nil, fmt.Errorf("read since when: %w", err))
			return
		}
		first, err := process.Acknowledged(r.Context(), q.Get("type"), q.Get("name"), since)
		answer(w, first, err)
	})
}

// light is how far the light proxies are and what they have cost; nil while there are none.
func (s *server) light(ctx context.Context) (*observations.Light, error) {
	process, err := s.kubelet.Light()
	if errors.Is(err, kubelet.ErrNoLight) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	state, err := process.State(ctx)
	if err != nil {
		return nil, err
	}
	cost, err := controlplane.Cost(process.PID())
	if err != nil {
		return nil, err
	}
	return &observations.Light{
		Clients: state.Clients, Connected: state.Connected, Acknowledged: state.Acknowledged, Cost: cost,
		Streams: state.Streams, Certificates: state.Certificates,
		Pushes: light.ByType(state.Responses), Bytes: light.ByType(state.Bytes),
		Resources: light.ByType(state.Resources), Held: light.ByType(state.Held),
		Decoded: state.Read, Error: state.Error,
	}, nil
}

// Light is how far the light proxies are and what they have cost; nil while there are none.
func (c *Client) Light(ctx context.Context) (found *observations.Light, err error) {
	err = c.peer.Call(ctx, http.MethodGet, "/light", nil, &found)
	return found, err
}

// LightProxy is what the light proxy of the pod with that uid asks for and has.
func (c *Client) LightProxy(ctx context.Context, uid string) (details light.Details, err error) {
	err = c.peer.Call(ctx, http.MethodGet, "/light/proxies/"+url.PathEscape(uid), nil, &details)
	return details, err
}

// WatchLight does what cluster.LightProxies says.
func (c *Client) WatchLight(ctx context.Context, typeURL, name string) error {
	return c.peer.Call(ctx, http.MethodPut, "/light/watch?"+url.Values{"type": {typeURL}, "name": {name}}.Encode(), nil, nil)
}

// LightAcknowledged does what cluster.LightProxies says.
func (c *Client) LightAcknowledged(ctx context.Context, typeURL, name string, since time.Time) (first map[string]time.Time, err error) {
	query := url.Values{"type": {typeURL}, "name": {name}, "since": {since.UTC().Format(time.RFC3339Nano)}}
	err = c.peer.Call(ctx, http.MethodGet, "/light/acknowledged?"+query.Encode(), nil, &first)
	return first, err
}
