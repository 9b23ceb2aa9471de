package faults

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/e2e/program"
)

// wrapped is a user like another, whose commands are begun by a shell script. What the script
// does before holds for meshbench and all that comes of it. what is mounted for the user must be
// mounted before.
func wrapped(of *program.Identity, script string) *program.Identity {
	GinkgoHelper()
	dir := folder("w-")
	binary := filepath.Join(dir, "meshbench.sh")
	text := "#!/bin/sh\nset -e\n" + script + "\nexec '" + made.Binary + "' \"$@\"\n"
	Expect(os.WriteFile(binary, []byte(text), 0o755)).To(Succeed())
	other := program.NewLab(dir, binary)
	DeferCleanup(other.Kill)
	others = append(others, other)
	who := other.NewIdentity(of.Name, filepath.Join(dir, "runs"))
	who.UID, who.Env, who.Credential = of.UID, append([]string{}, of.Env...), of.Credential
	Expect(os.MkdirAll(who.Dir, 0o755)).To(Succeed())
	Expect(os.Chown(who.Dir, who.UID, -1)).To(Succeed())
	return who
}

// folder is a new one that every user may enter, which goes with the spec.
func folder(prefix string) string {
	GinkgoHelper()
	dir, err := os.MkdirTemp(made.Work, prefix)
	Expect(err).NotTo(HaveOccurred())
	Expect(os.Chmod(dir, 0o755)).To(Succeed())
	return dir
}

// needsRoot is why a fault is not made that takes root.
func needsRoot() string {
	if os.Getuid() != 0 {
		return "mounting a disk of its own takes root"
	}
	dir, err := os.MkdirTemp("", "mbf-probe-")
	if err != nil {
		return err.Error()
	}
	defer os.Remove(dir)
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		return "this machine lets nobody mount a disk: " + err.Error()
	}
	_ = unix.Unmount(dir, unix.MNT_DETACH)
	return ""
}

// readOnly is the option of a disk that nothing can be written to.
const readOnly = "ro"

// disk is a folder on a small disk of its own, with mount options of tmpfs or readOnly, that
// belongs to a user.
func disk(owner int, options string, folders ...string) string {
	GinkgoHelper()
	dir := folder("disk-")
	data := options
	if options == readOnly {
		data = ""
	}
	Expect(unix.Mount("tmpfs", dir, "tmpfs", 0, data)).To(Succeed())
	DeferCleanup(func() { Expect(unix.Unmount(dir, unix.MNT_DETACH)).To(Succeed()) })
	Expect(os.Chown(dir, owner, owner)).To(Succeed())
	Expect(os.Chmod(dir, 0o755)).To(Succeed())
	for _, name := range folders {
		Expect(os.Mkdir(filepath.Join(dir, name), 0o755)).To(Succeed())
		Expect(os.Chown(filepath.Join(dir, name), owner, owner)).To(Succeed())
	}
	if options == readOnly {
		Expect(unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")).To(Succeed())
	}
	return dir
}

// at is a user like another whose runs are kept in a folder.
func at(who *program.Identity, dir string) *program.Identity {
	who.Dir = dir
	return who
}

// with is a user like another with further variables.
func with(who *program.Identity, variables ...string) *program.Identity {
	who.Env = append(who.Env, variables...)
	return who
}

// filler is the file that takes what is left of a disk.
const filler = "filler"

// fill takes all that is left of a folder's disk.
func fill(dir string) string {
	GinkgoHelper()
	file, err := os.OpenFile(filepath.Join(dir, filler), os.O_CREATE|os.O_WRONLY, 0o600)
	Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	var size int64
	for piece := int64(64 << 20); piece >= 4096; {
		if err := unix.Fallocate(int(file.Fd()), 0, size, piece); errors.Is(err, unix.ENOSPC) {
			piece /= 2
			continue
		} else if !errors.Is(err, unix.EINTR) {
			Expect(err).NotTo(HaveOccurred())
			size += piece
		}
	}
	return fmt.Sprintf("a file took the last %d Mi of the disk of %s", size>>20, dir)
}

// empty takes the filler away.
func empty(dir string) {
	GinkgoHelper()
	Expect(os.Remove(filepath.Join(dir, filler))).To(Succeed())
}

// exhaust takes all inodes that are left of a folder's disk, and replenish gives them back.
func exhaust(dir string) string {
	GinkgoHelper()
	Expect(os.Mkdir(filepath.Join(dir, filler), 0o700)).To(Succeed())
	n := 0
	for ; ; n++ {
		err := os.WriteFile(filepath.Join(dir, filler, fmt.Sprint(n)), nil, 0o600)
		if errors.Is(err, unix.ENOSPC) {
			break
		}
		Expect(err).NotTo(HaveOccurred())
	}
	return fmt.Sprintf("%d empty files took the last inodes of the disk of %s", n, dir)
}

func replenish(dir string) {
	GinkgoHelper()
	Expect(os.RemoveAll(filepath.Join(dir, filler))).To(Succeed())
}

// cacheRoot is that of the invoking user.
func cacheRoot() string {
	GinkgoHelper()
	for _, line := range strings.Split(lab.Invoker.Run(time.Minute, "components").Succeeds(), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "etcd" { // CACHE/components/etcd/VERSION/etcd
			return filepath.Join(fields[2], "../../../..")
		}
	}
	Fail("the cache is not where it is thought to be")
	return ""
}

// copied is a copy of the cache for a test to spoil: links to the same files, which must be
// replaced and never written to. without are components that it lacks.
func copied(without ...string) string {
	GinkgoHelper()
	from, to := cacheRoot(), folder("c-")
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		for _, skip := range append([]string{"locks", "logs", "work"}, without...) {
			if relative == filepath.Join("components", skip) {
				return fs.SkipDir
			}
		}
		target := filepath.Join(to, relative)
		if d.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		if os.Link(path, target) == nil {
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, info.Mode().Perm())
	})
	Expect(err).NotTo(HaveOccurred())
	return to
}

// spoil replaces each version of a file of a component by what change makes of it.
func spoil(cache, component, file string, change func([]byte) []byte) {
	GinkgoHelper()
	found, err := filepath.Glob(filepath.Join(cache, "components", component, "*", file))
	Expect(err).NotTo(HaveOccurred())
	Expect(found).NotTo(BeEmpty())
	for _, path := range found {
		content, err := os.ReadFile(path)
		Expect(err).NotTo(HaveOccurred())
		info, err := os.Stat(path)
		Expect(err).NotTo(HaveOccurred())
		// The old one has further names, which must keep what it holds.
		Expect(os.Remove(path)).To(Succeed())
		Expect(os.WriteFile(path, change(content), info.Mode().Perm())).To(Succeed())
	}
}

// flipped has one bit in the middle changed.
func flipped(content []byte) []byte {
	content[len(content)/2] ^= 1
	return content
}

// halved is cut in the middle.
func halved(content []byte) []byte { return content[:len(content)/2] }

// holder starts a process of a user that does something with this very program (see TestMain)
// and holds it until the spec ends; it has done so when this returns.
func holder(who *syscall.Credential, what string) *exec.Cmd {
	GinkgoHelper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{holdVariable + "=" + what}
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	Expect(err).NotTo(HaveOccurred())
	Expect(cmd.Start()).To(Succeed())
	DeferCleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	word := make([]byte, 1)
	_, err = out.Read(word)
	Expect(err).NotTo(HaveOccurred(), "a process that holds "+what)
	return cmd
}
