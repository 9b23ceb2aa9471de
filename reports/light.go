package reports

import (
	"fmt"

	"github.com/meshbench/meshbench/observations"
)

// lightText says in sentences how many light proxies there were at the end of a run, and what
// one has cost since their process was started; "" for none. missing says that not all of
// them had what they asked for.
func lightText(l *observations.Light) (text string, missing bool) {
	if l == nil || l.Clients == 0 {
		return "", false
	}
	n := float64(l.Clients)
	var sent int64
	for _, bytes := range l.Bytes {
		sent += bytes
	}
	text = fmt.Sprintf("Light proxies at the last step: %d, of which %d were connected and %d had acknowledged everything. Each has cost %.1f ms of CPU so far, and %.0f KiB of the memory of the process that speaks for all (%.1f s, %.1f Mi). istiod has sent them %.1f MB in %d streams, and signed %d certificates. They are in no statistic of sidecars.",
		l.Clients, l.Connected, l.Acknowledged, 1000*l.CPUSeconds/n, float64(l.MemoryBytes)/n/1024, l.CPUSeconds, float64(l.MemoryBytes)/(1<<20),
		float64(sent)/1e6, l.Streams, l.Certificates)
	if missing = l.Acknowledged < l.Clients; missing && l.Error != "" {
		text += " One says: " + l.Error + "."
	}
	return text, missing
}
