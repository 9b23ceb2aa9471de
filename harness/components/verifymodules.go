package components

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"
)

// downloaded is a module in the go command's cache of modules.
type downloaded struct{ path, version, dir string }

// verify compares the source of every module that the programs are compiled from with the
// pinned hashes. The go command does so when it downloads a module, and never again.
func (g *goModules) verify(ctx context.Context, s site, names []Name) error {
	pkgs, _ := g.mainPackages(names)
	if len(pkgs) == 0 {
		return nil
	}
	// What is replaced by a folder has no version, and no hash.
	const module = `{{.Path}}\t{{.Version}}\t{{.Dir}}`
	var out bytes.Buffer
	args := []string{"go", "list", "-deps", "-f", "{{with .Module}}{{with .Replace}}" + module + "{{else}}" + module + "{{end}}{{end}}"}
	if err := g.list(ctx, s, &out, append(append(args, g.flags()...), pkgs...)); err != nil {
		return err
	}
	seen := map[downloaded]bool{}
	for line := range strings.Lines(out.String()) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) != 3 {
			continue
		}
		m := downloaded{fields[0], fields[1], fields[2]}
		if seen[m] || m.version == "" || m.dir == "" {
			continue
		}
		seen[m] = true
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := g.verifyModule(m); err != nil {
			return err
		}
	}
	return nil
}

// verifyModule compares the source of a module with the pinned hash, where one is pinned: what
// is not, as a folder that replaces a module, the go command refuses or trusts by itself.
func (g *goModules) verifyModule(m downloaded) error {
	for line := range strings.Lines(string(g.sum)) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != m.path || fields[1] != m.version {
			continue
		}
		sum, err := dirhash.HashDir(m.dir, m.path+"@"+m.version, dirhash.Hash1)
		if err != nil {
			return fmt.Errorf("read module %s: %w", m.path, err)
		}
		if sum != fields[2] {
			return fmt.Errorf("module %s@%s in %s is not what was downloaded: its hash is %s, the pinned one %s", m.path, m.version, m.dir, sum, fields[2])
		}
		return nil
	}
	return nil
}
