// Command licenses holds what a program is made of against the licenses that it may be
// distributed under, and writes their texts, which most of them ask for, into one file.
//
//	licenses [-texts FILE] PROGRAM...
//
// What a program is made of is read from the program itself, so what only tests need does not
// count. The sources are those in the go command's cache. It ends with exit code 1, and a line for
// each, where a module has no license, one that is not known, or one that is not allowed here.
package main

import (
	"debug/buildinfo"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/licenseclassifier/v2"
	"github.com/google/licenseclassifier/v2/assets"
	"golang.org/x/mod/module"
)

// allowed are the licenses, by their SPDX identifiers, that ask for no more than that their text
// and the names of authors come with the program; of MPL-2.0 also that the sources of its own
// files can be had, which are those of the module proxy. CC-BY and CC-BY-SA are of documents that
// lie beside code, OFL is of fonts.
var allowed = []string{
	"Apache-2.0", "MIT", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MPL-2.0", "0BSD", "Unlicense", "Zlib",
	"CC-BY-4.0", "CC-BY-SA-4.0", "OFL-1.1",
}

// chosen are modules whose license the classifier does not know: what somebody has read and
// chosen, and the first words of the text that was read.
var chosen = map[string]struct{ license, begins string }{
	// The FreeType License (licenses/ftl.txt there), of BSD's kind; the other choice is the GPL.
	"github.com/golang/freetype": {"FTL", "Use of the Freetype-Go software is subject to your choice of exactly one of"},
}

func main() {
	if err := run(os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "licenses:", err)
		os.Exit(1)
	}
}

func run(out io.Writer, args []string) error {
	flags := flag.NewFlagSet("licenses", flag.ContinueOnError)
	texts := flags.String("texts", "", "`file` that the texts of all licenses are written to")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	if err != nil {
		return fmt.Errorf("ask for the module cache: %w", err)
	}
	modules := map[string]string{} // folder -> module
	for _, program := range flags.Args() {
		if err := madeOf(program, strings.TrimSpace(string(cache)), modules); err != nil {
			return err
		}
	}
	classifier, err := assets.DefaultClassifier()
	if err != nil {
		return fmt.Errorf("load the known licenses: %w", err)
	}
	all, err := examine(classifier, modules)
	if err != nil {
		return err
	}
	if *texts != "" {
		if err := os.WriteFile(*texts, []byte(together(all)), 0o644); err != nil {
			return fmt.Errorf("write the texts: %w", err)
		}
	}
	counts := map[string]int{}
	for _, m := range all {
		for _, name := range m.licenses {
			counts[name]++
		}
	}
	fmt.Fprintf(out, "%d modules:", len(all))
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(out, " %s %d", name, counts[name])
	}
	fmt.Fprintln(out)
	return nil
}

// madeOf adds the modules that a program is made of, by the folders of their sources in a cache.
func madeOf(program, cache string, modules map[string]string) error {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("read what %s is made of: %w", program, err)
	}
	for _, dep := range info.Deps {
		if dep.Replace != nil {
			dep = dep.Replace
		}
		if strings.HasPrefix(dep.Path, ".") || dep.Version == "" {
			continue // a folder beside the main module, of the same repository
		}
		path, err := module.EscapePath(dep.Path)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", dep.Path, program, err)
		}
		version, err := module.EscapeVersion(dep.Version)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", dep.Path, program, err)
		}
		modules[filepath.Join(cache, path+"@"+version)] = dep.Path + " " + dep.Version
	}
	return nil
}

// licensed is a module with what it may be distributed under.
type licensed struct {
	module   string   // with its version
	licenses []string // SPDX identifiers, sorted
	texts    []string
}

// examine reads the licenses of modules, by their folders. Its error has a line for each module
// that cannot be distributed.
func examine(classifier *classifier.Classifier, modules map[string]string) (all []licensed, err error) {
	var faults []error
	for _, folder := range slices.Sorted(maps.Keys(modules)) {
		m, err := licenseOf(classifier, folder, modules[folder])
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", modules[folder], err))
		}
		all = append(all, m)
	}
	return all, errors.Join(faults...)
}

// licenseOf reads those of one module.
func licenseOf(classifier *classifier.Classifier, folder, name string) (licensed, error) {
	m := licensed{module: name}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return m, fmt.Errorf("its sources are not in the module cache: %w", err)
	}
	found := map[string]bool{}
	for _, e := range entries {
		upper := strings.ToUpper(e.Name())
		notice := strings.HasPrefix(upper, "NOTICE") || strings.HasPrefix(upper, "PATENTS")
		if e.IsDir() || !notice && !strings.Contains(upper, "LICEN") && !strings.HasPrefix(upper, "COPYING") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(folder, e.Name()))
		if err != nil {
			return m, err
		}
		m.texts = append(m.texts, string(text))
		path, _, _ := strings.Cut(name, " ")
		if choice, ok := chosen[path]; ok && strings.HasPrefix(string(text), choice.begins) {
			found[choice.license] = true
			continue
		}
		for _, match := range classifier.Match(classifier.Normalize(text)).Matches {
			if match.MatchType != "License" || found[match.Name] {
				continue
			}
			found[match.Name] = true
			if !slices.Contains(allowed, match.Name) {
				return m, fmt.Errorf("%s is under %s, which is not among the allowed: %s", e.Name(), match.Name, strings.Join(allowed, ", "))
			}
		}
	}
	if len(found) == 0 {
		return m, errors.New("no license that is known: read what it says, and add the module to what is chosen in tools/licenses, or do without it")
	}
	m.licenses = slices.Sorted(maps.Keys(found))
	return m, nil
}

// together are the texts of all, each once, below the modules that it is of.
func together(all []licensed) string {
	of, order := map[string][]string{}, []string{}
	for _, m := range all {
		text := strings.Join(m.texts, "\n\n")
		if of[text] == nil {
			order = append(order, text)
		}
		of[text] = append(of[text], m.module)
	}
	var b strings.Builder
	b.WriteString("meshbench contains the following, under the licenses that follow each.\n")
	for _, text := range order {
		fmt.Fprintf(&b, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(of[text], "\n"), strings.TrimSpace(text))
	}
	return b.String()
}
