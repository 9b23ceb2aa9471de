package proxyconfig

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// startsWithout says whether an answer begins with something else than a character, which is
// not taken from it. An empty answer is an error.
func startsWithout(answer io.Reader, character byte) (bool, *bufio.Reader, error) {
	b := bufio.NewReaderSize(answer, 64<<10)
	for {
		c, err := b.ReadByte()
		if errors.Is(err, io.EOF) {
			return false, nil, errors.New("it is empty")
		}
		if err != nil {
			return false, nil, err
		}
		if !bytes.ContainsRune([]byte(" \t\r\n"), rune(c)) {
			return c != character, b, b.UnreadByte()
		}
	}
}

// ask says how to get what is read instead.
const ask = "ask the sidecar with `kubectl exec POD -c istio-proxy -- pilot-agent request GET 'config_dump?include_eds'`"

// foreignText names what begins with something else than an object.
func foreignText(begun *bufio.Reader) error {
	begin, _ := begun.Peek(512) // as much as there is
	what := "is no JSON"
	switch {
	case begin[0] == '[':
		what = "is a list, as istioctl's -o json and istiod's debug pages print"
	case bytes.HasPrefix(begin, []byte("# HELP")) || bytes.HasPrefix(begin, []byte("# TYPE")):
		what = "is Prometheus' text of metrics"
	case bytes.HasPrefix(begin, []byte("<")):
		what = "is a page of HTML"
	case bytes.HasPrefix(begin, []byte{0x1f, 0x8b}):
		what = "is compressed by gzip"
	case bytes.Contains(begin, []byte("::default_priority::")):
		what = "is Envoy's answer to /clusters"
	case bytes.HasPrefix(begin, []byte("apiVersion:")) || bytes.HasPrefix(begin, []byte("kind:")):
		what = "is YAML of Kubernetes"
	}
	return fmt.Errorf("it %s, and no configuration dump: %s", what, ask)
}

// foreigners are answers of other programs and to other questions, by fields that all of them
// have. Source: ztunnel's dump of Istio 1.24; Envoy 1.40's admin pages.
var foreigners = []struct {
	what   string
	fields []string
}{
	{"ztunnel's, of ambient mode", []string{"workloads", "services", "policies"}},
	{"an object of Kubernetes", []string{"apiVersion", "kind"}},
	{"Envoy's answer to /clusters", []string{"cluster_statuses"}},
	{"Envoy's answer to /listeners", []string{"listener_statuses"}},
	{"Envoy's answer to /server_info", []string{"command_line_options"}},
	{"Envoy's answer to /stats", []string{"stats"}},
	{"Envoy's answer to /memory", []string{"allocated", "heap_size"}},
	{"Envoy's answer to /certs", []string{"certificates"}},
}

// planes are other control planes of Envoys, by a static cluster that their proxies have and
// nobody else's. Sources: the bootstraps of Consul (command/connect/envoy, consul-dataplane),
// Kuma (pkg/xds/bootstrap), Contour (internal/envoy/v3) and Cilium (pkg/envoy).
var planes = []struct{ name, cluster string }{
	{"Consul", "local_agent"}, {"Consul", "consul-dataplane"},
	{"Kuma", "ads_cluster"}, {"Contour", "contour"}, {"Cilium", "xds-grpc-cilium"},
}

// foreign is the error of a dump that is not of an Envoy of Istio's. fields are those that the
// answer has beside its sections.
func (r *attributing) foreign(fields []string, sum Sum) error {
	has := func(field string) bool { return slices.Contains(fields, `"`+field+`"`) }
	if sum.Objects.Clusters == 0 || sum.Objects.Listeners == 0 {
		for _, f := range foreigners {
			if !slices.ContainsFunc(f.fields, func(field string) bool { return !has(field) }) {
				return fmt.Errorf("it is %s, not a sidecar's configuration dump: %s", f.what, ask)
			}
		}
		if r.camel {
			return fmt.Errorf("its field names were rewritten (dynamicListeners, where Envoy says dynamic_listeners): %s", ask)
		}
		return errNoConfig
	}
	if r.istio || strings.Count(r.a.Node.ID, "~") == 3 {
		return nil
	}
	for _, p := range planes {
		if r.static[p.cluster] {
			return fmt.Errorf("it is of an Envoy that %s configures (cluster %s), not Istio", p.name, p.cluster)
		}
	}
	return fmt.Errorf("it is of an Envoy that Istio does not configure: node %q, static clusters %s, and none named outbound|… or inbound|…",
		r.a.Node.ID, cmp.Or(strings.Join(slices.Sorted(maps.Keys(r.static)), ", "), "none"))
}

// textHosts counts the hosts of each cluster in /clusters as text: each host has one line of
// each statistic, CLUSTER::ADDRESS::cx_active::N.
func textHosts(answer io.Reader) (map[string]int, error) {
	rows := map[string]int{}
	lines := bufio.NewScanner(answer)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, rest, ok := strings.Cut(lines.Text(), "::")
		if !ok {
			return nil, errNoClusters
		}
		n := 0
		if strings.Contains(rest, "::cx_active::") {
			n = 1
		}
		rows[name] += n
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, errNoClusters
	}
	return rows, nil
}
