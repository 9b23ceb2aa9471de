package reports

import (
	"github.com/meshbench/meshbench/observations"
)

// peaks are the most memory that was seen in the finer series of a step, in bytes; 0 where
// there was none.
type peaks struct{ sidecar, istiod int64 }

// add takes in a scrape. Sidecars that were dumped are left out, for a dump makes Envoy grow,
// and so are proxies of other kinds.
func (p *peaks) add(s *observations.Series, dumped func(pod string) bool) {
	for _, c := range s.Containers {
		switch {
		case c.Container == observations.IstiodContainer:
			p.istiod = max(p.istiod, c.MemoryBytes)
		case c.Container == observations.SidecarContainer && c.Kind == "" && !dumped(c.Namespace+"/"+c.Pod):
			p.sidecar = max(p.sidecar, c.MemoryBytes)
		}
	}
}

// of are the peaks of a step with these readings: no lower than what it settled on, which the
// metrics API may have read between two scrapes. Without any scrape they stay unknown, for
// what was settled on says nothing of the way there.
func (p peaks) of(in *readings) (sidecar, istiod int64) {
	if sidecar = p.sidecar; sidecar > 0 {
		for _, u := range in.usage {
			if !u.Witness && u.Kind == "" {
				sidecar = max(sidecar, u.MemoryBytes)
			}
		}
	}
	if istiod = p.istiod; istiod > 0 && in.istiod != nil {
		istiod = max(istiod, in.istiod.MemoryBytes)
	}
	return sidecar, istiod
}
