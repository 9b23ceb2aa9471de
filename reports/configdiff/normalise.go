package configdiff

import (
	"net/netip"
	"regexp"
	"strings"
)

// normaliser replaces what differs between two runs by chance. What is replaced shows in
// braces: {IP}, {pod}.
type normaliser struct {
	pod string // whose configuration it is
	// host is the one that addresses are of; "" when that is not known.
	host string
}

// dropped are fields that differ by chance or between nodes: when and how often something
// was sent, and where the pod happened to run.
var dropped = map[string]bool{
	"version_info": true, "last_updated": true, "nonce": true, "pod-template-hash": true,
	"NODE_NAME": true, "zone": true, "sub_zone": true, "kubectl.kubernetes.io/restartedAt": true,
}

var (
	timestamp = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)
	uid       = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	// podSuffix is what Kubernetes appends to a Deployment's name for its pods.
	podSuffix = regexp.MustCompile(`-[0-9a-f]{5,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b`)
	address   = regexp.MustCompile(`(\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}`)
)

// value normalises a decoded object. Lists keep their order.
func (n normaliser) value(v any) any {
	switch v := v.(type) {
	case string:
		return n.text(v)
	case []any:
		for i := range v {
			v[i] = n.value(v[i])
		}
	case map[string]any:
		kept := make(map[string]any, len(v))
		for key, e := range v {
			if !dropped[key] {
				kept[n.text(key)] = n.value(e)
			}
		}
		return kept
	}
	return v
}

func (n normaliser) text(s string) string {
	if !strings.ContainsAny(s, "0123456789:") {
		return s
	}
	if n.pod != "" {
		s = strings.ReplaceAll(s, n.pod, "{pod}")
	}
	s = timestamp.ReplaceAllString(s, "{time}")
	s = uid.ReplaceAllString(s, "{uid}")
	s = podSuffix.ReplaceAllString(s, "-{pod}")
	return address.ReplaceAllStringFunc(s, n.address)
}

// address keeps addresses that mean the same everywhere: any address, loopback, link-local.
func (n normaliser) address(s string) string {
	a, err := netip.ParseAddr(s)
	switch {
	case err != nil || a.IsUnspecified() || a.IsLoopback() || a.IsLinkLocalUnicast():
		return s
	case n.host != "":
		return "{IP of " + n.host + "}"
	}
	return "{IP}"
}
