package harness

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/sample"
)

// askers find the objects that ask for configuration which an Envoy has refused.
type askers struct{ client *kube.Client }

var (
	// clusterName is a cluster's name as istiod gives it: outbound|8080|v1|svc.ns1.svc.cluster.local.
	clusterName = regexp.MustCompile(`\b(?:out|in)bound\|(\d+)\|[^|\s]*\|([^\s'",:;)]*)`)
	// listenerName is a listener's: its address, _ and its port.
	listenerName = regexp.MustCompile(`\b([0-9a-fA-F.:]+)_(\d+)\b`)
	// duplicate is the address of two listeners; which of them Envoy names is the one that
	// came last, and may be Istio's own.
	duplicate = regexp.MustCompile(`duplicate address '\[?([0-9a-fA-F.:]+?)\]?:(\d+)'`)
)

// of says which objects ask for what a refusal is about, by the names in it; "" where none
// is found.
func (a askers) of(ctx context.Context, refusal string) string {
	if sample.LacksIstio(refusal) != "" {
		return said(a.patches(ctx)) // whatever the listeners are called
	}
	var names []string
	for _, m := range clusterName.FindAllStringSubmatch(refusal, -1) {
		port, _ := strconv.Atoi(m[1])
		names = append(names, a.with(ctx, port, m[2], "")...)
	}
	for _, pattern := range []*regexp.Regexp{listenerName, duplicate} {
		for _, m := range pattern.FindAllStringSubmatch(refusal, -1) {
			port, _ := strconv.Atoi(m[2])
			names = append(names, a.with(ctx, port, "", m[1])...)
		}
	}
	if len(names) == 0 {
		// Whatever they patch is theirs, and no name of theirs is in it.
		names = a.patches(ctx)
	}
	return said(names)
}

// said is which objects ask for something; "" for none.
func said(names []string) string {
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	names = slices.Compact(names)
	more := ""
	if n := len(names) - 3; n > 0 {
		names, more = names[:3], fmt.Sprintf(" and %d more", n)
	}
	return "it is asked for by " + strings.Join(names, ", ") + more
}

// with names the ServiceEntries and Services that have a port and, where they are given,
// the host and the address. A listener on all addresses fits each of them.
func (a askers) with(ctx context.Context, port int, host, address string) []string {
	var found []string
	for _, e := range a.list(ctx, "ServiceEntry") {
		hosts, _, _ := unstructured.NestedStringSlice(e.Object, "spec", "hosts")
		addresses, _, _ := unstructured.NestedStringSlice(e.Object, "spec", "addresses")
		ports, _, _ := unstructured.NestedSlice(e.Object, "spec", "ports")
		if hasPort(ports, port) && (host == "" || slices.Contains(hosts, host)) && covers(addresses, address) {
			found = append(found, named("ServiceEntry", &e))
		}
	}
	services, err := a.client.CoreV1().Services(metav1.NamespaceAll).List(ctx, metav1.ListOptions{})
	if err != nil {
		return found
	}
	for _, s := range services.Items {
		name, _, _ := strings.Cut(host, ".svc")
		fits := slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return int(p.Port) == port })
		if fits && (host == "" || name == s.Name+"."+s.Namespace) && (host != "" || slices.Contains(s.Spec.ClusterIPs, address) || anywhere(address) && s.Spec.ClusterIP == corev1.ClusterIPNone) {
			found = append(found, named("Service", &s))
		}
	}
	return found
}

// hasPort tells whether a ServiceEntry's ports hold a number.
func hasPort(ports []any, number int) bool {
	return slices.ContainsFunc(ports, func(p any) bool {
		n, _ := p.(map[string]any)["number"].(int64)
		return int(n) == number
	})
}

// anywhere is the address of a listener on all addresses.
func anywhere(address string) bool { return address == "0.0.0.0" || address == "::" }

// covers tells whether a listener's address may be of a ServiceEntry with these addresses.
func covers(addresses []string, address string) bool {
	if address == "" || anywhere(address) || len(addresses) == 0 {
		return true
	}
	return slices.ContainsFunc(addresses, func(of string) bool {
		ip, _, _ := strings.Cut(of, "/")
		return ip == address
	})
}

// patches names the objects that change what istiod makes as they like.
func (a askers) patches(ctx context.Context) []string {
	var found []string
	for _, kind := range []string{"EnvoyFilter", "WasmPlugin", "Telemetry"} {
		for _, o := range a.list(ctx, kind) {
			found = append(found, named(kind, &o))
		}
	}
	return found
}

// list lists a kind of Istio's; nothing where that cannot be had.
func (a askers) list(ctx context.Context, kind string) []unstructured.Unstructured {
	groups := map[string]string{"ServiceEntry": "networking.istio.io", "EnvoyFilter": "networking.istio.io", "WasmPlugin": "extensions.istio.io", "Telemetry": "telemetry.istio.io"}
	mapping, err := a.client.Mapper.RESTMapping(schema.GroupKind{Group: groups[kind], Kind: kind})
	if err != nil {
		return nil
	}
	list, err := a.client.Dynamic.Resource(mapping.Resource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	return list.Items
}

func named(kind string, o metav1.Object) string {
	return fmt.Sprintf("%s %s/%s", kind, o.GetNamespace(), o.GetName())
}
