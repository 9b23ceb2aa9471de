package runtime

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// InitCommand is the hidden command that InitMain serves: the runtime starts its own
// executable with this word as first argument.
const InitCommand = "container-init"

// reportFD is where the init reports to the runtime.
const reportFD = 3

// initWork is what the init reads on standard input.
type initWork struct {
	Root       string
	Hostname   string
	User       int
	SwitchUser bool // all user ids are mapped
	Program    string
	Args, Env  []string
	Dir        string
	Mounts     []Mount
}

// initReport is what the init tells: once before it begins, once when it has done its
// work, and once more when it fails.
type initReport struct {
	PIDNamespace string // first report
	Note         string // second report
	Error        string
}

// InitMain is the first process of a container until it becomes the program. It is
// called at the top of main when the first argument is InitCommand, with the
// arguments after it, and returns an exit code only on failure.
func InitMain(args []string) int {
	// Capabilities belong to threads.
	goruntime.LockOSThread()
	unix.CloseOnExec(reportFD)
	report := json.NewEncoder(os.NewFile(reportFD, "report"))
	err := serveInit(report)
	// Whoever started it sees it end in any case.
	_ = report.Encode(initReport{Error: err.Error()})
	return 1
}

// serveInit tells who it is, waits for its work, does it and executes the program. It
// returns only an error.
func serveInit(report *json.Encoder) error {
	namespace, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return fmt.Errorf("read the PID namespace: %w", err)
	}
	if err := report.Encode(initReport{PIDNamespace: namespace}); err != nil {
		return err
	}
	var work initWork
	if err := json.NewDecoder(os.Stdin).Decode(&work); err != nil {
		return fmt.Errorf("read what to do: %w", err)
	}
	note, err := work.buildRoot()
	if err != nil {
		return err
	}
	if err := enterRoot(work.Root); err != nil {
		return err
	}
	if err := work.become(); err != nil {
		return err
	}
	if err := report.Encode(initReport{Note: note}); err != nil {
		return err
	}
	program := filepath.Join(ProgramDir, filepath.Base(work.Program))
	err = syscall.Exec(program, append([]string{program}, work.Args...), work.Env)
	return fmt.Errorf("execute %s: %w", work.Program, err)
}

// become takes on what the program is to have: host name, streams, working directory,
// capabilities and user.
func (w *initWork) become() error {
	if err := unix.Sethostname([]byte(w.Hostname)); err != nil {
		return fmt.Errorf("set the host name: %w", err)
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	if err := unix.Dup2(int(null.Fd()), 0); err != nil {
		return fmt.Errorf("replacing standard input: %w", err)
	}
	if err := os.MkdirAll(w.Dir, 0o755); err != nil {
		return fmt.Errorf("make the working directory: %w", err)
	}
	if err := os.Chdir(w.Dir); err != nil {
		return fmt.Errorf("entering the working directory: %w", err)
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	if !w.SwitchUser {
		return nil
	}
	// So that the program may open /dev/stdout again.
	for fd := 1; fd <= 2; fd++ {
		if err := unix.Fchown(fd, w.User, w.User); err != nil {
			return fmt.Errorf("giving the standard streams to the user: %w", err)
		}
	}
	if err := errors.Join(syscall.Setgroups(nil), syscall.Setgid(w.User), syscall.Setuid(w.User)); err != nil {
		return fmt.Errorf("becoming user %d: %w", w.User, err)
	}
	return nil
}

// hostDirs are the folders of the host that a program may need to run. Symbolic links
// among them are copied.
var hostDirs = []string{
	"bin", "sbin", "lib", "lib32", "lib64", "libx32",
	"usr/bin", "usr/sbin", "usr/lib", "usr/lib32", "usr/lib64", "usr/libx32", "usr/libexec", "usr/share", "usr/local/lib",
	"nix", "gnu", // where distributions without /lib have their libraries
	"etc/alternatives", "etc/ssl", "etc/pki", "etc/ca-certificates", "etc/ld.so.cache",
	"etc/nsswitch.conf", "etc/localtime", "etc/services", "etc/protocols",
	// Programs read the number of processors and the size of huge pages here.
	// The rest of /sys is the host's network and cgroups, which are not the container's.
	"sys/devices/system", "sys/kernel/mm",
}

// buildRoot makes the container's file system at w.Root: a tmpfs with binds. A note
// says what could not be done as on a node.
func (w *initWork) buildRoot() (note string, err error) {
	// What is mounted from here on stays in this namespace.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return "", fmt.Errorf("make mounts private: %w", err)
	}
	if err := mount("tmpfs", w.Root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return "", err
	}
	for dir, mode := range map[string]os.FileMode{
		"usr/local/bin": 0o755, "etc": 0o755, "dev/pts": 0o755, "proc": 0o555, "sys": 0o555,
		"root": 0o700, "run": 0o755, "var/lib": 0o755, "var/log": 0o755, "home": 0o755,
		"tmp": 0o777 | os.ModeSticky, "var/tmp": 0o777 | os.ModeSticky, "dev/shm": 0o777 | os.ModeSticky,
	} {
		path := filepath.Join(w.Root, dir)
		if err := errors.Join(os.MkdirAll(path, 0o755), os.Chmod(path, mode)); err != nil {
			return "", err
		}
	}
	for _, path := range hostDirs {
		if err := share(w.Root, path); err != nil {
			return "", err
		}
	}
	for path, content := range w.files() {
		if err := os.WriteFile(filepath.Join(w.Root, path), []byte(content), 0o644); err != nil {
			return "", err
		}
	}
	for link, target := range map[string]string{
		// Relative, so that mount targets through it stay in the new root.
		"var/run": "../run",
		"dev/fd":  "/proc/self/fd", "dev/stdin": "/proc/self/fd/0", "dev/stdout": "/proc/self/fd/1", "dev/stderr": "/proc/self/fd/2",
		"dev/ptmx": "pts/ptmx",
	} {
		if err := os.Symlink(target, filepath.Join(w.Root, link)); err != nil {
			return "", err
		}
	}
	for _, device := range []string{"null", "zero", "full", "random", "urandom", "tty"} {
		if err := bind("/dev/"+device, filepath.Join(w.Root, "dev", device), false); err != nil {
			return "", err
		}
	}
	if err := mount("devpts", filepath.Join(w.Root, "dev/pts"), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"); err != nil {
		return "", err
	}
	if note, err = w.mountProc(); err != nil {
		return "", err
	}
	program := Mount{Source: w.Program, Target: filepath.Join(ProgramDir, filepath.Base(w.Program)), ReadOnly: true}
	mounts := slices.Concat([]Mount{program}, w.Mounts)
	slices.SortStableFunc(mounts, func(a, b Mount) int {
		return strings.Count(filepath.Clean(a.Target), "/") - strings.Count(filepath.Clean(b.Target), "/")
	})
	for _, m := range mounts {
		if err := w.volume(m); err != nil {
			return "", err
		}
	}
	return note, nil
}

// files are the container's own files in /etc. A kubelet mounts better ones over those
// it knows.
func (w *initWork) files() map[string]string {
	passwd, group := "root:x:0:0:root:/root:/bin/sh\n", "root:x:0:\n"
	if w.User != 0 {
		passwd += fmt.Sprintf("pod:x:%d:%d:pod:/:/bin/sh\n", w.User, w.User)
		group += fmt.Sprintf("pod:x:%d:\n", w.User)
	}
	return map[string]string{
		"etc/passwd":      passwd + "nobody:x:65534:65534:nobody:/:/bin/false\n",
		"etc/group":       group + "nogroup:x:65534:\n",
		"etc/hosts":       "127.0.0.1\tlocalhost\n",
		"etc/hostname":    w.Hostname + "\n",
		"etc/resolv.conf": "",
	}
}

// mountProc mounts the PID namespace's own /proc. In a user namespace the kernel
// refuses it when parts of the sandbox's /proc are covered, as in a container engine:
// then the sandbox's is bound, in which the container sees other containers' processes
// too, and itself under other numbers.
func (w *initWork) mountProc() (note string, err error) {
	target := filepath.Join(w.Root, "proc")
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	err = unix.Mount("proc", target, "proc", flags, "")
	if errors.Is(err, unix.EPERM) {
		note = "containers see the sandbox's /proc, because mounting their own is refused here"
		err = bind("/proc", target, false)
	}
	if err != nil {
		return "", fmt.Errorf("mount /proc: %w", err)
	}
	if !w.SwitchUser {
		return note, nil // a user namespace's root has no power over these
	}
	for _, path := range []string{"sys", "sysrq-trigger", "irq", "bus", "fs"} {
		path = filepath.Join(target, path)
		if err := ignoreGone(bind(path, path, true)); err != nil {
			return "", err
		}
	}
	return note, nil
}

// volume binds one mount at its target.
func (w *initWork) volume(m Mount) error {
	if !filepath.IsAbs(m.Source) || !filepath.IsAbs(m.Target) {
		return fmt.Errorf("mount of %q at %q: both must be absolute paths", m.Source, m.Target)
	}
	target := filepath.Join(w.Root, m.Target)
	parent := filepath.Dir(target)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return fmt.Errorf("make the mount's target %s: %w", m.Target, err)
	}
	// A link in a volume could lead out of the new root.
	if real, err := filepath.EvalSymlinks(parent); err != nil || real != w.Root && !strings.HasPrefix(real, w.Root+"/") {
		return fmt.Errorf("mount target %s leads out of the container (%s): %w", m.Target, real, errors.Join(err, fs.ErrInvalid))
	}
	return bind(m.Source, target, m.ReadOnly)
}

// share binds a folder or file of the host read-only at the same place in the new
// root; what the host does not have is left out.
func share(root, path string) error {
	source, target := filepath.Join("/", path), filepath.Join(root, path)
	info, err := os.Lstat(source)
	if err != nil {
		return ignoreGone(err)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		link, err := os.Readlink(source)
		if err != nil {
			return err
		}
		return os.Symlink(link, target)
	}
	return bind(source, target, true)
}

// bind mounts source, with what is mounted below it, at target, which is made.
func bind(source, target string, readOnly bool) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("mounting: %w", err)
	}
	if info.IsDir() {
		err = os.MkdirAll(target, 0o755)
	} else if _, missing := os.Stat(target); missing != nil {
		err = os.WriteFile(target, nil, 0o644)
	}
	if err != nil {
		return fmt.Errorf("make a mount's target: %w", err)
	}
	if err := mount(source, target, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if !readOnly {
		return nil
	}
	err = unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if errors.Is(err, unix.ENOSYS) { // before Linux 5.12: only the top one
		var st unix.Statfs_t
		if err = unix.Statfs(target, &st); err == nil {
			// Flags that the mount has must be said again; these are equal in both calls.
			const kept = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME
			err = unix.Mount("", target, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY|uintptr(st.Flags)&kept, "")
		}
	}
	if err != nil {
		return fmt.Errorf("make the mount of %s read-only: %w", source, err)
	}
	return nil
}

func mount(source, target, kind string, flags uintptr, options string) error {
	if err := unix.Mount(source, target, kind, flags, options); err != nil {
		return fmt.Errorf("mount %s at %s: %w", source, target, err)
	}
	return nil
}

// enterRoot makes root the root and lets go of the old one.
func enterRoot(root string) error {
	if err := unix.Chdir(root); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	// The old root is stacked on the new one and taken off: no folder is needed for it.
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("changing the root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("letting go of the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	return nil
}

// keptCapabilities are those that container engines leave to root.
var keptCapabilities = []uintptr{
	unix.CAP_CHOWN, unix.CAP_DAC_OVERRIDE, unix.CAP_FSETID, unix.CAP_FOWNER, unix.CAP_MKNOD,
	unix.CAP_NET_RAW, unix.CAP_SETGID, unix.CAP_SETUID, unix.CAP_SETFCAP, unix.CAP_SETPCAP,
	unix.CAP_NET_BIND_SERVICE, unix.CAP_SYS_CHROOT, unix.CAP_KILL, unix.CAP_AUDIT_WRITE,
}

// dropCapabilities takes all others from the programs that this thread executes, so
// that root in a container can neither unmount nor change the host.
func dropCapabilities() error {
	for capability := uintptr(0); capability <= unix.CAP_LAST_CAP; capability++ {
		if slices.Contains(keptCapabilities, capability) {
			continue
		}
		// EINVAL: the kernel does not know it.
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("dropping capability %d: %w", capability, err)
		}
	}
	return nil
}
