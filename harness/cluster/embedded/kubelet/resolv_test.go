package kubelet

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

func TestResolvConf(t *testing.T) {
	const cluster = "nameserver 172.20.0.10\nsearch ns1.svc.cluster.local svc.cluster.local cluster.local\noptions ndots:5\n"
	many := func(n int) (words []string) {
		for i := range n {
			words = append(words, fmt.Sprintf("w%d.%s", i, strings.Repeat("x", 100)))
		}
		return words
	}
	for name, c := range map[string]struct {
		spec corev1.PodSpec
		want string
	}{
		"cluster first":                   {corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirst}, cluster},
		"not said":                        {corev1.PodSpec{}, cluster},
		"default":                         {corev1.PodSpec{DNSPolicy: corev1.DNSDefault}, unanswered},
		"host's network":                  {corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirst, HostNetwork: true}, unanswered},
		"host's network, cluster's names": {corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirstWithHostNet, HostNetwork: true}, cluster},
		"cluster's names, own network":    {corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirstWithHostNet}, cluster},
		"none": {corev1.PodSpec{DNSPolicy: corev1.DNSNone, DNSConfig: &corev1.PodDNSConfig{
			Nameservers: []string{"10.1.1.1"}, Searches: []string{"example"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: ptr.To("1")}, {Name: "rotate"}},
		}}, "nameserver 10.1.1.1\nsearch example\noptions ndots:1 rotate\n"},
		"added": {corev1.PodSpec{DNSPolicy: corev1.DNSClusterFirst, DNSConfig: &corev1.PodDNSConfig{
			Nameservers: []string{"10.1.1.1", "172.20.0.10", "10.1.1.2", "10.1.1.3"}, Searches: []string{"cluster.local", "example"},
			Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: ptr.To("2")}, {Name: "edns0"}},
		}}, "nameserver 172.20.0.10\nnameserver 10.1.1.1\nnameserver 10.1.1.2\nsearch ns1.svc.cluster.local svc.cluster.local cluster.local example\noptions ndots:2 edns0\n"},
		"too many": {corev1.PodSpec{DNSPolicy: corev1.DNSNone, DNSConfig: &corev1.PodDNSConfig{Nameservers: []string{"10.1.1.1"}, Searches: many(40)}},
			"nameserver 10.1.1.1\nsearch " + strings.Join(many(19), " ") + "\n"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(resolvConf(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns1"}, Spec: c.spec}, netip.MustParseAddr("172.20.0.10"), DefaultDomain)).To(Equal(c.want))
		})
	}
}
