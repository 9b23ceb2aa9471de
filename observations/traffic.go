package observations

import "time"

// Traffic is one load of requests that a pod has sent, and what the proxies on its way needed
// meanwhile: an action traffic has a record for each of its sources.
type Traffic struct {
	// From is the workload that sent, namespace/name, and Pod which of its pods, as
	// namespace/name. Sidecar says that this pod has a real sidecar, which then carried the
	// requests.
	From    string `json:"from"`
	Pod     string `json:"pod"`
	Sidecar bool   `json:"sidecar"`
	// To is the host and the port that were asked, Service what has that name as
	// namespace/name, "" for none. Targets is the number of ready pods behind it, and
	// TargetProxies of how many a real proxy, sidecar or gateway, takes the requests.
	To            string `json:"to"`
	Service       string `json:"service,omitempty"`
	Targets       int    `json:"targets"`
	TargetProxies int    `json:"targetProxies"`

	Protocol string `json:"protocol"` // http, grpc, tcp
	Path     string `json:"path,omitempty"`
	// QPS, Connections, PayloadBytes and AskedSeconds are what was asked for: requests a second
	// over all connections, the body of each, and for how long.
	QPS          int     `json:"qps"`
	Connections  int     `json:"connections"`
	PayloadBytes int     `json:"payloadBytes"`
	AskedSeconds float64 `json:"askedSeconds"`
	// Expect are the least shares, 0 to 1, of answers by status.
	Expect map[string]float64 `json:"expect,omitempty"`

	// Program sent the requests: fortio 1.75.3.
	Program string    `json:"program"`
	Begin   time.Time `json:"begin"`
	// Seconds is how long they were sent, Requests how many, and Rate how many a second.
	Seconds  float64 `json:"seconds"`
	Requests int64   `json:"requests"`
	Rate     float64 `json:"rate"`
	// Statuses counts answers: by the status of HTTP, OK for gRPC and TCP, and error for
	// requests that were not answered or whose answer of gRPC was an error.
	Statuses map[string]int64 `json:"statuses"`
	// Latency is that of all requests, of failed ones, too; nil if there were none.
	Latency *Latency `json:"latency,omitempty"`
	// Sockets is how many connections were opened for them; 0 for unknown. SentBytes and
	// ReceivedBytes went through them; 0 for unknown.
	Sockets       int64 `json:"sockets,omitempty"`
	SentBytes     int64 `json:"sentBytes,omitempty"`
	ReceivedBytes int64 `json:"receivedBytes,omitempty"`

	// Proxies are the real proxies of the source and of the targets.
	Proxies []TrafficProxy `json:"proxies,omitempty"`
	// ReadThrough says where their memory and CPU were read ([Run].ReadThrough), and
	// Unread why some of it is unknown.
	ReadThrough string   `json:"readThrough,omitempty"`
	Unread      []string `json:"unread,omitempty"`
	// Unsettled says what was not quiet before the requests were sent; none for settled.
	Unsettled []string `json:"unsettled,omitempty"`
}

// Latency are quantiles of the time from a request to its answer, in seconds.
type Latency struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
	Mean float64 `json:"mean"`
}

// Sides of a [TrafficProxy].
const (
	TrafficSource = "source"
	TrafficTarget = "target"
)

// TrafficProxy is what one proxy needed around and during a load.
type TrafficProxy struct {
	Side      string `json:"side"` // TrafficSource or TrafficTarget
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Workload  string `json:"workload"`
	// Kind is ProxyGateway or ProxyWaypoint; "" for a sidecar.
	Kind string `json:"kind,omitempty"`
	// Witness is set when the proxy's configuration was ever dumped before.
	Witness bool `json:"witness,omitempty"`
	// Before, During and After are its memory; nil for unknown. Before is of the seconds up to
	// the first request, After of those from the last one on.
	Before *TrafficMemory `json:"before,omitempty"`
	During *TrafficMemory `json:"during,omitempty"`
	After  *TrafficMemory `json:"after,omitempty"`
	// Idle and Busy are its CPU before and during the load; nil for unknown.
	Idle *TrafficCPU `json:"idle,omitempty"`
	Busy *TrafficCPU `json:"busy,omitempty"`
}

// TrafficMemory are readings of a container's working set.
type TrafficMemory struct {
	// Bytes is their median, Low the lowest and High the highest.
	Bytes    int64 `json:"bytes"`
	Low      int64 `json:"low"`
	High     int64 `json:"high"`
	Readings int   `json:"readings"`
}

// TrafficCPU is CPU time that was used between two readings.
type TrafficCPU struct {
	Seconds float64 `json:"seconds"`
	Over    float64 `json:"over"` // seconds between the readings
}

// Cores is the CPU that was used on average.
func (c *TrafficCPU) Cores() float64 { return c.Seconds / c.Over }

// Failed is the number of requests that were not answered with success: HTTP below 400, OK.
func (t *Traffic) Failed() int64 {
	failed := t.Requests
	for status, n := range t.Statuses {
		if status == "OK" || len(status) == 3 && (status[0] == '1' || status[0] == '2' || status[0] == '3') {
			failed -= n
		}
	}
	return failed
}
