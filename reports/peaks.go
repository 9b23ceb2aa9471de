package reports

import (
	"time"

	"github.com/meshbench/meshbench/observations"
)

// cpuWindow is the least time over which CPU is averaged: a scrape is noted when it is
// through, and how long that takes varies.
const cpuWindow = 2 * time.Second

// peaks are the most memory, in bytes, and CPU, in cores, that were seen in the finer series of
// a step; 0 where there was none.
type peaks struct {
	sidecar, istiod int64
	istiodCPU       float64
	// istiodRead says that istiod was measured: what comes after is the measurement's own.
	istiodRead bool
	// cpu are the last readings of each istiod, as many as a window needs.
	cpu map[string][]cpuReading
}

// cpuReading is the CPU time that a container had used at a moment.
type cpuReading struct {
	at      time.Time
	seconds float64
}

// add takes in a scrape. Sidecars that were dumped are left out, for a dump makes Envoy grow,
// and so are proxies of other kinds.
func (p *peaks) add(at time.Time, s *observations.Series, dumped func(pod string) bool) {
	for _, c := range s.Containers {
		pod := c.Namespace + "/" + c.Pod
		switch {
		case c.Container == observations.IstiodContainer && !p.istiodRead:
			p.istiod = max(p.istiod, c.MemoryBytes)
			p.addCPU(pod, cpuReading{at, c.CPUSeconds})
		case c.Container == observations.SidecarContainer && c.Kind == "" && !dumped(pod):
			p.sidecar = max(p.sidecar, c.MemoryBytes)
		}
	}
}

// addCPU takes in a reading of an istiod's CPU.
func (p *peaks) addCPU(pod string, now cpuReading) {
	if p.cpu == nil {
		p.cpu = map[string][]cpuReading{}
	}
	read := p.cpu[pod]
	if n := len(read); n > 0 && now.seconds < read[n-1].seconds {
		read = nil // the container was restarted
	}
	// The window is the shortest that is long enough.
	for len(read) > 1 && now.at.Sub(read[1].at) >= cpuWindow {
		read = read[1:]
	}
	if len(read) > 0 {
		if took := now.at.Sub(read[0].at); took >= cpuWindow {
			p.istiodCPU = max(p.istiodCPU, (now.seconds-read[0].seconds)/took.Seconds())
		}
	}
	p.cpu[pod] = append(read, now)
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

// cpuPeak is the most CPU that istiod used, in cores; 0 where it is unknown. In a step that is
// too short for a window between two readings it is what the whole step used.
func (in *readings) cpuPeak() float64 {
	before, now := in.istiodBefore, in.istiod
	took := in.istiodAt.Sub(in.began)
	if in.peaks.istiodCPU > 0 || len(in.peaks.cpu) == 0 || before == nil || now == nil || before.Pod != now.Pod || took <= 0 || took >= 2*cpuWindow {
		return in.peaks.istiodCPU
	}
	return max(0, now.CPUSeconds-before.CPUSeconds) / took.Seconds()
}
