package harness

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// connectionsEvery is how often istiod is asked who is connected. It sets how exactly a
// reconnect's moment is known where istiod does not tell.
const connectionsEvery = 10 * time.Second

// connected is a proxy's connection as it was seen last, and how often the proxy had ended
// by then: one that was restarted does not reconnect, it connects.
type connected struct {
	sample.Connection
	ends int
}

// watchConnections records when a proxy reconnects to istiod, as it must when its
// connection reaches istiod's maximum age: it is then sent its whole configuration again,
// and grows without any new object. It asks until ctx ends. What cannot be read is asked
// for again the next time.
func (w *watch) watchConnections(ctx context.Context) {
	tick := time.NewTicker(connectionsEvery)
	defer tick.Stop()
	for {
		if now, err := w.proxies.Connections(ctx); err == nil {
			w.compare(now)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// compare records who has reconnected since the last call.
func (w *watch) compare(now []sample.Connection) {
	newest := map[types.NamespacedName]sample.Connection{}
	for _, c := range now {
		// An ended connection stands in the list until istiod has noticed.
		pod := types.NamespacedName{Namespace: c.Namespace, Name: c.Pod}
		if c.Since.After(newest[pod].Since) {
			newest[pod] = c
		}
	}
	for pod, c := range newest {
		before, seen := w.connected[pod]
		ends := w.ends(pod)
		w.connected[pod] = connected{c, ends}
		// Light proxies are many, do not grow, and have their streams counted
		// ([observations.Light]).
		if !seen || before.ID == c.ID || before.ends != ends || w.isLight(pod) {
			continue
		}
		w.recorder.event(observations.Info, observations.Reconnect,
			fmt.Sprintf("reconnected to istiod at %s, after %s, and was sent all of its configuration again",
				c.Since.UTC().Format(time.TimeOnly), c.Since.Sub(before.Since).Round(time.Second)),
			pod.String()+"/"+observations.SidecarContainer)
	}
}
