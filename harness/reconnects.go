package harness

import (
	"context"
	"fmt"
	"time"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// connectionsEvery is how often istiod is asked who is connected. It sets how exactly a
// reconnect's moment is known where istiod does not tell.
const connectionsEvery = 10 * time.Second

// reconnects notes when a proxy connects to istiod anew, as it must when its connection
// reaches istiod's maximum age: it is then sent its whole configuration again, and grows
// without any new object.
type reconnects struct {
	// ends counts the ends of a pod's sidecar: a proxy that was started anew does not
	// reconnect, it connects.
	ends func(pod podName) int
	// add takes what is found.
	add func(observations.Event)

	known map[podName]connected
}

type connected struct {
	sample.Connection
	ends int
}

// watch asks until ctx ends. What cannot be read is asked again the next time.
func (r *reconnects) watch(ctx context.Context, connections func(context.Context) ([]sample.Connection, error)) {
	tick := time.NewTicker(connectionsEvery)
	defer tick.Stop()
	for {
		if now, err := connections(ctx); err == nil {
			r.look(now)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (r *reconnects) look(now []sample.Connection) {
	newest := map[podName]sample.Connection{}
	for _, c := range now {
		// An ended connection stands in the list until istiod has noticed.
		pod := podName{c.Namespace, c.Pod}
		if c.Since.After(newest[pod].Since) {
			newest[pod] = c
		}
	}
	for pod, c := range newest {
		before, seen := r.known[pod]
		ends := r.ends(pod)
		r.known[pod] = connected{c, ends}
		if !seen || before.ID == c.ID || before.ends != ends {
			continue
		}
		r.add(observations.Event{
			Level: observations.Info, Kind: observations.Reconnect, Object: pod.namespace + "/" + pod.name + "/" + observations.SidecarContainer,
			Message: fmt.Sprintf("connected to istiod anew at %s, after %s, and was sent all of its configuration again",
				c.Since.UTC().Format(time.TimeOnly), c.Since.Sub(before.Since).Round(time.Second)),
		})
	}
}
