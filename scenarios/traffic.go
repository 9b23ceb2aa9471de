package scenarios

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshbench/meshbench/internal/imagename"
)

// Traffic sends requests for a while, at a steady rate, from a pod of each of the sources in
// turn, with the load generator of Fortio in that pod. It has taken effect when all are
// answered or have failed; the log has their latencies, and what the sidecars on both sides
// needed meanwhile. Applications must run for it: on the embedded cluster, a stand-in answers
// for those that no program is known for.
type Traffic struct {
	// From are the workloads that send, NAMESPACE/NAME, whose container has the image
	// fortio/fortio: one, or a list, of which each sends when the one before has ended.
	From Sources `yaml:"from" jsonschema:"required"`
	// To is the host and the port as an application writes them: SERVICE.NAMESPACE:PORT.
	To string `yaml:"to" jsonschema:"required"`
	// Outside says that To is no Service of the scenario or the cluster: the host of a
	// ServiceEntry, or one that nothing knows.
	Outside bool `yaml:"outside,omitempty"`
	// Protocol is http, grpc or tcp; http by default. gRPC's method is that of Fortio's ping.
	Protocol string `yaml:"protocol" jsonschema:"enum=http,enum=grpc,enum=tcp,default=http"`
	// Path is that of HTTP requests, with its query; / by default.
	Path string `yaml:"path,omitempty"`
	// Headers are those of HTTP requests, Host among them.
	Headers map[string]string `yaml:"headers,omitempty"`
	// QPS is the number of requests a second, over all connections.
	QPS int `yaml:"qps" jsonschema:"required"`
	// Connections is how many are used at once; 1 by default.
	Connections int `yaml:"connections" jsonschema:"default=1"`
	// Payload is the size of a request's body in bytes; none by default. HTTP requests with one
	// are POST.
	Payload int `yaml:"payload,omitempty"`
	// Duration is how long each source sends.
	Duration time.Duration `yaml:"duration" jsonschema:"required"`
	// Expect are the least shares of the requests that are answered so, by the status of HTTP,
	// or OK for gRPC and TCP: {"200": 99%}. By default all succeed: {"200": 100%}, {OK: 100%}.
	// What is not answered has the status error.
	Expect map[string]string `yaml:"expect,omitempty"`

	// service is the Service that To names, as namespace/name; "" for none.
	service string
	targets []string
}

// Sources are names of workloads, NAMESPACE/NAME. In a file, one may stand without a list.
type Sources []string

// Protocols of requests.
const (
	HTTP = "http"
	GRPC = "grpc"
	TCP  = "tcp"
)

// Statuses of answers that are no number ([Traffic.Expect]).
const (
	AnswerOK    = "OK"    // of gRPC and TCP
	AnswerError = "error" // there was none, or one that says of an error
)

const (
	// maxQPS is more than one client can send.
	maxQPS = 100_000
	// maxConnections is far below the ports that one client has.
	maxConnections = 10_000
	// maxPayload is Fortio's own limit, 256 KiB by default.
	maxPayload = 256 << 10
	// longestTraffic bounds one source.
	longestTraffic = time.Hour
)

// Word returns traffic.
func (*Traffic) Word() string { return "traffic" }

// String describes the change in a few words.
func (t *Traffic) String() string {
	connections := "1 connection"
	if t.Connections != 1 {
		connections = fmt.Sprintf("%d connections", t.Connections)
	}
	payload := ""
	if t.Payload > 0 {
		payload = fmt.Sprintf(" of %d bytes", t.Payload)
	}
	return fmt.Sprintf("send %d requests a second%s from %s to %s for %s over %s", t.QPS, payload, strings.Join(t.From, " and from "), t.URL(), t.Duration, connections)
}

// URL is the address of the requests, http://echo.server:80/.
func (t *Traffic) URL() string { return t.Protocol + "://" + t.To + t.Path }

// Service is the Service that requests are sent to, as namespace/name; "" for none that the
// scenario or the cluster has.
func (t *Traffic) Service() string { return t.service }

// Targets are the workloads behind the Service, as namespace/name, as far as the scenario
// tells.
func (t *Traffic) Targets() []string { return slices.Clone(t.targets) }

// Shares are the least shares of answers, from 0 to 1, by status.
func (t *Traffic) Shares() map[string]float64 {
	shares := map[string]float64{}
	for status, text := range t.Expect {
		share, _ := shareOf(text)
		shares[status] = share
	}
	return shares
}

// shareOf reads a share, 99.5%: 0 to 100.
func shareOf(text string) (share float64, ok bool) {
	if text == "0%" {
		return 0, true
	}
	share, ok = percent(text)
	return share / 100, ok
}

func (t *Traffic) setDefaults() { t.Protocol, t.Connections = HTTP, 1 }

func (t *Traffic) place(p *placement) {
	t.From = slices.Clone(t.From)
	for i := range t.From {
		p.sender(&t.From[i])
	}
	p.target(&t.To, t.Outside)
}

// sender places a workload that sends, NAMESPACE/NAME.
func (p *placement) sender(from *string) {
	if namespace, name, ok := strings.Cut(*from, "/"); ok {
		*from = p.name(namespace) + "/" + name
	}
}

// target places what is asked, SERVICE.NAMESPACE:PORT, unless that is outside of the scenario.
func (p *placement) target(to *string, outside bool) {
	service, rest, ok := strings.Cut(*to, ".")
	if !ok || outside {
		return
	}
	end := strings.IndexAny(rest, ".:")
	if end < 0 {
		end = len(rest)
	}
	*to = service + "." + p.name(rest[:end]) + rest[end:]
}

// check also fills in the path and the expectations.
func (t *Traffic) check(c *checker) needs {
	need := needs{applications: true}
	t.checkAmounts(c)
	switch t.Protocol {
	case HTTP:
		if t.Path == "" {
			t.Path = "/"
		}
		if !strings.HasPrefix(t.Path, "/") || strings.ContainsAny(t.Path, " #") {
			c.wrong("path", "invalid path %q: want e.g. /productpage?u=normal", t.Path)
		}
	case GRPC, TCP:
		for _, field := range []struct {
			name string
			set  bool
		}{{"path", t.Path != ""}, {"headers", t.Headers != nil}} {
			if field.set {
				c.wrong(field.name, "is for protocol http, not %s; omit it", t.Protocol)
			}
		}
	default:
		c.wrong("protocol", "unknown protocol %q; want http, grpc or tcp", t.Protocol)
		return need
	}
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(t.Headers[name]) {
			c.wrong(join("headers", name), "%q is not valid as an HTTP header", name+": "+t.Headers[name])
		}
	}
	t.checkExpect(c)
	sources := t.checkSources(c)
	t.service, t.targets = c.target(t.To, t.Outside, t.From)
	if !c.badBelow(c.path) {
		for _, o := range sources {
			c.sends(o)
		}
	}
	return need
}

// checkAmounts checks that the load has bounds.
func (t *Traffic) checkAmounts(c *checker) {
	if t.QPS <= 0 && c.at[join(c.path, "qps")] != nil {
		c.wrong("qps", "%d is no rate; state how many requests a second to send, at most %d: as fast as possible is no bound", t.QPS, maxQPS)
	} else if t.QPS > 0 {
		c.number("qps", t.QPS, 1, maxQPS)
	}
	c.number("connections", t.Connections, 1, maxConnections)
	c.number("payload", t.Payload, 0, maxPayload)
	switch given := c.at[join(c.path, "duration")] != nil; {
	case !given:
	case t.Duration < time.Second:
		c.wrong("duration", "%s is too short for a rate; want at least 1s", t.Duration)
	case t.Duration > longestTraffic:
		c.wrong("duration", "%s is too long; want at most %s", t.Duration, longestTraffic)
	case t.QPS > 0 && float64(t.QPS)*t.Duration.Seconds() < float64(t.Connections):
		c.wrong("connections", "%d requests a second for %s are fewer than %d connections; send more, for longer, or use fewer connections", t.QPS, t.Duration, t.Connections)
	}
}

// checkExpect checks the expectations, and fills in those by default.
func (t *Traffic) checkExpect(c *checker) {
	if len(t.Expect) == 0 {
		t.Expect = map[string]string{AnswerOK: "100%"}
		if t.Protocol == HTTP {
			t.Expect = map[string]string{"200": "100%"}
		}
		return
	}
	sum := 0.0
	for _, status := range slices.Sorted(maps.Keys(t.Expect)) {
		at := join("expect", status)
		code, err := strconv.Atoi(status)
		switch {
		case status == AnswerError:
		case t.Protocol == HTTP && (err != nil || code < 100 || code > 599):
			c.wrong(at, "%q is no status of HTTP; want 100 to 599, or %s for requests that are not answered", status, AnswerError)
		case t.Protocol != HTTP && status != AnswerOK:
			c.wrong(at, "unknown status %q of %s; want %s or %s", status, t.Protocol, AnswerOK, AnswerError)
		}
		share, ok := shareOf(t.Expect[status])
		if !ok {
			c.wrong(at, "invalid share %q: want a percentage from 0%% to 100%%, e.g. 99.5%%", t.Expect[status])
		}
		sum += share
	}
	if sum > 1+1e-9 {
		c.wrong("expect", "the least shares add up to %.4g%%; want at most 100%%", 100*sum)
	}
}

// checkSources checks the workloads that send, and returns them.
func (t *Traffic) checkSources(c *checker) []object {
	if t.From != nil && len(t.From) == 0 {
		c.wrong("from", "names no workload; write NAMESPACE/NAME of one with the image fortio/fortio")
	}
	var sources []object
	for i, from := range t.From {
		at := "from"
		if c.at[join(c.path, "from[0]")] != nil {
			at = fmt.Sprintf("from[%d]", i)
		}
		if o, ok := c.source(at, from); ok {
			sources = append(sources, o)
		}
		if slices.Contains(t.From[:i], from) {
			c.wrong(at, "%s is in the list already", from)
		}
	}
	return sources
}

// source checks a workload that sends.
func (c *checker) source(field, from string) (object, bool) {
	namespace, name, ok := strings.Cut(from, "/")
	if !ok || namespace == "" || name == "" || strings.Contains(name, "/") {
		c.wrong(field, "invalid name %q: want NAMESPACE/NAME of a workload", from)
		return object{}, false
	}
	if _, exists := c.objects[object{"Namespace", "", namespace}]; !exists {
		c.namespace(field, namespace) // says what is known
		return object{}, false
	}
	o, exists := c.workloadNamed(namespace, name)
	if !exists {
		var names []string
		for o := range c.plan.now {
			if o.namespace == namespace {
				names = append(names, o.name)
			}
		}
		c.wrong(field, "no earlier step creates a workload %q in namespace %q%s", name, namespace, suggest(name, names))
		return o, false
	}
	containers := c.templates[o].containers
	switch {
	case !slices.ContainsFunc(containers, func(x Container) bool { return IsFortio(x.Image) }):
		var has []string
		for _, x := range containers {
			has = append(has, fmt.Sprintf("%s (%s)", x.Name, x.Image))
		}
		c.wrong(field, "%s cannot send: none of its containers has the image fortio/fortio, whose load generator sends the requests; it has %s", from, strings.Join(has, ", "))
		return o, false
	case c.plan.now[o].replicas == 0:
		c.wrong(field, "%s has no pods at this step; scale it up first", from)
		return o, false
	}
	return o, true
}

// workloadNamed finds a workload whose pods stay by its name.
func (c *checker) workloadNamed(namespace, name string) (object, bool) {
	for _, kind := range witnessKinds {
		o := object{kind, namespace, name}
		if _, exists := c.plan.now[o]; exists {
			return o, true
		}
	}
	return object{}, false
}

// IsFortio reports whether an image is Fortio's, of any version and from any registry.
func IsFortio(image string) bool {
	repository, _ := imagename.Split(image)
	return repository == "fortio/fortio" || strings.HasSuffix(repository, "/fortio/fortio")
}

// target checks where requests are sent, and returns the Service, as namespace/name, and the
// workloads behind it, as far as the scenario tells.
func (c *checker) target(to string, outside bool, sources []string) (service string, workloads []string) {
	if to == "" {
		return "", nil // it is required, which is said
	}
	host, text, err := net.SplitHostPort(to)
	port, notNumber := strconv.Atoi(text)
	if err != nil || notNumber != nil || port < 1 || port > 65535 || host == "" {
		c.wrong("to", "invalid target %q: want SERVICE.NAMESPACE:PORT, e.g. echo.server:8080", to)
		return "", nil
	}
	if _, err := netip.ParseAddr(host); err != nil && len(validation.IsDNS1123Subdomain(host)) > 0 {
		c.wrong("to", "invalid host %q: want SERVICE.NAMESPACE, or a DNS name or an address with outside: true", host)
		return "", nil
	}
	if outside {
		return "", nil
	}
	o, ok := c.serviceOf(host, sources)
	if !ok {
		return "", nil
	}
	service = o.namespace + "/" + o.name
	s, known := c.exposed[o]
	if !known {
		return service, nil
	}
	i := slices.IndexFunc(s.ports, func(p Port) bool { return p.Port == port && (p.Protocol == "TCP" || p.Protocol == "") })
	if i < 0 {
		var has []string
		for _, p := range s.ports {
			has = append(has, strings.TrimSuffix(fmt.Sprintf("%d/%s", p.Port, p.Protocol), "/TCP"))
		}
		c.wrong("to", "Service %s has no port %d; it has %s", service, port, strings.Join(has, ", "))
		return service, nil
	}
	return service, c.answers(s, o, i)
}

// serviceOf finds the Service with a host's name: SERVICE, SERVICE.NAMESPACE or either with
// what the cluster appends. One of the first form is in the namespace of the sources.
func (c *checker) serviceOf(host string, sources []string) (object, bool) {
	domain, _ := c.installed.value("global", "proxy", "clusterDomain").(string)
	suffix := ".svc." + cmp.Or(domain, clusterDomain)
	short := host
	for _, end := range []string{suffix, ".svc"} {
		if rest, ok := strings.CutSuffix(short, end); ok {
			short = rest
			break
		}
	}
	name, namespace, given := strings.Cut(short, ".")
	namespaces := []string{namespace}
	if !given {
		namespaces = nil
		for _, from := range sources {
			namespace, _, _ := strings.Cut(from, "/")
			namespaces = append(namespaces, namespace)
		}
		namespaces = slices.Compact(slices.Sorted(slices.Values(namespaces)))
	}
	const orOutside = "; for a host that is no Service write outside: true"
	var found object
	for _, namespace := range namespaces {
		found = object{"Service", namespace, name}
		_, madeNamespace := c.objects[object{"Namespace", "", namespace}]
		_, made := c.objects[found]
		switch {
		case made:
		case !madeNamespace:
			c.wrong("to", "no earlier step creates namespace %q%s%s", namespace, suggest(namespace, c.named("Namespace", "")), orOutside)
			return found, false
		default:
			c.wrong("to", "no earlier step creates Service %q in namespace %q%s%s", name, namespace, suggest(name, c.named("Service", namespace)), orOutside)
			return found, false
		}
	}
	if len(namespaces) > 1 {
		c.wrong("to", "%q stands for another Service in each of namespaces %s; write SERVICE.NAMESPACE:PORT", host, strings.Join(namespaces, ", "))
		return found, false
	}
	return found, true
}
