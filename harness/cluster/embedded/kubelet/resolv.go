package kubelet

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// DefaultDomain ends the names of Services where nothing else is asked for.
const DefaultDomain = "cluster.local"

// unanswered is the resolv.conf of the nodes, which have no resolver: a name that is not in
// the hosts file fails at once.
const unanswered = "nameserver 127.0.0.1\noptions attempts:1 timeout:1\n"

// Limits of a kubelet (pkg/apis/core/validation of Kubernetes 1.31); what is beyond them is
// left out.
const (
	maxNameservers  = 3
	maxSearches     = 32
	maxSearchLength = 2048
)

// resolver is the content of a resolv.conf.
type resolver struct {
	nameservers, searches, options []string
}

// resolvConf is the pod's resolv.conf as a kubelet makes it (pkg/kubelet/network/dns), of
// its dnsPolicy and dnsConfig, on a cluster with a domain whose DNS is at an address.
func resolvConf(pod *corev1.Pod, dns netip.Addr, domain string) string {
	policy := pod.Spec.DNSPolicy
	if policy == corev1.DNSClusterFirst && pod.Spec.HostNetwork {
		policy = corev1.DNSDefault
	}
	var r resolver
	switch policy {
	case corev1.DNSNone:
	case corev1.DNSDefault:
		r = resolver{nameservers: []string{"127.0.0.1"}, options: []string{"attempts:1", "timeout:1"}}
	default:
		r = resolver{
			nameservers: []string{dns.String()},
			searches:    []string{pod.Namespace + ".svc." + domain, "svc." + domain, domain},
			options:     []string{"ndots:5"},
		}
	}
	if own := pod.Spec.DNSConfig; own != nil {
		r.nameservers = withoutRepeats(append(r.nameservers, own.Nameservers...))
		r.searches = withoutRepeats(append(r.searches, own.Searches...))
		for _, option := range own.Options {
			r.options = slices.DeleteFunc(r.options, func(o string) bool {
				name, _, _ := strings.Cut(o, ":")
				return name == option.Name
			})
			text := option.Name
			if option.Value != nil && *option.Value != "" {
				text += ":" + *option.Value
			}
			r.options = append(r.options, text)
		}
	}
	return r.String()
}

// withoutRepeats keeps the first of equal words.
func withoutRepeats(words []string) (kept []string) {
	for _, w := range words {
		if !slices.Contains(kept, w) {
			kept = append(kept, w)
		}
	}
	return kept
}

// String is the file's text.
func (r resolver) String() string {
	var out strings.Builder
	for _, n := range r.nameservers[:min(maxNameservers, len(r.nameservers))] {
		out.WriteString("nameserver " + n + "\n")
	}
	searches := r.searches[:min(maxSearches, len(r.searches))]
	for len(strings.Join(searches, " ")) > maxSearchLength {
		searches = searches[:len(searches)-1]
	}
	if len(searches) > 0 {
		out.WriteString("search " + strings.Join(searches, " ") + "\n")
	}
	if len(r.options) > 0 {
		out.WriteString("options " + strings.Join(r.options, " ") + "\n")
	}
	return out.String()
}
