package callgraph

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"
)

// Proxy is whose answers or log are read.
type Proxy struct {
	// Of is its pod's namespace and workload; without a namespace, it is not known.
	Of Party
	// Name says in messages which it is: NAMESPACE/POD, or a file.
	Name string
}

// AccessLog reads the access log of a proxy, or of several whose lines say which: in Istio's
// format (what meshConfig.accessLogFile gives), as text or as JSON, and in Envoy's own default.
// Lines that are none, such as pilot-agent's own, are passed over. What kubectl, container
// runtimes and log shippers put around a line is taken off.
//
// Lines of the caller's proxy name the Service by the cluster that they went to. Lines of the
// callee's name the caller by its address, which names.Pods tells; the caller is unknown
// otherwise. Requests that no route was found for, and those that went past the mesh, count for
// the Service whose name or address was asked for.
//
// It is [ErrNoLines] when no line is one of an access log: its proxy has logged no request, or logs
// none at all.
func AccessLog(of Proxy, log io.Reader, names Names) (*Graph, error) {
	l := &accessLog{proxy: of, names: names, to: newBuilder()}
	lines := bufio.NewReaderSize(log, 1<<16)
	for number := 1; ; number++ {
		line, err := longLine(lines)
		if len(line) > 0 {
			l.line(line, number)
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read the access log of %s: %w", of.Name, err)
		}
	}
	switch {
	case l.read == 0 && l.customs > 0:
		return nil, fmt.Errorf("cannot read the access log of %s: its %d lines of JSON have no field upstream_cluster; log %%UPSTREAM_CLUSTER_RAW%% under that name (meshConfig.accessLogFormat)", of.Name, l.customs)
	case l.read == 0:
		return nil, fmt.Errorf("%w among the %d of %s: is it on (meshConfig.accessLogFile: /dev/stdout) and in Istio's format?", ErrNoLines, l.others, of.Name)
	}
	return l.to.graph(), nil
}

// ErrNoLines is of a log without a line of an access log.
var ErrNoLines = errors.New("cannot find a line of an access log")

// maxLine bounds a line that is looked at, in bytes; the rest of a longer one is passed over.
const maxLine = 1 << 20

// longLine reads a line of any length, of which it keeps maxLine bytes.
func longLine(r *bufio.Reader) (line []byte, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) <= maxLine {
			line = append(line, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimRight(line, "\r\n"), err
		}
	}
}

// accessLog is a log that is being read.
type accessLog struct {
	proxy                 Proxy
	names                 Names
	to                    *builder
	read, others, customs int
}

// entry is what is read of a line; "-" and "" are for nothing.
type entry struct {
	method, code, flags, details string
	authority                    string
	upstreamHost, cluster        string
	local, remote                string // of the downstream connection
	serverName                   string
	at                           time.Time // zero for a line in JSON that does not say
	// full says that the line has more than Envoy's own default: the cluster.
	full bool
	// of is the proxy that wrote it, where the line says so.
	of Party
}

func (l *accessLog) line(line []byte, number int) {
	e, ok := l.parse(line)
	if !ok {
		l.others++
		return
	}
	l.read++
	l.to.times.between(e.at, e.at)
	place := fmt.Sprintf("%s:%d", l.proxy.Name, number)
	a := amount{requests: 1}
	if e.method == "-" || e.method == "" { // TCP has no request
		a = amount{connections: 1}
	}
	who := l.writer(e)
	switch in := e.inbound(); {
	case in && e.full:
		l.inbound(e, who, a, place)
	case in:
		l.to.unknownCall(Caller, "somebody: Envoy's own format does not say who", l.called(e, who), a, place)
	default:
		l.outbound(e, who, a, place)
	}
}

// writer is whose proxy wrote a line.
func (l *accessLog) writer(e entry) Party {
	who := e.of
	if who.Namespace == "" {
		who = l.proxy.Of
	}
	if who.Namespace == "" && e.full {
		at := e.remote // of its own application
		if e.inbound() {
			at = e.local
		}
		who, _ = l.names.pod(at)
	}
	if who.Namespace != "" {
		l.to.seen[who.Namespace] = true
	}
	return who
}

// inbound tells whether a request came to the proxy's own pod.
func (e entry) inbound() bool {
	c := clusterOf(e.cluster)
	switch {
	case c.direction != "":
		return c.direction == "inbound"
	case strings.HasPrefix(e.cluster, "InboundPassthroughCluster"):
		return true
	case e.full:
		// Without a cluster, only the caller's own proxy looks for one, unless the server name is
		// that which its peer asked for.
		return strings.HasPrefix(e.serverName, "outbound_.")
	}
	host := withoutPort(e.upstreamHost)
	return host == "127.0.0.1" || host == "[::1]" || host == "127.0.0.6" || host == "[::6]"
}

// inbound takes in a line of the callee's proxy.
func (l *accessLog) inbound(e entry, who Party, a amount, place string) {
	to, known := l.callee(e, who)
	from, ok := l.names.pod(e.remote)
	switch {
	case ok && known:
		l.to.call(from, to, byDestination, a, place)
	case ok:
		l.to.unknownCall(Callee, from.String(), "a pod whose proxy's log says neither which it is nor which Service was called", a, place)
	default:
		l.to.unknownCall(Caller, orUnknown(withoutPort(e.remote)), l.called(e, who), a, place)
	}
}

// callee is the Service that a line of the callee's proxy is about.
func (l *accessLog) callee(e entry, who Party) (Target, bool) {
	for _, name := range []string{clusterOf(e.serverName).host, e.authority} {
		if name == "" || name == "-" {
			continue
		}
		if t := l.names.Target(name, who.Namespace); t.Namespace != "" && (who.Namespace == "" || t.Namespace == who.Namespace) {
			return t, true
		}
	}
	if who.Namespace == "" {
		return Target{}, false
	}
	return Target{Namespace: who.Namespace}, true
}

// called says who was called, for messages.
func (l *accessLog) called(e entry, who Party) string {
	if to, ok := l.callee(e, who); ok {
		return to.String()
	}
	return orUnknown(e.authority)
}

func orUnknown(text string) string {
	if text == "" || text == "-" {
		return "unknown"
	}
	return text
}

// outbound takes in a line of the caller's proxy.
func (l *accessLog) outbound(e entry, who Party, a amount, place string) {
	asked := e.authority
	if asked == "" || asked == "-" {
		asked = e.serverName
	}
	if (asked == "" || asked == "-") && e.full {
		asked = e.local // where the application's connection was going
	}
	c := clusterOf(e.cluster)
	switch {
	case c.direction == "outbound":
		asked = c.host
	case e.cluster == passthrough:
		a.bypassed = true
		// By its address a Service is known even where its name is one that nobody knows.
		if t := l.names.Target(e.local, ""); t.Namespace != "" && l.names.Target(asked, who.Namespace).Namespace == "" {
			asked = e.local
		}
	case e.full:
		a.blocked = e.cluster == blackHole || strings.Contains(e.flags, "NR") || e.details == "direct_response"
	}
	to := l.names.Target(asked, who.Namespace)
	if to == (Target{}) || to.Host == "-" {
		to = Target{Host: "unknown"}
	}
	switch {
	case who.Namespace == "":
		l.to.unknownCall(Caller, orUnknown(withoutPort(e.remote)), to.String(), a, place)
	case to.Host == "unknown":
		l.to.unknownCall(Callee, who.String(), "unknown", a, place)
	default:
		l.to.call(who, to, bySource, a, place)
	}
}

// parse reads a line, with what others have put around it.
func (l *accessLog) parse(line []byte) (entry, bool) {
	text := strings.TrimSpace(string(line))
	var of Party
	for range 3 { // a shipper's JSON around a runtime's prefix
		if inner, who, ok := unwrap(text); ok {
			text = inner
			if who.Namespace != "" {
				of = who
			}
			continue
		}
		break
	}
	e, ok := parseText(text)
	if !ok && strings.HasPrefix(text, "{") {
		e, ok = l.parseJSON(text)
	}
	e.of = of
	return e, ok
}

// prefixes are what kubectl logs --prefix and container runtimes (CRI) begin a line with.
var prefixes = regexp.MustCompile(`^(?:\[pod/[^\]]+\]\s+|\d{4}-\d\d-\d\dT\S+ (?:stdout|stderr) [FP] )`)

// unwrap takes one thing off a line that was put around it.
func unwrap(text string) (inner string, who Party, ok bool) {
	if at := prefixes.FindString(text); at != "" {
		return text[len(at):], who, true
	}
	if !strings.HasPrefix(text, "{") || !strings.Contains(text, `"log"`) && !strings.Contains(text, `"message"`) {
		return "", who, false
	}
	var around struct {
		Log        *string `json:"log"`
		Message    *string `json:"message"`
		Kubernetes struct {
			Namespace string `json:"namespace_name"`
			Pod       string `json:"pod_name"`
		} `json:"kubernetes"`
	}
	if json.Unmarshal([]byte(text), &around) != nil || around.Log == nil && around.Message == nil {
		return "", who, false
	}
	who.Namespace = around.Kubernetes.Namespace
	if who.Namespace != "" {
		who.Workload = WorkloadOf(around.Kubernetes.Pod)
	}
	if around.Log != nil {
		return strings.TrimSpace(*around.Log), who, true
	}
	return strings.TrimSpace(*around.Message), who, true
}

// parseJSON reads a line in JSON. Istio's names of the fields are its own format's.
func (l *accessLog) parseJSON(text string) (entry, bool) {
	var fields map[string]any
	if json.Unmarshal([]byte(text), &fields) != nil {
		return entry{}, false
	}
	get := func(name string) string {
		switch v := fields[name].(type) {
		case string:
			return v
		case float64:
			return fmt.Sprint(v)
		}
		return ""
	}
	_, access := fields["upstream_host"]
	if _, ok := fields["upstream_cluster"]; !ok {
		if access || fields["response_code"] != nil {
			l.customs++
		}
		return entry{}, false
	}
	at, _ := time.Parse(time.RFC3339Nano, get("start_time")) // a log may be without
	return entry{
		at:     at.UTC(),
		method: get("method"), code: get("response_code"), flags: get("response_flags"), details: get("response_code_details"),
		authority: get("authority"), upstreamHost: get("upstream_host"), cluster: get("upstream_cluster"),
		local: get("downstream_local_address"), remote: get("downstream_remote_address"),
		serverName: get("requested_server_name"), full: true,
	}, true
}

// begin is how a line of text begins: the time, and the request in quotes.
var begin = regexp.MustCompile(`^\[([^\]]+)\] "(\S+) `)

// afterRequest is what follows the request: status, flags, and in Istio's format the details.
var afterRequest = regexp.MustCompile(`^" (\d+) (\S+) (\S+)`)

// ends are how lines end, Istio's first: from the right, since what is before, like the user
// agent, may hold anything, quotes too.
var ends = []*regexp.Regexp{
	regexp.MustCompile(`"([^" ]*)" "([^" ]*)" ([^" ]+) ([^" ]+) ([^" ]+) ([^" ]+) ([^" ]+) [^"]+$`),
	regexp.MustCompile(`"([^" ]*)" "([^" ]*)"$`),
}

// parseText reads a line in Istio's format or in Envoy's own default.
func parseText(text string) (e entry, ok bool) {
	head := begin.FindStringSubmatch(text)
	if head == nil {
		return e, false
	}
	at, err := time.Parse(time.RFC3339Nano, head[1])
	if err != nil {
		return e, false
	}
	e.at, e.method = at.UTC(), head[2]
	rest := text[len(head[0]):]
	if at := strings.IndexByte(rest, '"'); at >= 0 {
		if status := afterRequest.FindStringSubmatch(rest[at:]); status != nil {
			e.code, e.flags, e.details = status[1], status[2], status[3]
		}
	}
	if end := ends[0].FindStringSubmatch(rest); end != nil {
		e.authority, e.upstreamHost, e.cluster = end[1], end[2], end[3]
		e.local, e.remote, e.serverName = end[5], end[6], end[7]
		e.full = true
		return e, true
	}
	if end := ends[1].FindStringSubmatch(rest); end != nil {
		e.authority, e.upstreamHost = end[1], end[2]
		return e, true
	}
	return e, false
}

// generated is the end of a pod's name: a ReplicaSet's hash and five characters, or those alone.
var generated = regexp.MustCompile(`^(.+?)(?:-[a-z0-9]{6,10})?-[a-z0-9]{5}$`)

// ordinal is the end of the name of a pod of a StatefulSet.
var ordinal = regexp.MustCompile(`^(.+)-[0-9]+$`)

// WorkloadOf guesses a pod's workload by the pod's name.
func WorkloadOf(pod string) string {
	for _, form := range []*regexp.Regexp{ordinal, generated} {
		if m := form.FindStringSubmatch(pod); m != nil {
			return m[1]
		}
	}
	return pod
}
