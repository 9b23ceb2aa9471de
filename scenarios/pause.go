package scenarios

import (
	"fmt"
	"time"
)

// Pause waits. A step settles by itself, so a pause is for what happens by the clock alone:
// to let proxies reconnect to istiod, a Job run, or a program give memory back, before the
// next action or the measurement. The log has the pause.
type Pause struct {
	// For is how long, 30s.
	For time.Duration `yaml:"for" jsonschema:"required"`
}

// longestPause is more than anything that is waited for by the clock.
const longestPause = 24 * time.Hour

// Word returns pause.
func (*Pause) Word() string { return "pause" }

// String describes the change in a few words.
func (p *Pause) String() string { return fmt.Sprintf("pause for %s", p.For) }

func (*Pause) place(*placement) {}

func (p *Pause) check(c *checker) needs {
	switch {
	case p.For <= 0:
		c.wrong("for", "%s is no pause; want e.g. 30s", p.For)
	case p.For > longestPause:
		c.wrong("for", "%s is too long; want at most %s", p.For, longestPause)
	}
	return needs{}
}
