package proxyconfig

import (
	"fmt"
	"regexp"
	"strings"
)

// Egress is what a Sidecar resource lets its sidecars see: hosts as in its egress, such as
// ./*, istio-system/* and shop/cart.shop.svc.cluster.local. ~NAMESPACE/HOST takes hosts out
// again, as the newest versions of Istio have it; ~/* lets nothing in.
type Egress []egressHost

type egressHost struct {
	deny            bool
	namespace, host string
}

var (
	egressNamespace = regexp.MustCompile(`^(\*|\.|[a-z0-9]([-a-z0-9]*[a-z0-9])?)$`)
	egressName      = regexp.MustCompile(`^(\*|(\*\.)?[a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?)$`)
)

// ParseEgress reads egress hosts, NAMESPACE/HOST each.
func ParseEgress(hosts []string) (Egress, error) {
	var e Egress
	for _, text := range hosts {
		namespace, host, ok := strings.Cut(text, "/")
		x := egressHost{namespace: namespace, host: host}
		if text == "~/*" {
			e = append(e, egressHost{namespace: "~", host: host})
			continue
		}
		x.namespace, x.deny = strings.CutPrefix(namespace, "~")
		if !ok || !egressNamespace.MatchString(x.namespace) || !egressName.MatchString(x.host) {
			return nil, fmt.Errorf("cannot read %q as a host of a Sidecar's egress: give NAMESPACE/HOST, e.g. ./*, istio-system/* or shop/cart.shop.svc.cluster.local", text)
		}
		e = append(e, x)
	}
	return e, nil
}

// String is the hosts as they were given.
func (e Egress) String() string {
	var list []string
	for _, x := range e {
		text := x.namespace + "/" + x.host
		if x.deny {
			text = "~" + text
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}

// Own says whether the hosts speak of the sidecar's own namespace.
func (e Egress) Own() bool {
	for _, x := range e {
		if x.namespace == "." {
			return true
		}
	}
	return false
}

// Sees says whether a sidecar in the namespace own sees a host of a namespace.
func (e Egress) Sees(own, namespace, host string) bool {
	seen := false
	for _, x := range e {
		in := x.namespace == "*" || x.namespace == namespace || x.namespace == "." && namespace == own && own != ""
		if !in || !x.has(host) {
			continue
		}
		if x.deny {
			return false
		}
		seen = true
	}
	return seen
}

// has says whether a host is the one meant, or ends as a pattern such as *.example.com.
func (x egressHost) has(host string) bool {
	if rest, ok := strings.CutPrefix(x.host, "*"); ok {
		return strings.HasSuffix(host, rest)
	}
	return x.host == host
}
