package program

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// Identity is a user of the program.
type Identity struct {
	// Name is for messages.
	Name string
	UID  int
	// Dir is where commands are run and runs are kept.
	Dir string
	// Home and Temp are the user's own home and folder for temporary files, in Dir, which are
	// empty but for what commands leave there.
	Home, Temp string
	// Env is the environment of commands.
	Env []string
	// Credential is nil for the suite's own user.
	Credential *syscall.Credential

	lab  *Lab
	runs int
}

// NewIdentity is the suite's own user with another folder, which exists, and the same caches.
func (l *Lab) NewIdentity(name, dir string) *Identity {
	GinkgoHelper()
	who := &Identity{Name: name, UID: os.Getuid(), Dir: dir, lab: l}
	// What says where a user's own files are is said below.
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains([]string{"HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME", "XDG_RUNTIME_DIR"}, name) {
			who.Env = append(who.Env, variable)
		}
	}
	who.Env = append(who.Env, l.caches...)
	l.settle(who)
	return who
}

// settle gives a user a home and a folder for temporary files, whose path is short: that of a
// socket may have 107 bytes.
func (l *Lab) settle(who *Identity) {
	GinkgoHelper()
	who.Home, who.Temp = filepath.Join(who.Dir, "home"), filepath.Join(who.Dir, "t")
	// Folders that a home has anyway.
	state := filepath.Join(who.Home, ".local", "state")
	Expect(os.MkdirAll(state, 0o755)).To(Succeed())
	for _, dir := range []string{who.Home, filepath.Dir(state), state, who.Temp} {
		Expect(os.MkdirAll(dir, 0o755)).To(Succeed())
		Expect(os.Chown(dir, who.UID, -1)).To(Succeed())
	}
	who.Env = append(who.Env, "HOME="+who.Home, "TMPDIR="+who.Temp)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.identities = append(l.identities, who)
}

// Nobody is the uid of the ordinary user that root runs commands as.
const Nobody = 65534

// Ordinary is the suite's own user, or another one where that is root: with a home of
// its own, and the cache of components linked into it.
func (l *Lab) Ordinary() *Identity {
	GinkgoHelper()
	if os.Getuid() != 0 {
		return l.Invoker
	}
	if l.ordinary != nil {
		return l.ordinary
	}
	dir := filepath.Join(l.Work, fmt.Sprintf("ordinary-%d", GinkgoParallelProcess()))
	Expect(os.Mkdir(dir, 0o755)).To(Succeed())
	Expect(os.Chown(dir, Nobody, Nobody)).To(Succeed())
	l.linkComponents(filepath.Join(dir, "cache"))
	l.ordinary = &Identity{
		Name: "an ordinary user", UID: Nobody, Dir: dir,
		Env:        []string{"PATH=" + os.Getenv("PATH"), "MESHBENCH_CACHE=" + filepath.Join(dir, "cache"), "GOTOOLCHAIN=local"},
		Credential: &syscall.Credential{Uid: Nobody, Gid: Nobody}, lab: l,
	}
	l.settle(l.ordinary)
	return l.ordinary
}

// Enforcer is what ends a container of this user's that passes its memory limit: a memory
// cgroup where the user may make one in the hierarchy's top folder, else the program
// itself.
func (who *Identity) Enforcer() string {
	GinkgoHelper()
	for _, top := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/memory"} {
		controllers, _ := os.ReadFile(filepath.Join(top, "cgroup.controllers")) // version 2
		_, err := os.Stat(filepath.Join(top, "memory.usage_in_bytes"))          // version 1
		if !slices.Contains(strings.Fields(string(controllers)), "memory") && err != nil {
			continue
		}
		probe := filepath.Join(top, fmt.Sprintf("e2e-probe-%d", os.Getpid()))
		mkdir := exec.Command("mkdir", probe)
		mkdir.SysProcAttr = &syscall.SysProcAttr{Credential: who.Credential}
		if mkdir.Run() != nil {
			continue
		}
		Expect(os.Remove(probe)).To(Succeed())
		return "cgroup"
	}
	return "runtime"
}

// linkComponents makes a cache for the ordinary user out of the invoker's: folders of the
// user's own with links to the same files.
func (l *Lab) linkComponents(cache string) {
	GinkgoHelper()
	var from string
	for _, line := range strings.Split(l.Invoker.Run(10*time.Minute, "components", "kubectl").Succeeds(), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 { // CACHE/components/kubectl/VERSION/kubectl
			from = filepath.Join(fields[2], "../../../..")
		}
	}
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		to := filepath.Join(cache, relative)
		switch {
		case slices.Contains([]string{"components/locks", "components/logs", "components/work"}, relative):
			return fs.SkipDir
		case d.IsDir():
			return errors.Join(os.Mkdir(to, 0o755), os.Chown(to, Nobody, Nobody))
		}
		if err := os.Link(path, to); err == nil {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, info.Mode().Perm()|0o444)
	})
	Expect(err).NotTo(HaveOccurred(), "linking the components for an ordinary user")
}
