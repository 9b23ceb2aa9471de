package proxyconfig

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
)

// Host is a host of a cluster in the answer to /clusters, with what the proxy has sent to it
// since it has the host.
type Host struct {
	Cluster string
	// Address is host:port, or what else Envoy names it by.
	Address string
	// Requests is rq_total and Connections cx_total. What is no HTTP has no requests.
	Requests, Connections int64
}

// Hosts reads an Envoy's answer to /clusters, as JSON (format=json) or as the text that it
// answers without, and hands over each host of each cluster; cluster is called for each cluster
// before its hosts, and may be nil. An error of theirs ends it. An answer may be of many
// megabytes: it is read a cluster at a time.
func Hosts(answer io.Reader, cluster func(name string) error, host func(Host) error) error {
	if cluster == nil {
		cluster = func(string) error { return nil }
	}
	in := bufio.NewReaderSize(answer, 1<<16)
	head, err := in.Peek(1)
	if err == nil && head[0] == '{' {
		err = jsonStats(in, cluster, host)
	} else if err == nil {
		err = textStats(in, cluster, host)
	}
	if err != nil {
		return fmt.Errorf("read /clusters: %w", err)
	}
	return nil
}

// addressed is a host in JSON with its address.
type addressed struct {
	Address struct {
		Socket struct {
			Address string `json:"address"`
			Port    int    `json:"port_value"`
		} `json:"socket_address"`
		Pipe struct {
			Path string `json:"path"`
		} `json:"pipe"`
		Internal struct {
			Name string `json:"server_listener_name"`
		} `json:"envoy_internal_address"`
	} `json:"address"`
	hostStats
}

func (h addressed) host(cluster string) (Host, error) {
	x := Host{Cluster: cluster}
	switch a := h.Address; {
	case a.Socket.Address != "":
		x.Address = net.JoinHostPort(a.Socket.Address, strconv.Itoa(a.Socket.Port))
	case a.Pipe.Path != "":
		x.Address = a.Pipe.Path
	default:
		x.Address = a.Internal.Name
	}
	for _, s := range h.Stats {
		if err := x.count(s.Name, s.Value); err != nil {
			return x, err
		}
	}
	return x, nil
}

// count takes in a statistic; "" is 0.
func (h *Host) count(name, value string) error {
	var into *int64
	switch name {
	case "rq_total":
		into = &h.Requests
	case "cx_total":
		into = &h.Connections
	default:
		return nil
	}
	if value == "" {
		return nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return fmt.Errorf("%s of cluster %s: %w", name, h.Cluster, err)
	}
	*into = n
	return nil
}

func jsonStats(in io.Reader, cluster func(string) error, host func(Host) error) error {
	found, err := eachStatus(newStream(in), func(c status[addressed]) error {
		if err := cluster(c.Name); err != nil {
			return err
		}
		for _, h := range c.Hosts {
			x, err := h.host(c.Name)
			if err == nil {
				err = host(x)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && !found {
		err = errNoClusters
	}
	return err
}

// errNoText is of text that is not Envoy's.
var errNoText = errors.New("it holds no clusters: want the answer to /clusters, as text or with ?format=json")

// ownLines are what stands in the place of an address in a cluster's own lines of four parts
// (Envoy's source/server/admin/clusters_handler.cc).
var ownLines = []string{"default_priority", "high_priority", "outlier"}

// textStats reads lines like outbound|80||web.shop.svc.cluster.local::10.0.0.7:80::rq_total::5. A
// cluster's own lines have two colons less; lines of one host stand together.
func textStats(in io.Reader, cluster func(string) error, host func(Host) error) error {
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	var now Host
	seen, name := false, ""
	flush := func() error {
		if now.Address == "" {
			return nil
		}
		done := now
		now = Host{}
		return host(done)
	}
	for lines.Scan() {
		parts := strings.Split(lines.Text(), "::")
		if len(parts) < 3 {
			continue
		}
		if parts[0] != name || !seen {
			if err := flush(); err != nil {
				return err
			}
			name, seen = parts[0], true
			if err := cluster(name); err != nil {
				return err
			}
		}
		// An IPv6 address has colons of its own: name::[fd00::1]:80::rq_total::5. That of a pipe is
		// any path, as ./etc/istio/proxy/XDS.
		address := strings.Join(parts[1:len(parts)-2], "::")
		if len(parts) < 4 || slices.Contains(ownLines, address) {
			continue
		}
		if address != now.Address {
			if err := flush(); err != nil {
				return err
			}
			now = Host{Cluster: name, Address: address}
		}
		if err := now.count(parts[len(parts)-2], parts[len(parts)-1]); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	if !seen {
		return errNoText
	}
	return flush()
}
