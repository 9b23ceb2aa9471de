// Package shortage says in words what a machine has run out of, where an error means that:
// disk space, open files, processes, memory.
package shortage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Advice is a sentence that says what is used up and what to do about it; "" where err does not
// mean that anything is. Errors of other programs are known by their words, as their numbers do
// not reach this one.
func Advice(err error) string {
	if err == nil {
		return ""
	}
	said := strings.ToLower(err.Error())
	if strings.Contains(said, "what to do: ") {
		return "" // it is said
	}
	for _, k := range []kind{
		{[]error{unix.ENOSPC, unix.EDQUOT}, []string{"no space left on device", "disk quota exceeded"}, disk},
		{[]error{unix.EROFS}, []string{"read-only file system"}, readOnly},
		{[]error{unix.EMFILE, unix.ENFILE}, []string{"too many open files"}, files},
		{nil, []string{"fork/exec", "may not start another thread", "failed to create new os thread", "max user processes", "pthread_create failed"}, processes},
		{[]error{unix.ENOMEM}, []string{"cannot allocate memory", "out of memory"}, memory},
	} {
		path, is := k.met(err)
		if !is && !slices.ContainsFunc(k.signs, func(sign string) bool { return strings.Contains(said, sign) }) {
			continue
		}
		if advice := k.advice(said, path); advice != "" {
			return advice
		}
	}
	return ""
}

// kind is something that may be used up.
type kind struct {
	numbers []error
	signs   []string // of the words of other programs, in small letters
	// advice is the sentence; path is the file that the error is about, "" for none.
	advice func(said, path string) string
}

// met reports whether an error has one of the numbers, and which file it is about; "" for none.
func (k kind) met(err error) (path string, is bool) {
	for _, number := range k.numbers {
		if !errors.Is(err, number) {
			continue
		}
		var file *fs.PathError
		if errors.As(err, &file) && errors.Is(file, number) {
			return file.Path, true
		}
		var link *os.LinkError
		if errors.As(err, &link) && errors.Is(link, number) {
			return link.New, true
		}
		return "", true
	}
	return "", false
}

// disk names the folder, and whether its disk lacks space or inodes.
func disk(said, path string) string {
	if strings.Contains(said, "inotify") || strings.Contains(said, "fsnotify") {
		return "Inotify watches are used up: raise their limit (sudo sysctl -w fs.inotify.max_user_watches=524288)."
	}
	const more = "free some, or choose a folder on a larger disk (--out for the run's, TMPDIR for the cluster's, MESHBENCH_CACHE for the components)"
	if path == "" {
		return "A disk is full: " + more + "."
	}
	dir := existing(filepath.Dir(path))
	var stat unix.Statfs_t
	if unix.Statfs(dir, &stat) == nil && stat.Files > 0 && stat.Ffree == 0 {
		return fmt.Sprintf("The disk of %s has no inodes left: remove files there, or choose a folder on a larger disk.", dir)
	}
	return fmt.Sprintf("The disk of %s is full: %s.", dir, more)
}

func readOnly(_, path string) string {
	const more = "choose a folder that can be written to (--out for the run's, TMPDIR for the cluster's, MESHBENCH_CACHE for the components)"
	if path == "" {
		return "A file system is read-only: " + more + "."
	}
	return fmt.Sprintf("The file system of %s is read-only: %s.", existing(filepath.Dir(path)), more)
}

func files(string, string) string {
	var limit unix.Rlimit
	most := "the limit"
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		most = fmt.Sprintf("at most %d", limit.Max)
	}
	return fmt.Sprintf("Open files or inotify instances are used up: raise the limit of files of a process (ulimit -n, %s here) "+
		"or of instances of a user (sudo sysctl -w fs.inotify.max_user_instances=8192).", most)
}

// processes is about a start that was refused. That of a program which is not there, or may not be
// run, is another matter.
func processes(said, _ string) string {
	if !strings.Contains(said, "resource temporarily unavailable") && strings.Contains(said, "fork/exec") {
		return ""
	}
	return "Processes are used up: raise the limit of the user (ulimit -u) or of the container (pids.max), or ask for fewer real sidecars (--real)."
}

func memory(string, string) string {
	return "Memory is used up: stop other programs, raise the limit of the container (memory.max) or of the process (ulimit -v), or ask for fewer real sidecars (--real)."
}

// existing is the nearest folder above dir that is there, dir if it is.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
