package footprint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/kube/snapshot"
)

// Where says where a command may leave something.
type Where struct {
	// Folders are those whose files are looked at: homes, temporary folders, folders of state.
	Folders []string
	// Except are folders and files among them that are somebody else's: caches, the state of
	// clusters that are to stand.
	Except []string
	// Standing are folders that are there for what Except names below them.
	Standing []string
	// Others are folders in which others mount what they like, but for Own in them.
	Others, Own []string
	// Clusters are those that stand meanwhile.
	Clusters map[string]Cluster // by name
}

// Cluster is one that stands while commands come and go.
type Cluster struct {
	Config *rest.Config
	// Except are namespaces in which others change what they like.
	Except []string
}

// Look is what there was at one moment of what a command could leave: mounts, interfaces, files,
// and objects on clusters. Processes, namespaces and cgroups are many on any machine and come and
// go: a command's own are known by its [Trace].
type Look struct {
	things  map[string]bool // in words
	objects map[string]snapshot.Snapshot
}

// Take looks at the machine, and at clusters.
func Take(ctx context.Context, where Where) (Look, error) {
	l := Look{map[string]bool{}, map[string]snapshot.Snapshot{}}
	err := errors.Join(l.mounts(where), l.interfaces())
	for _, folder := range where.Folders {
		err = errors.Join(err, l.files(folder, where.Except, where.Standing))
	}
	for name, c := range where.Clusters {
		taken, e := snapshot.Take(ctx, c.Config)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("look at cluster %s: %w", name, e))
			continue
		}
		l.objects[name] = taken.Without(c.Except...)
	}
	return l, err
}

// Left lists what commands have left: what is there after them and was not before, and what
// their traces know to be theirs. It is nil when all is as it was.
func Left(before, after Look, traces ...*Trace) (left []string) {
	for _, t := range traces {
		left = append(left, t.Left()...)
	}
	for _, thing := range slices.Sorted(maps.Keys(after.things)) {
		if !before.things[thing] {
			left = append(left, thing)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(after.objects)) {
		// Of a cluster that was made meanwhile nothing is known.
		if old, known := before.objects[name]; known {
			for _, change := range snapshot.Diff(old, after.objects[name]) {
				left = append(left, "cluster "+name+": "+change)
			}
		}
	}
	return left
}

func (l Look) mounts(where Where) error {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read the machine's mounts: %w", err)
	}
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line) // the fifth is where
		if len(fields) > 4 && (!within(fields[4], where.Others) || within(fields[4], where.Own)) {
			l.things["mount "+strings.TrimSpace(line)] = true
		}
	}
	return nil
}

func (l Look) interfaces() error {
	interfaces, err := net.Interfaces()
	if err != nil {
		return fmt.Errorf("list the machine's network interfaces: %w", err)
	}
	for _, i := range interfaces {
		l.things["interface "+i.Name] = true
	}
	return nil
}

// files are all below a folder, with what tells that one was written.
func (l Look) files(folder string, except, standing []string) error {
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it is not there, or went meanwhile
		case err != nil:
			return err
		case within(path, except):
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case path == folder || slices.Contains(standing, path):
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			l.things["folder "+path] = true
			return nil
		}
		l.things[fmt.Sprintf("file %s (%d bytes, written %s)", path, info.Size(), info.ModTime().Format("15:04:05.000000000"))] = true
		return nil
	})
	if err != nil {
		return fmt.Errorf("list files: %w", err)
	}
	return nil
}

// within tells whether a path is one of folders or lies below one.
func within(path string, folders []string) bool {
	return slices.ContainsFunc(folders, func(f string) bool { return path == f || strings.HasPrefix(path, f+"/") })
}
