package kind

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kind/pkg/log"
)

// logger hands kind's lines for users to a function.
type logger struct{ progress func(string) }

var _ log.Logger = logger{}

func (l logger) Warn(message string)       { l.Info(message) }
func (l logger) Warnf(f string, a ...any)  { l.Infof(f, a...) }
func (l logger) Error(message string)      { l.Info(message) }
func (l logger) Errorf(f string, a ...any) { l.Infof(f, a...) }
func (l logger) Infof(f string, a ...any)  { l.Info(fmt.Sprintf(f, a...)) }
func (logger) Enabled() bool               { return true }
func (l logger) V(v log.Level) log.InfoLogger {
	if v > 0 {
		return log.NoopInfoLogger{}
	}
	return l
}

// Info keeps the words of a line: kind decorates them.
func (l logger) Info(message string) {
	words := strings.TrimFunc(message, func(r rune) bool { return r > 0x7f || strings.ContainsRune(" \n\r\t.", r) })
	if words != "" {
		l.progress(words)
	}
}
