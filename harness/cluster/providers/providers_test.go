package providers

import (
	"testing"

	"github.com/spf13/pflag"
)

// Names and flags tell the sources apart on one command line.
func TestTable(t *testing.T) {
	names, flags := map[string]bool{}, map[string]string{}
	for _, s := range Table() {
		if names[s.Name()] {
			t.Errorf("two sources are named %s", s.Name())
		}
		names[s.Name()] = true
		own := pflag.NewFlagSet(s.Name(), pflag.ContinueOnError)
		s.Flags(own)
		own.VisitAll(func(f *pflag.Flag) {
			if other := flags[f.Name]; other != "" {
				t.Errorf("--%s belongs to %s and to %s", f.Name, other, s.Name())
			}
			flags[f.Name] = s.Name()
			if f.Usage == "" {
				t.Errorf("--%s of %s has no help", f.Name, s.Name())
			}
		})
	}
	if len(names) == 0 {
		t.Error("there are no sources")
	}
}
