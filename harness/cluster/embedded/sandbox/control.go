package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/controlplane"
	"github.com/meshbench/meshbench/harness/cluster/embedded/peer"
	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/internal/vitals"
	"github.com/meshbench/meshbench/observations"
)

// Costs is what the cluster's own processes have cost so far.
type Costs struct {
	// ControlPlane is etcd, API server, controller manager and scheduler.
	ControlPlane map[string]observations.Cost
	// Sandbox is this program's own process inside: the virtual nodes above all.
	Sandbox observations.Cost
}

// VitalsPath is where the control socket answers with [vitals.Vitals] of the sandbox.
const VitalsPath = "/vitals"

// serveControl serves the control socket. Who may open the state folder may do
// everything.
func (s *server) serveControl(ctx context.Context, listener net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /facts", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, s.facts(), nil)
	})
	mux.HandleFunc("GET /costs", func(w http.ResponseWriter, _ *http.Request) {
		costs, err := s.costs()
		answer(w, costs, err)
	})
	mux.HandleFunc("GET "+VitalsPath, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, vitals.Read(), nil)
	})
	mux.HandleFunc("GET /whole", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, s.whole(r.Context()))
	})
	mux.HandleFunc("PUT /nodes", func(w http.ResponseWriter, r *http.Request) {
		var groups []cluster.NodeGroup
		if err := json.NewDecoder(bounded.Reader(r.Body, bounded.Answer)).Decode(&groups); err != nil {
			answer(w, nil, fmt.Errorf("decode node groups: %w", err))
			return
		}
		slog.Info("set nodes", "groups", groups)
		answer(w, struct{}{}, s.kubelet.SetNodes(r.Context(), groups))
	})
	s.handleLight(mux)
	mux.HandleFunc("POST /shutdown", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, nil)
		s.end(errAsked)
	})
	server := &http.Server{Handler: mux, BaseContext: func(net.Listener) context.Context { return ctx }}
	return fmt.Errorf("serve the control socket: %w", server.Serve(listener))
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

// facts describe the cluster for the record.
func (s *server) facts() observations.Cluster {
	source := s.runtime.MemorySource()
	enforcer := "cgroup"
	if source == "proc" {
		enforcer = "runtime"
	}
	baseline := observations.BaselineEKS
	if s.config.System.Replaces() {
		baseline = observations.BaselineScenario
	}
	return observations.Cluster{
		Provider:           "embedded",
		Kubernetes:         s.plane.Version(),
		MemorySource:       source,
		LimitsEnforcedBy:   enforcer,
		RealPerDeployment:  s.config.RealPerDeployment,
		LightPerDeployment: s.config.LightPerDeployment,
		RealFor:            s.config.RealFor,
		Simulated:          s.config.simulated(),
		Notes:              s.config.notes(s.runtime.PerPodUsers()),
		Baseline:           baseline,
	}
}

func (s *server) costs() (Costs, error) {
	plane, err := s.plane.Costs()
	if err != nil {
		return Costs{}, fmt.Errorf("read the control plane's cost: %w", err)
	}
	own, err := controlplane.Cost(os.Getpid())
	if err != nil {
		return Costs{}, err
	}
	return Costs{ControlPlane: plane, Sandbox: own}, nil
}

// Client speaks to a sandbox's control socket.
type Client struct{ peer *peer.Client }

// NewClient speaks to the sandbox whose state folder is dir. It connects on first use. Calls are
// seldom, and an idle connection would only hinder the sandbox's end.
func NewClient(dir string) *Client {
	return &Client{peer.New("the sandbox", filepath.Join(dir, SocketName), 0)}
}

// Facts describe the cluster.
func (c *Client) Facts(ctx context.Context) (facts observations.Cluster, err error) {
	err = c.peer.Call(ctx, http.MethodGet, "/facts", nil, &facts)
	return facts, err
}

// Costs are the costs so far.
func (c *Client) Costs(ctx context.Context) (costs Costs, err error) {
	err = c.peer.Call(ctx, http.MethodGet, "/costs", nil, &costs)
	return costs, err
}

// Whole returns when no process of the cluster is stopped.
func (c *Client) Whole(ctx context.Context) error {
	return c.peer.Call(ctx, http.MethodGet, "/whole", nil, nil)
}

// SetNodes makes the nodes be groups and returns when they are Ready.
func (c *Client) SetNodes(ctx context.Context, groups []cluster.NodeGroup) error {
	return c.peer.Call(ctx, http.MethodPut, "/nodes", groups, nil)
}

// Shutdown asks the sandbox to end. It has not ended yet when the call returns.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.peer.Call(ctx, http.MethodPost, "/shutdown", nil, nil)
}
