package scenarios

import (
	"embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed *.yaml
var library embed.FS

// Builtin returns the built-in scenarios, sorted by file name.
func Builtin() ([]*Scenario, error) { return Loader{}.builtin() }

// Listed returns the built-in scenarios as [Builtin] does, but not checked: they have no plan,
// and what they apply is not read, which takes seconds for thousands of objects.
func Listed() ([]*Scenario, error) { return Loader{unchecked: true}.builtin() }

func (l Loader) builtin() ([]*Scenario, error) {
	var list []*Scenario
	for _, name := range builtinNames() {
		s, err := l.Open(name)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	return list, nil
}

func builtinNames() []string {
	files, err := library.ReadDir(".")
	if err != nil {
		panic(err) // it is part of the program
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// Find returns the text of a scenario and the path for it in messages. A name with a slash
// or the extension .yaml or .yml is the path of a file; any other is the name of a
// built-in scenario.
func Find(nameOrPath string) (path string, data []byte, err error) {
	return Loader{}.find(nameOrPath)
}

func (l Loader) find(nameOrPath string) (path string, data []byte, err error) {
	isPath := strings.ContainsRune(nameOrPath, filepath.Separator) || slices.Contains([]string{".yaml", ".yml"}, filepath.Ext(nameOrPath))
	if isPath {
		data, err = l.read(nameOrPath)
		if err != nil {
			return "", nil, fmt.Errorf("cannot read scenario: %w", err)
		}
		return nameOrPath, data, nil
	}
	data, err = library.ReadFile(nameOrPath + ".yaml")
	if err != nil {
		return "", nil, fmt.Errorf("no scenario %q%s (to load a file, give a path with a slash or .yaml: ./%s.yaml)", nameOrPath, suggest(nameOrPath, builtinNames()), nameOrPath)
	}
	return "scenarios/" + nameOrPath + ".yaml", data, nil
}

// Open finds a scenario as [Find] does, files in the Loader's Files, and loads it. The
// error is [Problems] if the scenario was found.
func (l Loader) Open(nameOrPath string) (*Scenario, error) {
	path, data, err := l.find(nameOrPath)
	if err != nil {
		return nil, err
	}
	return l.Load(path, data)
}

// Open finds a scenario as [Find] does, and loads it as [Load] does.
func Open(nameOrPath string, overrides map[string]string) (*Scenario, error) {
	return Loader{Set: overrides}.Open(nameOrPath)
}
