package callgraph

import (
	"fmt"
	"io"
	"strings"

	"github.com/meshbench/meshbench/proxyconfig"
)

// Clusters reads the requests and connections that a proxy has counted by endpoint, from its
// answer to /clusters. It tells of all calls since the proxy has the endpoint: what was sent to
// pods that are gone is forgotten, and so are hosts of headless Services a few seconds after
// their last connection, which the graph's notes say. Whose proxy it is must be known.
func Clusters(of Proxy, answer io.Reader, names Names) (*Graph, error) {
	b := newBuilder()
	if of.Of.Namespace == "" {
		return nil, fmt.Errorf("cannot tell whose proxy the answer %s to /clusters is of: give NAMESPACE/POD=FILE", of.Name)
	}
	b.seen[of.Of.Namespace] = true
	empty := map[string]bool{} // clusters of Services without a host
	err := proxyconfig.Hosts(answer, func(name string) error {
		if c := clusterOf(name); c.direction == "outbound" {
			empty[name] = true
		}
		return nil
	}, func(h proxyconfig.Host) error {
		delete(empty, h.Cluster)
		if h.Requests == 0 && h.Connections == 0 {
			return nil
		}
		a := amount{requests: h.Requests}
		if h.Requests == 0 {
			a = amount{connections: h.Connections}
		}
		switch c := clusterOf(h.Cluster); {
		case c.direction == "outbound":
			b.call(of.Of, names.Target(c.host, of.Of.Namespace), bySource, a, of.Name)
		case h.Cluster == passthrough:
			a.bypassed = true
			b.call(of.Of, names.Target(h.Address, ""), bySource, a, of.Name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", of.Name, err)
	}
	if n := len(empty); n > 0 {
		b.note("Envoy forgets the hosts of headless Services (%s in the proxy of %s have none now): calls to them are known only while their connections last", plural(n, "cluster"), strings.TrimSpace(of.Of.String()))
	}
	return b.graph(), nil
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
