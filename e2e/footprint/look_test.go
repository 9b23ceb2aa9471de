package footprint

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/internal/ownnetwork"
	"github.com/meshbench/meshbench/internal/skip"
)

// left is what one look has that another had not.
func left(t *testing.T, where Where, does func()) []string {
	t.Helper()
	before, err := Take(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	does()
	after, err := Take(t.Context(), where)
	if err != nil {
		t.Fatal(err)
	}
	return Left(before, after)
}

// caught checks that what was left is named, and nothing else.
func caught(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %q, want %q", got, want)
		return
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) {
			t.Errorf("got %q, want %q", got[i], want[i])
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatAreLeft(t *testing.T) {
	home, cache := t.TempDir(), t.TempDir()
	there := filepath.Join(home, "config")
	must(t, os.WriteFile(there, []byte("as it was"), 0o600))
	where := Where{Folders: []string{home, cache, filepath.Join(home, "none")}, Except: []string{filepath.Join(cache, "components")}}
	for name, test := range map[string]struct {
		does func() error
		want []string
	}{
		"nothing":       {func() error { return nil }, nil},
		"a file":        {func() error { return os.WriteFile(filepath.Join(home, "new"), nil, 0o600) }, []string{"file " + home + "/new"}},
		"a folder":      {func() error { return os.MkdirAll(filepath.Join(home, "a/b"), 0o700) }, []string{"folder " + home + "/a", "folder " + home + "/a/b"}},
		"a longer file": {func() error { return os.WriteFile(there, []byte("as it was not"), 0o600) }, []string{"file " + there}},
		// As long as before, and written within one tick of the kernel's clock, a file would look
		// as it was: the time is set.
		"a later file": {func() error { return os.Chtimes(there, time.Time{}, time.Now().Add(time.Second)) }, []string{"file " + there}},
		"a link":       {func() error { return os.Symlink("/", filepath.Join(home, "link")) }, []string{"file " + home + "/link"}},
		"the cache": {func() error {
			return os.MkdirAll(filepath.Join(cache, "components/etcd"), 0o700)
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			caught(t, left(t, where, func() { must(t, test.does()) }), test.want...)
		})
	}
}

// TestHostThatIsChanged leaves a mount and an interface, in namespaces of its own.
func TestHostThatIsChanged(t *testing.T) {
	if !ownnetwork.Is(t) {
		return
	}
	ours, others := t.TempDir(), t.TempDir()
	t.Cleanup(func() {
		for _, dir := range []string{ours, others} {
			_ = unix.Unmount(dir, unix.MNT_DETACH) // it may not have been mounted
		}
	})
	where := Where{Others: []string{filepath.Dir(ours), filepath.Dir(others)}, Own: []string{ours}}
	for name, test := range map[string]struct {
		does func() error
		want []string
	}{
		"a mount": {func() error { return unix.Mount("left", ours, "tmpfs", 0, "") }, []string{"mount "}},
		"a mount of somebody else": {func() error {
			return unix.Mount("others", others, "tmpfs", 0, "")
		}, nil},
		"an interface": {func() error {
			return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "left0"}})
		}, []string{"interface left0"}},
	} {
		got := left(t, where, func() { must(t, test.does()) })
		t.Run(name, func(t *testing.T) { caught(t, got, test.want...) })
	}
}

// TestCgroupsThatAreLeft has a process in a cgroup as clusters make them, which stays when it
// has ended.
func TestCgroupsThatAreLeft(t *testing.T) {
	for _, top := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/memory"} {
		dir := fmt.Sprintf("%s/meshbench-left-%d", top, os.Getpid())
		if os.Mkdir(dir, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { os.Remove(dir) })
		if _, err := os.Stat(dir + "/cgroup.procs"); err != nil {
			must(t, os.Remove(dir))
			continue // no hierarchy is mounted here
		}
		sleep := exec.Command("sleep", "1000")
		must(t, sleep.Start())
		err := os.WriteFile(dir+"/cgroup.procs", []byte(fmt.Sprint(sleep.Process.Pid)), 0o644)
		trace := Follow(sleep.Process.Pid)
		trace.Look()
		trace.Stop()
		must(t, sleep.Process.Kill())
		_ = sleep.Wait() // it was killed
		must(t, err)
		caught(t, Left(Look{}, Look{}, trace), "cgroup "+dir)
		return
	}
	skip.NotHere(t, "no cgroup can be made")
}

func TestObjectsThatAreLeft(t *testing.T) {
	var left2 atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		items := `{"metadata":{"namespace":"a","name":"there"}}`
		if left2.Load() {
			items += `,{"metadata":{"namespace":"a","name":"left"}},{"metadata":{"namespace":"foreign","name":"others"}}`
		}
		_, _ = w.Write([]byte(map[string]string{
			"/api":               `{"kind":"APIVersions","versions":["v1"]}`,
			"/apis":              `{"kind":"APIGroupList","groups":[]}`,
			"/api/v1":            `{"kind":"APIResourceList","groupVersion":"v1","resources":[{"name":"configmaps","kind":"ConfigMap","namespaced":true,"verbs":["get","list"]}]}`,
			"/api/v1/configmaps": `{"kind":"ConfigMapList","apiVersion":"v1","items":[` + items + `]}`,
		}[r.URL.Path]))
	}))
	defer server.Close()
	where := Where{Clusters: map[string]Cluster{"theirs": {Config: &rest.Config{Host: server.URL}, Except: []string{"foreign"}}}}
	caught(t, left(t, where, func() { left2.Store(true) }), "cluster theirs: + ConfigMap a/left")
	server.Close()
	if _, err := Take(t.Context(), where); err == nil {
		t.Error("a cluster that does not answer was taken for one where nothing is left")
	}
}

// TestProcessesThatAreLeft has a program end before its child, which has left its session and
// is in a network of its own.
func TestProcessesThatAreLeft(t *testing.T) {
	parent := exec.Command("sh", "-c", "setsid sleep 1000 & sleep 1.5")
	parent.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	if err := parent.Start(); err != nil {
		skip.NotHere(t, "namespaces are refused here: %v", err)
	}
	trace := Follow(parent.Process.Pid)
	defer trace.Stop()
	must(t, parent.Wait())
	found := trace.FindAll("sleep")
	if len(found) != 1 {
		t.Fatalf("the trace knows the processes %d, want one", found)
	}
	got := Left(Look{}, Look{}, trace)
	var process, namespace bool
	for _, thing := range got {
		process = process || strings.HasPrefix(thing, fmt.Sprintf("process %d: sleep 1000", found[0]))
		namespace = namespace || strings.HasPrefix(thing, "namespace net:")
	}
	if !process || !namespace {
		t.Errorf("got %q, want the process and its network", got)
	}
	must(t, syscall.Kill(found[0], syscall.SIGKILL))
	for deadline := time.Now().Add(30 * time.Second); len(trace.Left()) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %q of a process that has ended", trace.Left())
		}
	}
}
