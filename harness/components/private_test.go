package components

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/internal/skip"
)

// TestPrivate: nobody else may be able to change what is run later.
func TestPrivate(t *testing.T) {
	for name, c := range map[string]struct {
		change func(g *WithT, above, root string)
		want   string // "" for none
	}{
		"as it is made": {func(*WithT, string, string) {}, ""},
		"root open":     {func(g *WithT, _, root string) { g.Expect(os.Chmod(root, 0o777)).To(Succeed()) }, "may be written to by others"},
		"sticky root":   {func(g *WithT, _, root string) { g.Expect(os.Chmod(root, 0o777|os.ModeSticky)).To(Succeed()) }, "may be written to by others"},
		"above open":    {func(g *WithT, above, _ string) { g.Expect(os.Chmod(above, 0o777)).To(Succeed()) }, "in which everybody may put something else"},
		"above sticky":  {func(g *WithT, above, _ string) { g.Expect(os.Chmod(above, 0o777|os.ModeSticky)).To(Succeed()) }, ""},
		"not there":     {func(g *WithT, _, root string) { g.Expect(os.RemoveAll(root)).To(Succeed()) }, ""},
		"link to open": {func(g *WithT, above, root string) {
			elsewhere := filepath.Join(above, "elsewhere")
			g.Expect(os.Rename(root, elsewhere)).To(Succeed())
			g.Expect(os.Symlink(elsewhere, root)).To(Succeed())
			g.Expect(os.Chmod(elsewhere, 0o777)).To(Succeed())
		}, "may be written to by others"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			above := filepath.Join(t.TempDir(), "above")
			root := filepath.Join(above, "cache", "components")
			g.Expect(os.MkdirAll(root, 0o755)).To(Succeed())
			c.change(g, above, root)
			err := (&Store{root: root}).private()
			if c.want == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(And(ContainSubstring(c.want), ContainSubstring(RootEnv))))
		})
	}
}

// TestPrivateEntry: the same of each program's file and folders.
func TestPrivateEntry(t *testing.T) {
	g := NewWithT(t)
	dir := filepath.Join(t.TempDir(), "envoy", "1")
	g.Expect(os.MkdirAll(filepath.Join(dir, "bin"), 0o755)).To(Succeed())
	program := filepath.Join(dir, "bin", "envoy")
	g.Expect(os.WriteFile(program, []byte("x"), 0o755)).To(Succeed())
	m := manifest{Files: []file{{Path: "bin/envoy"}}}
	g.Expect(privateEntry(dir, m)).To(Succeed())
	for _, path := range []string{program, filepath.Dir(program), dir} {
		g.Expect(os.Chmod(path, 0o757)).To(Succeed())
		g.Expect(privateEntry(dir, m)).To(MatchError(ContainSubstring(path + " may be written to by others")))
		g.Expect(os.Chmod(path, 0o755)).To(Succeed())
	}
	if os.Geteuid() != 0 {
		skip.NotHere(t, "only root can give a file to somebody else")
	}
	g.Expect(os.Chown(program, 65533, 65533)).To(Succeed())
	g.Expect(privateEntry(dir, m)).To(MatchError(ContainSubstring("belongs to another user (id 65533)")))
}
