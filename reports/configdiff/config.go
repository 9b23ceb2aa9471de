// Package configdiff says what differs between the configurations that two runs' sidecars
// had at the same step: which listeners, clusters, routes, filter chains, virtual hosts and
// endpoints came, went or changed, from the dumps that the runs kept.
//
// What is of chance in a dump is made equal first: addresses, names of pods and nodes,
// times, versions of updates, ids (see normaliser). Two runs of the same version so have
// no difference, unless their sidecars were configured differently.
package configdiff

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
)

// Kind is a type of configuration.
type Kind string

// The kinds, in the order in which they are reported. Filter chains are parts of
// listeners and virtual hosts of route configurations: of their own they are reported
// where what holds them is on both sides.
const (
	Bootstrap   Kind = "bootstrap"
	Cluster     Kind = "cluster"
	Endpoint    Kind = "endpoint"
	Listener    Kind = "listener"
	FilterChain Kind = "filter chain"
	Route       Kind = "route configuration"
	VirtualHost Kind = "virtual host"
	Extension   Kind = "extension configuration"
)

var kinds = []Kind{Bootstrap, Cluster, Endpoint, Listener, FilterChain, Route, VirtualHost, Extension}

// Run is what the sidecars of a run's witnesses were configured with.
type Run struct {
	Dir   string
	Steps []Step // in the run's order; those without a dump are left out
	// Missing are dumps that the log names and the folder lacks.
	Missing []string
}

// Step is the configuration at one step of one witness.
type Step struct {
	Name     string
	Workload string // namespace/name
	config   config
}

// config are objects by kind and name. Several have the same name where their own differ
// only by chance, as listeners on the addresses of pods.
type config map[Kind]map[string][]object

// object is a normalised object as JSON with sorted keys.
type object string

// tree is the object for a look into it.
func (o object) tree() any {
	tree, err := decode([]byte(o))
	if err != nil {
		return nil // it was encoded here
	}
	return tree
}

// Read reads the dumps that the log in the folder of a run names. A run without any is no
// error: nothing can be compared then.
func Read(dir string) (*Run, error) {
	records, _, err := observations.ReadFile(filepath.Join(dir, observations.LogName))
	if err != nil {
		return nil, fmt.Errorf("read the log of run %s: %w", dir, err)
	}
	run := &Run{Dir: dir}
	names := map[int]string{}
	for _, r := range records {
		if r.Step == nil {
			continue
		}
		if r.Begin != nil {
			names[*r.Step] = r.Begin.Name
		}
		if r.Proxy == nil || len(r.Proxy.Dumps) == 0 {
			continue
		}
		var raw [2][]byte
		for i, dump := range []string{"config_dump", "clusters"} {
			path := r.Proxy.Dumps[dump]
			if !filepath.IsLocal(path) {
				return nil, fmt.Errorf("read the log of run %s: the dump %q lies outside of the run's folder", dir, path)
			}
			if raw[i], err = bounded.File(filepath.Join(dir, path), bounded.Whole); errors.Is(err, fs.ErrNotExist) {
				run.Missing = append(run.Missing, path)
			} else if err != nil {
				return nil, fmt.Errorf("cannot compare the configuration dump %s: %w", filepath.Join(dir, path), err)
			}
		}
		if raw[0] == nil || raw[1] == nil {
			continue
		}
		for i := range raw {
			raw[i] = []byte(records[0].Run.ScenarioNames(string(raw[i])))
		}
		c, err := parse(raw[0], raw[1], r.Proxy.Pod)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, r.Proxy.Dumps["config_dump"]), err)
		}
		run.Steps = append(run.Steps, Step{Name: names[*r.Step], Workload: r.Proxy.Workload, config: c})
	}
	return run, nil
}

// parse takes apart and normalises the answers of the Envoy in a pod.
func parse(configDump, clusters []byte, pod string) (config, error) {
	parts, err := proxyconfig.Split(configDump, clusters)
	if err != nil {
		return nil, err
	}
	c := config{}
	if parts.Bootstrap != nil {
		if err := c.add(Bootstrap, parts.Bootstrap, pod); err != nil {
			return nil, err
		}
	}
	for kind, list := range map[Kind][]json.RawMessage{
		Cluster: parts.Clusters, Listener: parts.Listeners, Route: parts.Routes, Endpoint: parts.Endpoints, Extension: parts.Extensions,
	} {
		for _, raw := range list {
			if err := c.add(kind, raw, pod); err != nil {
				return nil, err
			}
		}
	}
	// Endpoints that Envoy was not sent but found.
	for cluster, hosts := range parts.Hosts {
		if len(c[Endpoint][cluster]) > 0 {
			continue
		}
		n := normaliser{pod: pod}
		for _, raw := range hosts {
			host, err := decode(raw)
			if err != nil {
				return nil, fmt.Errorf("read a host of cluster %s: %w", cluster, err)
			}
			if err := c.put(Endpoint, cluster, map[string]any{"address": n.value(host)}); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// add normalises an object and puts it where it belongs.
func (c config) add(kind Kind, raw []byte, pod string) error {
	tree, err := decode(raw)
	if err != nil {
		return fmt.Errorf("read a %s: %w", kind, err)
	}
	n := normaliser{pod: pod}
	if kind == Listener {
		n.host = destination(tree)
	}
	tree = n.value(tree)
	switch kind {
	case Bootstrap:
		return c.put(kind, "bootstrap", tree)
	case Endpoint:
		return c.addEndpoints(tree)
	case Route:
		return c.put(kind, cmp.Or(text(tree, "name"), text(first(tree, "virtual_hosts"), "name")), tree)
	case Listener: // static ones may have no name
		at := member(member(tree, "address"), "socket_address")
		return c.put(kind, cmp.Or(text(tree, "name"), fmt.Sprint(text(at, "address"), "_", member(at, "port_value"))), tree)
	}
	return c.put(kind, text(tree, "name"), tree)
}

// addEndpoints takes a load assignment apart into its endpoints, each with its locality's
// settings.
func (c config) addEndpoints(assignment any) error {
	fields, _ := assignment.(map[string]any)
	localities, _ := fields["endpoints"].([]any)
	for _, l := range localities {
		locality, _ := l.(map[string]any)
		endpoints, _ := locality["lb_endpoints"].([]any)
		delete(locality, "lb_endpoints")
		// The number of endpoints that happened to be scheduled there.
		delete(locality, "load_balancing_weight")
		for _, e := range endpoints {
			if err := c.put(Endpoint, text(assignment, "cluster_name"), map[string]any{"locality": locality, "endpoint": e}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c config) put(kind Kind, name string, tree any) error {
	encoded, err := json.Marshal(tree)
	if err != nil {
		return fmt.Errorf("encode a %s: %w", kind, err)
	}
	if c[kind] == nil {
		c[kind] = map[string][]object{}
	}
	c[kind][name] = append(c[kind][name], object(encoded))
	return nil
}

// count is the number of objects of a kind.
func (c config) count(kind Kind) int {
	n := 0
	for _, list := range c[kind] {
		n += len(list)
	}
	return n
}

// decode reads JSON and keeps numbers as they are written.
func decode(raw []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var tree any
	err := d.Decode(&tree)
	return tree, err
}

// member is a field of an object; nil where it has none.
func member(tree any, name string) any {
	fields, _ := tree.(map[string]any)
	return fields[name]
}

// text is a field of an object; "" where it is none or no text.
func text(tree any, name string) string {
	s, _ := member(tree, name).(string)
	return s
}

// first is the first element of an object's list; nil for none.
func first(tree any, name string) any {
	if list, _ := member(tree, name).([]any); len(list) > 0 {
		return list[0]
	}
	return nil
}

// destination is the host of the one Service that a listener leads to; "" for several or
// none.
func destination(listener any) string {
	var hosts []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case map[string]any:
			for key, e := range v {
				s, _ := e.(string)
				host := ""
				switch key {
				case "cluster": // outbound|80||test.ns1.svc.cluster.local
					if parts := strings.Split(s, "|"); len(parts) == 4 {
						host = parts[3]
					}
				case "route_config_name": // test.ns1.svc.cluster.local:80, or a port
					host, _, _ = strings.Cut(s, ":")
					if !strings.Contains(host, ".") {
						host = ""
					}
				default:
					walk(e)
				}
				if host != "" && !slices.Contains(hosts, host) {
					hosts = append(hosts, host)
				}
			}
		}
	}
	walk(listener)
	if len(hosts) != 1 {
		return ""
	}
	return hosts[0]
}
