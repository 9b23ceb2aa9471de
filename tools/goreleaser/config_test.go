// Package goreleaser checks the configuration of releases in the way that goreleaser reads
// it, without building goreleaser, which is larger than everything else here together.
package goreleaser

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goreleaser/goreleaser/v2/pkg/config"
)

const root = "../.."

// TestConfig reads .goreleaser.yaml, which fails on unknown fields, and holds what it names
// against the tree.
func TestConfig(t *testing.T) {
	project, err := config.Load(filepath.Join(root, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(project.Builds) != 1 || len(project.Archives) != 1 {
		t.Fatalf("%d builds and %d archives, want one each", len(project.Builds), len(project.Archives))
	}
	build, archive := project.Builds[0], project.Archives[0]
	if got := build.Goos; !slices.Equal(got, []string{"linux"}) {
		t.Errorf("operating systems %q, want linux", got)
	}
	if got := build.Goarch; !slices.Equal(got, []string{"amd64", "arm64"}) {
		t.Errorf("architectures %q, want amd64 and arm64", got)
	}
	source, err := os.ReadFile(filepath.Join(root, build.Main, "main.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range regexp.MustCompile(`-X main\.(\w+)=`).FindAllStringSubmatch(strings.Join(build.Ldflags, " "), -1) {
		if !regexp.MustCompile(`(?m)^var ` + name[1] + ` string$`).Match(source) {
			t.Errorf("the linker sets main.%s, which %s/main.go does not declare as a string", name[1], build.Main)
		}
	}
	if !strings.Contains(strings.Join(build.Ldflags, " "), "-X main.version=") {
		t.Errorf("ldflags %q do not set the version", build.Ldflags)
	}
	for _, file := range archive.Files {
		if _, err := os.Stat(filepath.Join(root, file.Source)); err != nil {
			t.Errorf("in the archive: %v", err)
		}
	}
	if project.Checksum.Disable || !project.Release.Draft {
		t.Errorf("checksums disabled: %t, draft: %t; want checksums and a draft", project.Checksum.Disable, project.Release.Draft)
	}
}

// TestVersion holds the workflows' goreleaser against the one that reads the file here.
func TestVersion(t *testing.T) {
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)goreleaser/v2 (v\S+)$`).FindSubmatch(mod)
	if m == nil {
		t.Fatal("go.mod requires no goreleaser")
	}
	for _, name := range []string{"pull-request.yml", "release.yml"} {
		workflow, err := os.ReadFile(filepath.Join(root, ".github/workflows", name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(workflow), "version: "+string(m[1])+"\n") {
			t.Errorf("%s does not run goreleaser %s", name, m[1])
		}
	}
}
