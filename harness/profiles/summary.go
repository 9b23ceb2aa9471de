package profiles

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"github.com/meshbench/meshbench/observations"
)

// top is how many functions a record names.
const top = 10

// sampleTypes are what is summed up of each kind of profile.
var sampleTypes = map[string]string{observations.ProfileHeap: "inuse_space", observations.ProfileCPU: "cpu"}

// summary is what a profile of a kind says: the sum over all functions, and those with the
// most of their own, as `go tool pprof -top` lists them. It has no pod and no path.
func summary(data []byte, kind string) (observations.Profile, error) {
	p, err := profile.ParseData(data)
	if err != nil {
		return observations.Profile{}, fmt.Errorf("expected a profile: %w", err)
	}
	index := slices.IndexFunc(p.SampleType, func(t *profile.ValueType) bool { return t.Type == sampleTypes[kind] })
	if index < 0 {
		return observations.Profile{}, fmt.Errorf("the profile has no values of %s", sampleTypes[kind])
	}
	record := observations.Profile{Kind: kind}
	if kind == observations.ProfileCPU {
		record.Seconds = float64(p.DurationNanos) / 1e9
	}
	flat := map[string]int64{}
	for _, s := range p.Sample {
		v := s.Value[index]
		record.Total += v
		flat[leaf(s)] += v
	}
	for name, v := range flat {
		if v > 0 {
			record.Top = append(record.Top, observations.Function{Name: name, Flat: v})
		}
	}
	slices.SortFunc(record.Top, func(a, b observations.Function) int {
		return cmp.Or(cmp.Compare(b.Flat, a.Flat), strings.Compare(a.Name, b.Name))
	})
	record.Top = record.Top[:min(top, len(record.Top))]
	return record, nil
}

// leaf is the function that a sample was taken in: the innermost of those that were inlined
// at the first location.
func leaf(s *profile.Sample) string {
	if len(s.Location) == 0 || len(s.Location[0].Line) == 0 || s.Location[0].Line[0].Function == nil {
		return "unknown"
	}
	return s.Location[0].Line[0].Function.Name
}

// join makes one profile of several that follow one another.
func join(parts [][]byte) ([]byte, error) {
	var all []*profile.Profile
	for _, data := range parts {
		p, err := profile.ParseData(data)
		if err != nil {
			return nil, fmt.Errorf("expected a profile: %w", err)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, errors.New("there is no profile to join")
	}
	joined, err := profile.Merge(all)
	if err != nil {
		return nil, fmt.Errorf("join profiles: %w", err)
	}
	var out bytes.Buffer
	if err := joined.Write(&out); err != nil {
		return nil, fmt.Errorf("write a joined profile: %w", err)
	}
	return out.Bytes(), nil
}
