package observations

import "time"

// Walk is a load of requests along all calls of a graph at once, during which something may have
// been done. Its single calls are records [Call].
type Walk struct {
	Graph string `json:"graph"`
	// QPS is how many requests a second were asked for along each call.
	QPS     int       `json:"qps"`
	Begin   time.Time `json:"begin"`
	Seconds float64   `json:"seconds"` // of the shortest load
	// Meanwhile are the actions that were done, in words, and DoneSeconds is when every proxy had
	// acknowledged their configuration, since Begin; 0 for none.
	Meanwhile   []string `json:"meanwhile,omitempty"`
	DoneSeconds float64  `json:"doneSeconds,omitempty"`
	// Loads are those along each call.
	Loads []WalkLoad `json:"loads"`
}

// WalkLoad is what one Service sent to another.
type WalkLoad struct {
	From     string `json:"from"` // namespace/name
	To       string `json:"to"`   // host and port
	Requests int64  `json:"requests"`
	// Statuses counts the answers by the status of HTTP; those without one are error.
	Statuses map[string]int64 `json:"statuses"`
}

// Requests is how many were sent in all, and Failed how many were not answered with 200.
func (w *Walk) Requests() (all, failed int64) {
	for _, l := range w.Loads {
		all += l.Requests
		failed += l.Requests - l.Statuses["200"]
	}
	return all, failed
}
