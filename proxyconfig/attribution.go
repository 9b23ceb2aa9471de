package proxyconfig

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/observations"
)

// Kinds of an [Item]: what istioctl has a command for, and what else a dump holds.
const (
	KindCluster   = "cluster"
	KindListener  = "listener" // a listener, or filter chains of one
	KindRoute     = "route"    // a route configuration, or a virtual host of one
	KindEndpoint  = "endpoint"
	KindBootstrap = "bootstrap"
	KindSecret    = "secret"
	KindExtension = "extension" // a filter by the extension configuration service
	KindText      = "text"      // what stands between the objects, and sections of no known type
)

// Owner is whose a part of a configuration is.
type Owner string

const (
	// OwnerService is a Service's or ServiceEntry's, or a VirtualService's host's: it goes when
	// that is not seen any more.
	OwnerService Owner = "service"
	// OwnerShared is what several Services use together: the listener of a port number of HTTP,
	// and its route configuration without the virtual hosts. It goes with the last of its users.
	OwnerShared Owner = "shared"
	// OwnerProxy is the proxy's own: the bootstrap, secrets, what comes in, and what lets through
	// or blocks what no Service answers for. No scope takes it away.
	OwnerProxy Owner = "proxy"
)

// Item is a part of a configuration dump that belongs to one owner: an object, or a part of
// one that several share.
type Item struct {
	Kind  string `json:"kind"`
	Owner Owner  `json:"owner"`
	// Name is the object's in the dump; of a virtual host or a filter chain it follows that of
	// what holds it, after a slash.
	Name string `json:"name"`
	// Host is the one that clusters are named by (outbound|80||HOST), and Service and Namespace
	// those of its Service or ServiceEntry, by the cluster's metadata; where there are none, what
	// the host itself says, and "" where it says nothing. All are "" unless Owner is
	// OwnerService.
	Host      string `json:"host,omitempty"`
	Service   string `json:"service,omitempty"`
	Namespace string `json:"namespace,omitempty"`
	// State is draining, warming or error for what Envoy holds beside the configuration that is
	// active. It counts in no Objects and Rows, as istioctl shows nothing of it.
	State string `json:"state,omitempty"`
	// Users are the hosts that a shared item is for, sorted; none where that cannot be told.
	Users []string `json:"users,omitempty"`
	// Bytes of the dump, with the white space and the comma before the object.
	Bytes   int64                       `json:"bytes"`
	Objects observations.ConfigObjects  `json:"objects"`
	Routing observations.RoutingObjects `json:"routing"`
	// Rows are those of istioctl proxy-config; Endpoint rows need /clusters.
	Rows observations.Counts `json:"rows"`

	// targets are hosts that the routes of a virtual host lead to, beside its own.
	targets []string
	// listed says that a cluster's endpoints are told to Envoy, which so holds them as
	// endpoint configuration: all but those that Envoy looks up or learns from connections.
	listed bool
}

// Sum is what items hold together.
type Sum struct {
	Items   int                         `json:"items"`
	Bytes   int64                       `json:"bytes"`
	Objects observations.ConfigObjects  `json:"objects"`
	Routing observations.RoutingObjects `json:"routing"`
	Rows    observations.Counts         `json:"rows"`
}

// Add adds an item.
func (s *Sum) Add(i *Item) {
	s.Items++
	s.Bytes += i.Bytes
	s.Objects, s.Routing, s.Rows = s.Objects.Add(i.Objects), s.Routing.Add(i.Routing), s.Rows.Add(i.Rows)
}

// Node is what the bootstrap says of the proxy; all is "" where the dump has none.
type Node struct {
	ID        string `json:"id,omitempty"` // sidecar~IP~POD.NAMESPACE~DOMAIN
	Namespace string `json:"namespace,omitempty"`
	Workload  string `json:"workload,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Istio     string `json:"istio,omitempty"` // its version
}

// Sidecar tells whether it is one, as a proxy is taken for whose bootstrap is not there: a
// gateway's id begins with router~, a waypoint's with waypoint~.
func (n Node) Sidecar() bool { return n.ID == "" || strings.HasPrefix(n.ID, "sidecar~") }

// Service is a host that a configuration holds something of.
type Service struct {
	Host      string `json:"host"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// External says that it is of a ServiceEntry outside the mesh.
	External bool `json:"external,omitempty"`
}

// Attribution is a configuration dump taken apart: each byte and each object of it belongs to
// one item.
type Attribution struct {
	Bytes int64  `json:"bytes"` // of the dump; the sum of those of the items
	Node  Node   `json:"node"`
	Items []Item `json:"items"`
	// Endpoints says that the dump has its section of endpoints (include_eds), or that /clusters
	// told how many there are, in which case Derived is set. Otherwise Objects.Endpoints is
	// unknown, not 0.
	Endpoints bool `json:"endpoints"`
	Derived   bool `json:"derived,omitempty"`
	// Hosts says that /clusters was read. Where it was not, Rows.Endpoint is unknown, not 0.
	Hosts bool `json:"hosts"`
	// Services are the hosts of all items, by host.
	Services map[string]Service `json:"-"`
}

// Attribute reads Envoy's answers to /config_dump, with include_eds or without, and to
// /clusters, as JSON or as text; clusters is nil where there is none. The items' sum is what
// [CountFrom] and [CountRouting] count, and their bytes are the dump's. An object is held at a
// time, not the answer.
//
// What several Services share is split: a virtual host is its Service's, and so is a filter
// chain that leads to one Service alone; the rest of the listener or the route configuration is
// shared.
//
// An error names the program whose answer it is, where it is not that of an Envoy of Istio's and
// the program is known.
func Attribute(configDump, clusters io.Reader) (*Attribution, error) {
	a, err := newAttributing().read(configDump)
	if err != nil {
		return nil, fmt.Errorf("read Envoy's configuration dump: %w", err)
	}
	if clusters != nil {
		if err := a.addHosts(clusters); err != nil {
			return nil, fmt.Errorf("read Envoy's clusters: %w", err)
		}
	}
	return a, nil
}

// Sum is that of all items.
func (a *Attribution) Sum() Sum {
	var s Sum
	for i := range a.Items {
		s.Add(&a.Items[i])
	}
	return s
}

// Group is the sum of the items that have a key.
type Group[K comparable] struct {
	Key K `json:"key"`
	Sum
}

// GroupBy sums the items up by a key, the largest first by bytes; what is equal stands in the
// dump's order.
func GroupBy[K comparable](a *Attribution, key func(*Item) K) []Group[K] {
	index := map[K]int{}
	var groups []Group[K]
	for i := range a.Items {
		k := key(&a.Items[i])
		n, known := index[k]
		if !known {
			n = len(groups)
			index[k] = n
			groups = append(groups, Group[K]{Key: k})
		}
		groups[n].Add(&a.Items[i])
	}
	slices.SortStableFunc(groups, func(a, b Group[K]) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return groups
}

// addHosts counts the rows of endpoints by what /clusters says.
func (a *Attribution) addHosts(answer io.Reader) error {
	rows, err := hostRows(answer)
	if err != nil {
		return err
	}
	a.Hosts = true
	for i := range a.Items {
		item := &a.Items[i]
		if item.Kind != KindEndpoint && (a.Endpoints || item.Kind != KindCluster || item.State != "") {
			continue
		}
		item.Rows.Endpoint += rows[item.Name]
		if item.Kind == KindCluster && item.listed {
			item.Objects.Endpoints += rows[item.Name]
		}
		delete(rows, item.Name)
	}
	if !a.Endpoints {
		a.Endpoints, a.Derived = true, true
	}
	// Between the two answers clusters may have come, and a dump may lack endpoints of some.
	var left []string
	for name, n := range rows {
		if n > 0 {
			left = append(left, name)
		}
	}
	slices.Sort(left)
	for _, name := range left {
		item := Item{Kind: KindEndpoint, Name: name, Owner: OwnerProxy, Host: clusterHost(name)}
		item.Rows.Endpoint = rows[name]
		a.own(&item)
		a.Items = append(a.Items, item)
	}
	return nil
}

// own makes an item with a host that host's Service's.
func (a *Attribution) own(i *Item) {
	if i.Host == "" {
		return
	}
	s, known := a.Services[i.Host]
	if !known {
		s = serviceOf(i.Host)
		a.Services[i.Host] = s
	}
	i.Owner, i.Service, i.Namespace = OwnerService, s.Name, s.Namespace
}

// serviceOf is what a host says of itself: NAME.NAMESPACE.svc.DOMAIN.
func serviceOf(host string) Service {
	if parts := strings.SplitN(host, ".", 4); len(parts) == 4 && parts[2] == "svc" {
		return Service{Host: host, Name: parts[0], Namespace: parts[1]}
	}
	return Service{Host: host, Name: host}
}

// hostRows counts the hosts of each cluster in /clusters, as JSON or as text.
func hostRows(answer io.Reader) (map[string]int, error) {
	text, answer, err := startsWithout(answer, '{')
	if err != nil {
		return nil, err
	}
	if text {
		return textHosts(answer)
	}
	s := newStream(answer)
	rows, found := map[string]int{}, false
	err = s.within(`"cluster_statuses"`, func() error {
		return s.each(func() error {
			found = true
			var name string
			hosts := 0
			err := s.fields(func(field []byte) (err error) {
				switch string(field) {
				case `"name"`:
					name, err = decodeNext[string](s)
				case `"host_statuses"`:
					var n int
					n, err = s.length()
					hosts += n
				default:
					err = s.pass()
				}
				return err
			})
			rows[name] += hosts
			return err
		})
	})
	if err == nil {
		err = s.end()
	}
	if err == nil && !found {
		err = errNoClusters
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return rows, err
}
