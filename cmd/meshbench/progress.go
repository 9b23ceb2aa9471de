package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/plain"
)

// progress shows where long work is: on a terminal one live line, elsewhere plain
// lines, few enough for a log. It is a harness.Progress and a components.Progress.
type progress struct {
	mu     sync.Mutex
	out    io.Writer
	width  int // of the terminal; 0 when out is none
	begun  time.Time
	phase  string
	status string
	since  time.Time // of the phase
	said   string    // last status line said where there is no terminal
	saidAt time.Time
	stop   chan struct{}
	ended  sync.WaitGroup
}

// plainEvery is how often, where there is no terminal, a status may become a line.
const plainEvery = 10 * time.Second

func newProgress(out io.Writer) *progress {
	out = plain.Raw(out)
	p := &progress{out: out, begun: time.Now(), since: time.Now(), stop: make(chan struct{})}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		p.width = 80
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 20 {
			p.width = w
		}
	}
	p.ended.Add(1)
	go p.tick()
	return p
}

// Close ends the live line.
func (p *progress) Close() {
	close(p.stop)
	p.ended.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endPhase()
}

// Phase ends the phase before with a line that stays and opens a new one.
func (p *progress) Phase(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endPhase()
	p.phase, p.status, p.since = name, "", time.Now()
	if p.width == 0 {
		p.line(name)
	}
	p.draw()
}

// Status replaces what is being done.
func (p *progress) Status(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.status = fmt.Sprintf(format, args...)
	p.draw()
}

// Note writes a line that stays.
func (p *progress) Note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	p.line(fmt.Sprintf(format, args...))
	p.draw()
}

// Event shows how obtaining components goes on.
func (p *progress) Event(e components.Event) {
	if e.Phase == components.Ready || e.Phase == components.Damaged {
		p.Note("%s", e)
		return
	}
	p.Status("%s", e)
}

func (p *progress) tick() {
	defer p.ended.Done()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			p.mu.Lock()
			p.draw()
			p.mu.Unlock()
		}
	}
}

func (p *progress) endPhase() {
	p.clear()
	if p.phase != "" {
		p.line(fmt.Sprintf("%s: done in %.1f s", p.phase, time.Since(p.since).Seconds()))
	}
	p.phase = ""
}

// line writes a line that stays, with the time since the start.
func (p *progress) line(text string) {
	fmt.Fprintf(p.out, "%6.1fs  %s\n", time.Since(p.begun).Seconds(), plain.Output(text))
}

func (p *progress) clear() {
	if p.width > 0 {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
}

func (p *progress) draw() {
	if p.phase == "" {
		return
	}
	if p.width == 0 {
		if p.status != "" && p.status != p.said && time.Since(p.saidAt) >= plainEvery && time.Since(p.since) >= plainEvery/2 {
			p.line(p.phase + ": " + p.status)
			p.said, p.saidAt = p.status, time.Now()
		}
		return
	}
	spinner := `|/-\`[time.Now().UnixMilli()/200%4]
	text := fmt.Sprintf("%6.1fs %c %s (%.0f s)", time.Since(p.begun).Seconds(), spinner, p.phase, time.Since(p.since).Seconds())
	if p.status != "" {
		text += ": " + p.status
	}
	text = plain.Output(plain.Line(text))
	if runes := []rune(text); len(runes) >= p.width {
		text = string(runes[:p.width-1])
	}
	fmt.Fprint(p.out, "\r\x1b[K"+text)
}
