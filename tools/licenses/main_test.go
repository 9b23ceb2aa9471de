package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/licenseclassifier/v2/assets"
)

// TestExamine holds which modules may be distributed, by texts of licenses as the classifier has
// them.
func TestExamine(t *testing.T) {
	classifier, err := assets.DefaultClassifier()
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		module string
		files  map[string]string // name -> text, or file of the classifier
		want   string            // licenses, or what the error says
	}{
		"one":              {"example.com/a v1", map[string]string{"LICENSE": "MIT/pristine.txt"}, "MIT"},
		"two":              {"example.com/a v1", map[string]string{"LICENSE": "Apache-2.0/pristine.txt", "LICENSE.docs": "CC-BY-SA-4.0/license.txt"}, "Apache-2.0 CC-BY-SA-4.0"},
		"British":          {"example.com/a v1", map[string]string{"licence.md": "ISC/license.txt"}, "ISC"},
		"not allowed":      {"example.com/a v1", map[string]string{"COPYING": "AGPL-3.0/license.txt"}, "COPYING is under AGPL-3.0, which is not among the allowed"},
		"one not allowed":  {"example.com/a v1", map[string]string{"LICENSE": "MIT/pristine.txt", "LICENSE.gpl": "GPL-2.0/license.txt"}, "LICENSE.gpl is under GPL-2.0"},
		"none":             {"example.com/a v1", map[string]string{"README": "MIT/pristine.txt"}, "no license that is known"},
		"not known":        {"example.com/a v1", map[string]string{"LICENSE": "You may look at it on Sundays."}, "no license that is known"},
		"read by somebody": {"github.com/golang/freetype v1", map[string]string{"LICENSE": chosen["github.com/golang/freetype"].begins + " two"}, "FTL"},
		"changed since":    {"github.com/golang/freetype v2", map[string]string{"LICENSE": "Use of it costs a fee."}, "no license that is known"},
	} {
		t.Run(name, func(t *testing.T) {
			folder := t.TempDir()
			for file, text := range test.files {
				if known, err := assets.ReadLicenseFile("License/" + text); err == nil {
					text = string(known)
				}
				if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			all, err := examine(classifier, map[string]string{folder: test.module})
			if err != nil {
				if !strings.Contains(err.Error(), test.module+": "+test.want) {
					t.Errorf("error %q, want %q", err, test.want)
				}
				return
			}
			if got := strings.Join(all[0].licenses, " "); got != test.want {
				t.Errorf("licenses %q, want %q", got, test.want)
			}
		})
	}
	if _, err := examine(classifier, map[string]string{filepath.Join(t.TempDir(), "none"): "example.com/a v1"}); err == nil {
		t.Error("a module without sources is not said")
	}
}

// TestMadeOf reads this very test, which is made of the classifier.
func TestMadeOf(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{}
	if err := madeOf(program, "/cache", modules); err != nil {
		t.Fatal(err)
	}
	if got := modules["/cache/github.com/google/licenseclassifier/v2@v2.0.0"]; got != "github.com/google/licenseclassifier/v2 v2.0.0" {
		t.Errorf("modules %v, want the classifier among them", modules)
	}
	if err := madeOf("main.go", "/cache", modules); err == nil {
		t.Error("what is no program is not said")
	}
}

// TestTogether holds that a text which several modules have is there once.
func TestTogether(t *testing.T) {
	got := together([]licensed{{"a v1", nil, []string{"one"}}, {"b v1", nil, []string{"two", "three"}}, {"c v1", nil, []string{"one"}}})
	if strings.Count(got, "one") != 1 || !strings.Contains(got, "a v1\nc v1\n\none\n") || !strings.Contains(got, "b v1\n\ntwo\n\nthree\n") {
		t.Error(got)
	}
}
