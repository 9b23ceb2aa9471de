package components

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Programs are checked when they are put into the cache and run much later, so nobody else may
// be able to change what lies there in between.

// private refuses a cache that others could change: whose folders are somebody else's, or may be
// written to, or renamed away, by others. What is not there yet is made by us.
func (s *Store) private() error {
	root, err := filepath.EvalSymlinks(s.root)
	if errors.Is(err, fs.ErrNotExist) {
		if root, err = filepath.EvalSymlinks(s.Root()); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("look at the cache of components: %w", err)
	}
	for dir := filepath.Dir(root); ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return fmt.Errorf("look at the cache of components: %w", err)
		}
		// In a folder like /tmp only their owners can rename what is theirs.
		if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("the cache of components is in %s, in which everybody may put something else in its place (%v): set %s to a folder of your own",
				dir, info.Mode(), RootEnv)
		}
		if dir == filepath.Dir(dir) {
			return ours(root)
		}
	}
}

// privateEntry refuses a component's folder, with the files that its manifest lists, that others
// could change.
func privateEntry(dir string, m manifest) error {
	checked := map[string]bool{}
	for _, f := range m.Files {
		for path := filepath.Join(dir, filepath.FromSlash(f.Path)); !checked[path]; path = filepath.Dir(path) {
			checked[path] = true
			if err := ours(path); err != nil {
				return err
			}
			if path == dir {
				break
			}
		}
	}
	return nil
}

// ours refuses what is somebody else's or may be written to by others. What is root's is as good
// as our own.
func ours(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("look at the cache of components: %w", err)
	}
	owner, _ := info.Sys().(*syscall.Stat_t)
	if owner == nil {
		return nil
	}
	if uid := os.Geteuid(); owner.Uid != 0 && int(owner.Uid) != uid {
		return fmt.Errorf("%s belongs to another user (id %d), who could change the programs that you run: set %s to a folder of your own", path, owner.Uid, RootEnv)
	}
	// Many systems give each user a group of the same number, in which nobody else is.
	others := info.Mode().Perm() & 0o022
	if owner.Gid == owner.Uid {
		others &= 0o002
	}
	if others != 0 {
		return fmt.Errorf("%s may be written to by others (%v), who could change the programs that you run: chmod -R go-w it once you know what is in it, or set %s to another folder",
			path, info.Mode(), RootEnv)
	}
	return nil
}
