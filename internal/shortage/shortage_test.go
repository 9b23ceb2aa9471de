package shortage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAdvice(t *testing.T) {
	dir := t.TempDir()
	at := func(number error) error {
		return fmt.Errorf("step 2: %w", &fs.PathError{Op: "write", Path: filepath.Join(dir, "not yet", "log.jsonl"), Err: number})
	}
	for name, tt := range map[string]struct {
		err  error
		want []string // parts of the sentence; none for no sentence
	}{
		"nothing":                    {nil, nil},
		"another error":              {at(unix.ENOENT), nil},
		"a program that is missing":  {errors.New("fork/exec /bin/none: no such file or directory"), nil},
		"a full disk":                {at(unix.ENOSPC), []string{"The disk of " + dir + " is full", "--out", "TMPDIR"}},
		"a quota":                    {at(unix.EDQUOT), []string{"The disk of " + dir + " is full"}},
		"a rename":                   {&os.LinkError{Op: "rename", Old: "/x/y", New: filepath.Join(dir, "b"), Err: unix.ENOSPC}, []string{"The disk of " + dir}},
		"a full disk of etcd's":      {errors.New("etcd ended: exit status 1; the last lines of its log: write /x/wal: no space left on device"), []string{"A disk is full"}},
		"a full disk without a file": {unix.ENOSPC, []string{"A disk is full"}},
		"another file's number":      {errors.Join(&fs.PathError{Op: "open", Path: "/x", Err: unix.ENOENT}, unix.ENOSPC), []string{"A disk is full"}},
		"watches":                    {errors.New("inotify_add_watch: no space left on device"), []string{"max_user_watches"}},
		"what is said already":       {errors.New("no space left on device\nwhat to do: free some"), nil},
		"a read-only home":           {at(unix.EROFS), []string{"The file system of " + dir + " is read-only", "MESHBENCH_CACHE"}},
		"files":                      {at(unix.EMFILE), []string{"ulimit -n", "fs.inotify.max_user_instances"}},
		"files of istiod's":          {errors.New("istiod ended: fsnotify: too many open files"), []string{"ulimit -n"}},
		"processes":                  {errors.New("start etcd: fork/exec /cache/etcd: resource temporarily unavailable"), []string{"ulimit -u", "pids.max"}},
		"threads of a Go program":    {errors.New("runtime: may need to increase max user processes (ulimit -u)\nfatal error: may not start another thread"), []string{"Processes are used up"}},
		"memory":                     {fmt.Errorf("start: %w", unix.ENOMEM), []string{"Memory is used up", "memory.max"}},
		"memory of a Go program":     {errors.New("fatal error: runtime: out of memory"), []string{"Memory is used up"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Advice(tt.err)
			if (got == "") != (len(tt.want) == 0) {
				t.Errorf("got %q", got)
			}
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in %q", want, got)
				}
			}
		})
	}
}
