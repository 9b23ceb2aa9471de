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
	// What a hook makes is not in the tree.
	made := "bin/licenses.txt"
	if !slices.ContainsFunc(project.Before.Hooks, func(h string) bool { return h == "make licenses" }) {
		t.Errorf("nothing makes %s before the build", made)
	}
	if !slices.ContainsFunc(archive.Files, func(f config.File) bool { return f.Source == made }) {
		t.Errorf("the archive lacks %s, which most licenses ask for", made)
	}
	for _, file := range archive.Files {
		if file.Source == made {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, file.Source)); err != nil {
			t.Errorf("in the archive: %v", err)
		}
	}
	if project.Checksum.Disable || !project.Release.Draft {
		t.Errorf("checksums disabled: %t, draft: %t; want checksums and a draft", project.Checksum.Disable, project.Release.Draft)
	}
}

// TestProvenance holds the release to what SECURITY.md promises of it: lists of what is in the
// archives, and an attestation of every file that is released, made after all of them.
func TestProvenance(t *testing.T) {
	project, err := config.Load(filepath.Join(root, ".goreleaser.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(project.SBOMs) != 1 || project.SBOMs[0].Artifacts != "archive" {
		t.Errorf("sboms %+v, want one of the archives", project.SBOMs)
	}
	text, err := os.ReadFile(filepath.Join(root, ".github/workflows/release.yml"))
	if err != nil {
		t.Fatal(err)
	}
	workflow := string(text)
	for _, permission := range []string{"id-token: write", "attestations: write"} {
		if !strings.Contains(workflow, "\n  "+permission+"\n") {
			t.Errorf("the workflow lacks the permission %s", permission)
		}
	}
	before, after, found := strings.Cut(workflow, "uses: actions/attest-build-provenance@")
	if !found || strings.Contains(after, "- uses:") || strings.Contains(after, "run:") {
		t.Fatal("want an attestation as the last step")
	}
	if syft, release := strings.Index(before, "/download-syft@"), strings.Index(before, "uses: goreleaser/"); syft < 0 || release < syft {
		t.Error("want syft before goreleaser, which runs it")
	}
	if !strings.Contains(before, "gh release upload") {
		t.Error("want the bundle of components before the attestation")
	}
	bundle := regexp.MustCompile(`bundle="meshbench_[^"]*(_components_\S+)"`).FindStringSubmatch(before)
	if bundle == nil {
		t.Fatal("the workflow names no bundle")
	}
	for _, subject := range []string{"dist/*.tar.gz", "dist/*.sbom.json", "dist/" + project.Checksum.NameTemplate, "meshbench_*" + bundle[1]} {
		if !slices.Contains(strings.Fields(after), subject) {
			t.Errorf("%s is not attested", subject)
		}
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
