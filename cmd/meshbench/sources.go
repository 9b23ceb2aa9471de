package main

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/providers"
)

// sources are the places that clusters come from, with flags that some of them have of their
// own.
type sources struct {
	all []cluster.Source
	// owners are those that flags of one source belong to.
	owners map[string]cluster.Source
}

// bindSources returns new sources, and binds in f the flags that own binds for each of them.
func bindSources(f *pflag.FlagSet, own func(cluster.Source, *pflag.FlagSet)) sources {
	s := sources{providers.Table(), map[string]cluster.Source{}}
	for _, source := range s.all {
		flags := pflag.NewFlagSet(source.Name(), pflag.ContinueOnError)
		own(source, flags)
		flags.VisitAll(func(flag *pflag.Flag) { s.owners[flag.Name] = source })
		f.AddFlagSet(flags)
	}
	return s
}

// names are the words for --cluster.
func (s sources) names() string {
	var names []string
	for _, source := range s.all {
		names = append(names, source.Name())
	}
	return strings.Join(names, ", ")
}

// named is the source that --cluster names.
func (s sources) named(name string) (cluster.Source, error) {
	for _, source := range s.all {
		if source.Name() == name {
			return source, nil
		}
	}
	return nil, fmt.Errorf("--cluster %s: known are: %s", name, s.names())
}

// foreign is an error for flags in f that belong to another source than the chosen one, which
// may be nil.
func (s sources) foreign(f *pflag.FlagSet, chosen cluster.Source) (err error) {
	f.Visit(func(flag *pflag.Flag) {
		if owner := s.owners[flag.Name]; owner != nil && owner != chosen {
			err = fmt.Errorf("--%s is for %s clusters: add --cluster %[2]s", flag.Name, owner.Name())
		}
	})
	return err
}
