package sample

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/internal/redact"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
)

// attempts is how often a request into a pod is tried before its error is returned.
const attempts = 4

// maxWait is the longest wait between two of them.
const maxWait = 2 * time.Second

// statusError is an answer other than 200.
type statusError struct {
	code int
	text string
}

func (e *statusError) Error() string { return fmt.Sprintf("HTTP status %d: %s", e.code, e.text) }

// get requests a path of a port in a pod and gives the answer's body to read. What may
// pass is tried again, calling read again: a broken connection, a port that does
// not answer yet, a status of 5xx. What will not pass is returned at once: a pod that
// is gone, a path that is not there, an error of read on a whole answer.
func (s *Sampler) get(ctx context.Context, namespace, pod string, port int, path string, read func(io.Reader) error) error {
	u := fmt.Sprintf("http://%s.%s:%d%s", pod, namespace, port, path)
	wait := 200 * time.Millisecond
	var err error
	for attempt := 0; attempt < attempts; attempt++ {
		if attempt > 0 {
			select {
			case <-ctx.Done():
				return fmt.Errorf("get %s of %s/%s: %w", path, namespace, pod, errors.Join(err, ctx.Err()))
			case <-time.After(wait):
				wait = min(2*wait, maxWait)
			}
		}
		if err = s.getOnce(ctx, u, read); err == nil {
			return nil
		}
		var status *statusError
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || errors.Is(err, errAnswer) || errors.Is(err, bounded.ErrTooLong) ||
			errors.As(err, &status) && status.code < http.StatusInternalServerError || ctx.Err() != nil {
			break
		}
		if s.waits() {
			attempt = 0 // tries begin anew once it is back
		}
	}
	return fmt.Errorf("get %s of %s/%s: %w", path, namespace, pod, err)
}

// errAnswer marks an answer that came whole and is wrong.
var errAnswer = errors.New("unexpected answer")

func (s *Sampler) getOnce(ctx context.Context, u string, read func(io.Reader) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	resp, err := s.http.Do(req)
	if err != nil {
		var of *url.Error // names pod.Namespace, which is no address anybody knows
		if errors.As(err, &of) {
			err = of.Err
		}
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		return &statusError{resp.StatusCode, strings.TrimSpace(string(text))}
	}
	return read(bounded.Reader(resp.Body, bounded.Dump))
}

// getJSON decodes an answer.
func (s *Sampler) getJSON(ctx context.Context, namespace, pod string, port int, path string, into any) error {
	return s.get(ctx, namespace, pod, port, path, func(r io.Reader) error {
		body, err := bounded.All(r, bounded.Answer)
		if err != nil {
			return err
		}
		return decodeAnswer(body, into)
	})
}

// decodeAnswer decodes an answer that came whole. Errors are errAnswer.
func decodeAnswer(body []byte, into any) error {
	if err := notJSON(body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	return nil
}

// memoryAnswer is Envoy's to /memory. Its JSON writes 64-bit integers as strings.
type memoryAnswer struct {
	Allocated int64 `json:"allocated,string"`
	HeapSize  int64 `json:"heap_size,string"`
	Unmapped  int64 `json:"pageheap_unmapped,string"`
	Free      int64 `json:"pageheap_free,string"`
	Physical  int64 `json:"total_physical_bytes,string"`
}

// infoAnswer is Envoy's to /server_info.
type infoAnswer struct {
	Version string `json:"version"`
	Options struct {
		Concurrency int `json:"concurrency"`
	} `json:"command_line_options"`
}

// Envoy reads a proxy's own account of its memory, from /memory, and then which Envoy
// it is and how many worker threads it has, from /server_info. The first costs the
// proxy nothing (4 KiB seen); the second, 120 KB of answer, 0.6 MiB once. So it is for
// proxies that are witnesses or will be one next.
func (s *Sampler) Envoy(ctx context.Context, pod Pod) (observations.Envoy, error) {
	var memory memoryAnswer
	if err := s.getJSON(ctx, pod.Namespace, pod.Name, envoyAdminPort, "/memory", &memory); err != nil {
		return observations.Envoy{}, err
	}
	var info infoAnswer
	if err := s.getJSON(ctx, pod.Namespace, pod.Name, envoyAdminPort, "/server_info", &info); err != nil {
		return observations.Envoy{}, err
	}
	return observations.Envoy{
		Namespace:     pod.Namespace,
		Pod:           pod.Name,
		Workload:      pod.Workload,
		Kind:          pod.Kind,
		Allocated:     memory.Allocated,
		HeapSize:      memory.HeapSize,
		PageheapUnmap: memory.Unmapped,
		PageheapFree:  memory.Free,
		TotalPhysical: memory.Physical,
		Version:       info.Version,
		Workers:       info.Options.Concurrency,
		Witness:       s.IsWitness(pod.Process),
	}, nil
}

// ProxyState is how far a proxy is with its configuration.
type ProxyState struct {
	// ListenersActive, ListenersWarming and ListenersDraining count listeners. A
	// listener whose Service is gone drains for 45 s with Istio's settings, and the
	// routes inside it are shown by proxy-config until it ends (rules of measurement, 4).
	ListenersActive, ListenersWarming, ListenersDraining int
	// FilterChainsDraining counts filter chains that an update of their listener took
	// away. Those of the inbound listener drain like listeners, and their routes are
	// shown as long.
	FilterChainsDraining int
	// ClustersWarming counts clusters that wait for their first endpoints.
	ClustersWarming int
	// Rejected counts configuration updates that Envoy refused (NACKs) since its
	// start: of clusters and listeners always, of routes and endpoints where the
	// proxy's stats matcher lets those counters exist (Istio's does not by default;
	// [Sampler.Quiet] knows them).
	Rejected int
}

// Settled tells that nothing is on the way.
func (p ProxyState) Settled() bool {
	return p.ListenersWarming+p.ListenersDraining+p.FilterChainsDraining+p.ClustersWarming == 0
}

// proxyStateFilter selects the counters of ProxyState, as a regular expression of
// Envoy's /stats. It keeps the answer to a few lines.
const proxyStateFilter = `^listener_manager\.total_|^cluster_manager\.warming_clusters$|\.update_rejected$`

// ProxyState reads a proxy's own counters from /stats. With its filter that costs the
// proxy 0.2 MiB once, which a sidecar's readiness probe has cost it already.
func (s *Sampler) ProxyState(ctx context.Context, pod Pod) (ProxyState, error) {
	var state ProxyState
	path := "/stats?filter=" + url.QueryEscape(proxyStateFilter)
	err := s.get(ctx, pod.Namespace, pod.Name, envoyAdminPort, path, func(r io.Reader) (err error) {
		state, err = parseStats(r, func(string) {})
		return err
	})
	return state, err
}

// parseStats reads the lines "name: value" of /stats, and calls each with every name.
func parseStats(r io.Reader, each func(name string)) (ProxyState, error) {
	var state ProxyState
	lines := bufio.NewScanner(r)
	seen := false
	for lines.Scan() {
		name, text, found := strings.Cut(lines.Text(), ": ")
		if !found {
			continue
		}
		each(name)
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil {
			continue // a histogram or a text
		}
		seen = true
		switch {
		case name == "listener_manager.total_listeners_active":
			state.ListenersActive = n
		case name == "listener_manager.total_listeners_warming":
			state.ListenersWarming = n
		case name == "listener_manager.total_listeners_draining":
			state.ListenersDraining = n
		case name == "listener_manager.total_filter_chains_draining":
			state.FilterChainsDraining = n
		case name == "cluster_manager.warming_clusters":
			state.ClustersWarming = n
		case strings.HasSuffix(name, ".update_rejected"):
			state.Rejected += n
		}
	}
	if err := lines.Err(); err != nil {
		return ProxyState{}, err
	}
	if !seen {
		return ProxyState{}, fmt.Errorf("%w: /stats has none of the counters of listeners", errAnswer)
	}
	return state, nil
}

// Witness dumps a proxy's configuration and counts it. Once the dump is asked for, the
// proxy is a witness, even when Witness fails in the end. On an Envoy of 83 MiB, 4.3 MB of
// /config_dump?include_eds cost 20 MiB for good, 1.5 MB of /clusters cost 6 MiB.
//
// The raw answers are kept in the folder dir below the run's folder run, as plain
// JSON that `istioctl proxy-config --file` reads; the record's Dumps name them
// relative to run: "config_dump" (/config_dump?include_eds) and "clusters"
// (/clusters?format=json).
func (s *Sampler) Witness(ctx context.Context, pod Pod, run, dir string) (observations.Proxy, error) {
	dumps, sizes, err := s.Dump(ctx, pod, run, dir)
	if err != nil {
		return observations.Proxy{}, err
	}
	// One that was started since pod was read was dumped as well.
	now, err := s.kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	switch {
	case err == nil:
		if process := PodFrom(now).Process; process != "" {
			s.MarkWitness(process)
		}
	case !apierrors.IsNotFound(err):
		return observations.Proxy{}, fmt.Errorf("read pod %s/%s after its dump: %w", pod.Namespace, pod.Name, err)
	}
	rows, objects, routing, err := countFiles(filepath.Join(run, dumps["config_dump"]), filepath.Join(run, dumps["clusters"]))
	if err != nil {
		return observations.Proxy{}, fmt.Errorf("count the configuration of %s/%s in %s: %w",
			pod.Namespace, pod.Name, filepath.Join(run, dir), err)
	}
	requests, err := requestsIn(filepath.Join(run, dumps["clusters"]))
	if err != nil {
		return observations.Proxy{}, fmt.Errorf("count the requests of %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	state, stats, err := s.stats(ctx, pod)
	if err != nil {
		return observations.Proxy{}, err
	}
	return observations.Proxy{
		Requests:  requests,
		Namespace: pod.Namespace,
		Pod:       pod.Name,
		Workload:  pod.Workload,
		Kind:      pod.Kind,
		Rows:      rows,
		Objects:   objects,
		Routing:   &routing,
		DumpBytes: sizes["config_dump"],
		Dumps:     dumps,
		Rejected:  state.Rejected,
		Stats:     stats,
	}, nil
}

// dumpsAtOnce are the proxies that are dumped at the same time: most of a dump is waiting for
// the API server, the node and Envoy in turn.
const dumpsAtOnce = 4

// Witnesses is Witness for several proxies, some at the same time. The result is in the order
// of pods. After an error it may be that others were dumped too.
func (s *Sampler) Witnesses(ctx context.Context, pods []Pod, run, dir string) ([]observations.Proxy, error) {
	proxies := make([]observations.Proxy, len(pods))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(dumpsAtOnce)
	for i, pod := range pods {
		group.Go(func() (err error) {
			proxies[i], err = s.Witness(ctx, pod, run, dir)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return proxies, nil
}

// stats reads all of a proxy's statistics: its state, and how many there are by the first
// part of their names. The answer is of several MB where there are thousands of clusters, so
// it is for witnesses.
func (s *Sampler) stats(ctx context.Context, pod Pod) (state ProxyState, counts map[string]int, err error) {
	err = s.get(ctx, pod.Namespace, pod.Name, envoyAdminPort, "/stats", func(r io.Reader) (err error) {
		counts = map[string]int{}
		state, err = parseStats(r, func(name string) {
			family, _, _ := strings.Cut(name, ".")
			counts[family]++
		})
		return err
	})
	return state, counts, err
}

// countFiles counts what is in the files of a proxy's answers.
func countFiles(configDump, clusters string) (rows observations.Counts, objects observations.ConfigObjects, routing observations.RoutingObjects, err error) {
	dump, err := os.Open(configDump)
	if err != nil {
		return rows, objects, routing, err
	}
	defer dump.Close()
	hosts, err := os.Open(clusters)
	if err != nil {
		return rows, objects, routing, err
	}
	defer hosts.Close()
	if rows, objects, err = proxyconfig.CountFrom(dump, hosts); err != nil {
		return rows, objects, routing, err
	}
	if _, err = dump.Seek(0, io.SeekStart); err == nil {
		routing, err = proxyconfig.CountRouting(dump)
	}
	return rows, objects, routing, err
}

// requestsIn are the requests that an answer to /clusters tells of, but for those to istiod
// and to the proxy's own services, which every proxy sends.
func requestsIn(clusters string) (map[string]int64, error) {
	f, err := os.Open(clusters)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	sent, err := proxyconfig.Requests(f)
	maps.DeleteFunc(sent, func(cluster string, _ int64) bool { return !strings.Contains(cluster, "|") })
	return sent, err
}

// dump writes an answer to a file, all of it or none, and returns its size. Answers have
// been seen of 70 MB: they go to the file as they come, and are counted from there.
func (s *Sampler) dump(ctx context.Context, pod Pod, path, file string) (size int64, err error) {
	partial := file + ".partial"
	err = s.get(ctx, pod.Namespace, pod.Name, envoyAdminPort, path, func(r io.Reader) error {
		f, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // again at each attempt
		if err != nil {
			return err
		}
		// What is kept has no secrets in it; the size is that of what Envoy sent.
		kept := redact.NewJSON(f)
		size, err = io.Copy(kept, r)
		return errors.Join(err, kept.Close(), f.Close())
	})
	if err != nil {
		_ = os.Remove(partial)
		return 0, err
	}
	if err := beginsJSON(partial); err != nil {
		return 0, fmt.Errorf("get %s of %s/%s: %w", path, pod.Namespace, pod.Name, errors.Join(err, os.Remove(partial)))
	}
	if err := os.Rename(partial, file); err != nil {
		return 0, fmt.Errorf("keep %s of %s/%s: %w", path, pod.Namespace, pod.Name, err)
	}
	return size, nil
}

// beginsJSON is the error of [notJSON] for a file.
func beginsJSON(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	begin := make([]byte, 4*answerLength)
	n, err := io.ReadFull(f, begin)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	return notJSON(begin[:n])
}

// Listening returns the ports of the addresses that the real gateways of a workload,
// namespace/name, listen on, by the pod's name, from Envoy's /listeners: a few hundred bytes,
// and no dump.
func (s *Sampler) Listening(ctx context.Context, workload string) (map[string][]int, error) {
	pods, err := s.Pods(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string][]int{}
	for _, pod := range pods {
		if pod.Workload != workload || !pod.RealProxy || pod.Kind != observations.ProxyGateway || pod.Deleting {
			continue
		}
		var answer struct {
			Listeners []struct {
				Address struct {
					Socket struct {
						Port int `json:"port_value"`
					} `json:"socket_address"`
				} `json:"local_address"`
			} `json:"listener_statuses"`
		}
		if err := s.getJSON(ctx, pod.Namespace, pod.Name, envoyAdminPort, "/listeners?format=json", &answer); err != nil {
			return nil, err
		}
		ports := []int{}
		for _, l := range answer.Listeners {
			ports = append(ports, l.Address.Socket.Port)
		}
		all[pod.Name] = ports
	}
	return all, nil
}
