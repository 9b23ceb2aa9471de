package compare

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/reports/words"
)

// RepeatFile lies in the folder of a run that was repeated, beside run-01, run-02, …,
// each the folder of one run. It holds a [Repeat].
const RepeatFile = "repeat.json"

// Repeat says in which order repeats were made: memory can follow what the machine did
// before, and only a random order keeps that apart from the version.
type Repeat struct {
	Scenario string `json:"scenario"`
	Seed     uint64 `json:"seed"`
	// Order are the folders of all runs that were made in one go, those of other
	// scenarios too, as DIR/run-01 or DIR/SCENARIO/run-01.
	Order []string `json:"order"`
}

// readRepeat reads what lies beside the runs of a repeated one: nothing, where they were
// gathered by hand or there is only one.
func readRepeat(dir string) ([]Repeat, error) {
	file := filepath.Join(dir, RepeatFile)
	text, err := bounded.File(file, bounded.OwnFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the order of runs: %w", err)
	}
	var r Repeat
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: expected the order of runs as `meshbench run --repeat` writes it: %w", file, err)
	}
	return []Repeat{r}, nil
}

// own are the names of the scenario's runs, in their order.
func (r Repeat) own() []string {
	// Cleaned first: of a path with a slash at its end Dir and Base name the same folder.
	clean := func(run string) string { return path.Clean(filepath.ToSlash(run)) }
	parent := func(run string) string { return path.Base(path.Dir(clean(run))) }
	several := slices.ContainsFunc(r.Order, func(run string) bool { return parent(run) != parent(r.Order[0]) })
	var names []string
	for _, run := range r.Order {
		if !several || parent(run) == r.Scenario {
			names = append(names, path.Base(clean(run)))
		}
	}
	return names
}

// String is the order for people.
func (r Repeat) String() string {
	own := r.own()
	text := "run in the order " + strings.Join(own, ", ")
	if others := len(r.Order) - len(own); others > 0 {
		text += fmt.Sprintf(" among %s of other scenarios", words.Plural(others, "run"))
	}
	return fmt.Sprintf("%s (seed %d)", text, r.Seed)
}
