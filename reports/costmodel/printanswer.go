package costmodel

import (
	"fmt"
	"slices"
	"strings"
)

// printUnknown says in which states istiod could not be predicted, and why.
func (a Answer) printUnknown(p *printer) {
	for _, s := range a.Istiod {
		if s.Memory == nil {
			p.line("  istiod %s is not predicted: %s.", inState(s.State), s.Unknown)
		}
	}
	if slices.ContainsFunc(a.Istiod, func(s InState) bool { return s.Memory == nil && strings.Contains(s.Unknown, "more than") }) {
		p.line("  Extrapolate on your own risk with --extrapolate.")
	}
}

// printPublished sets istiod beside what others published.
func (a Answer) printPublished(p *printer) {
	if len(a.Published) > 0 {
		p.line("")
		p.line("istiod as others measured it, in meshes of about this size")
		rows := []string{"\tIstio\tServices\tproxies\tmemory"}
		for _, x := range a.Published {
			proxies := "?"
			if x.Proxies > 0 {
				proxies = fmt.Sprint(x.Proxies)
			}
			source, _, _ := strings.Cut(x.Source, ", ")
			rows = append(rows, fmt.Sprintf("%s, %s\t%s\t%d\t%s\t%s", source, inState(x.State), x.Istio, x.Services, proxies, size(x.Bytes)))
		}
		p.table(rows...)
	}
	var rows []string
	for _, s := range a.Istiod {
		least, most, of, ok := aProxy(s.State, a.Services)
		if !ok || s.Memory == nil || a.Proxies == 0 {
			continue
		}
		rows = append(rows, fmt.Sprintf("%s\t%.2f\t%.2f to %.2f\t%d", inState(s.State), s.Memory.Bytes/mega/float64(a.Proxies), least/mega, most/mega, of))
	}
	if len(rows) > 0 {
		p.line("")
		p.line("istiod for each proxy, in MB, beside what AKS and Istio's own tests had at 2,000 to 30,000 proxies")
		p.table(append([]string{"\tby this model\tpublished\tof Services"}, rows...)...)
	}
}

// printWarnings says where the question lies outside of what was measured.
func (a Answer) printWarnings(p *printer) {
	warn := func(who string, warnings []string) {
		if len(warnings) == 0 {
			return
		}
		p.line("")
		p.line("WARNING: the model of %s is asked for what was not measured; its interval holds if memory goes on growing in line.", who)
		for _, warning := range warnings {
			p.line("  %s", warning)
		}
	}
	warn("a sidecar", a.Sidecar.Warnings)
	// Most are the same in all states.
	var said []string
	for _, s := range a.Istiod {
		if s.Memory == nil {
			continue
		}
		fresh := slices.DeleteFunc(slices.Clone(s.Memory.Warnings), func(text string) bool { return slices.Contains(said, text) })
		warn("istiod "+inState(s.State), fresh)
		said = append(said, fresh...)
	}
}
