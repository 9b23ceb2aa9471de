package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/observations"
)

// The disks of runs that must pass the preflight: it wants 512 Mi in the run's folder.
const (
	roomy = "size=600m"
	tight = "size=64m"
)

// onDisk is a fault of a disk that runs are kept on, for root or an ordinary user.
func onDisk(f Fault, options string, ordinary bool, spoil func(dir string) string, mend func(dir string)) Fault {
	var dir string
	f.Kind, f.NotHere = ofResource, needsRoot
	f.Who = func() *program.Identity {
		owner := os.Getuid()
		if ordinary {
			owner = program.Nobody
		}
		// Beside what fills the disk; and the user's folder is not the mount itself, which would be
		// taken for a run's.
		dir = disk(owner, options, "runs")
		runs := filepath.Join(dir, "runs")
		if ordinary {
			return at(wrapped(lab.Ordinary(), ""), runs)
		}
		return at(wrapped(lab.Invoker, ""), runs)
	}
	if spoil != nil {
		f.Make = func(*Run) string { return spoil(dir) }
		f.Undo = func(*Run) { mend(dir) }
		f.Says = append(f.Says, "The disk of /")
	}
	return f
}

var _ = Describe("a disk", func() {
	each(
		onDisk(Fault{Name: "full disk under the run's folder", Quick: true, Ends: fails, Says: []string{"no space left on device", "is full: free some"}},
			roomy, false, fill, empty),
		onDisk(Fault{Name: "full disk under the run's folder, as an ordinary user", Ends: fails, Says: []string{"no space left on device", "is full: free some"}},
			roomy, true, fill, empty),
		onDisk(Fault{Name: "no inodes left under the run's folder", At: measuringOne, Ends: fails, Says: []string{"no space left on device", "has no inodes left"}},
			roomy+",nr_inodes=3000", false, exhaust, replenish),
		onDisk(Fault{Name: "too small a disk for the run's folder", Quick: true, Ends: fails, Final: true,
			Standing: "the run's folder is on a disk of 64 Mi", Says: []string{"not enough disk space in ", "64 Mi are free, 512 Mi are needed", "--out"}},
			tight, false, nil, nil),
		onDisk(Fault{Name: "read-only run folder", Quick: true, Ends: fails, Final: true,
			Standing: "the run's folder is to be on a read-only disk", Says: []string{"read-only file system"}},
			readOnly, false, nil, nil),
		func() Fault {
			var dir string
			return Fault{
				Name: "full disk under the temporary folder", Kind: ofResource, NotHere: needsRoot, Ends: completes,
				Who: func() *program.Identity {
					dir = disk(os.Getuid(), tight)
					own := filepath.Join(dir, "own") // beside what fills the disk
					Expect(os.Mkdir(own, 0o755)).To(Succeed())
					return with(wrapped(lab.Invoker, ""), "TMPDIR="+own)
				},
				// All that changes is kept in memory.
				Make: func(*Run) string { return fill(dir) }, Undo: func(*Run) { empty(dir) },
			}
		}(),
		Fault{
			Name: "no room in the temporary folder", Kind: ofResource, Quick: true, NotHere: needsRoot, Ends: fails, Final: true,
			Standing: "the temporary folder is on a disk of 1 Mi",
			Who: func() *program.Identity {
				dir := disk(os.Getuid(), "size=1m") // before the user, whose mounts are noted
				return with(wrapped(lab.Invoker, ""), "TMPDIR="+dir)
			},
			Says: []string{"not enough disk space in ", "set TMPDIR to a folder on a larger disk"},
		},
		func() Fault {
			var cache, work string
			return Fault{
				Name: "full disk under the cache while components are made", Kind: ofResource, NotHere: needsRoot, Ends: fails, Final: true,
				Standing: "the folder in which components are made is on a disk of 64 Ki, and Istio's charts are not there yet",
				Who: func() *program.Identity {
					cache = copied("charts")
					work = filepath.Join(cache, "components", "work")
					Expect(os.Mkdir(work, 0o755)).To(Succeed())
					Expect(unix.Mount("tmpfs", work, "tmpfs", 0, "size=64k")).To(Succeed())
					DeferCleanup(func() { _ = unix.Unmount(work, unix.MNT_DETACH) })
					return maker(cache)
				},
				Says: []string{"no space left on device", "what to do: free disk space"},
				After: func(r *Run) {
					Expect(unix.Unmount(work, unix.MNT_DETACH)).To(Succeed())
					again := r.Who.Run(5*time.Minute, "components")
					Expect(again.Succeeds()).To(ContainSubstring("charts"))
				},
			}
		}(),
		Fault{
			Name: "read-only home", Kind: ofResource, NotHere: needsRoot, Ends: completes,
			Standing: "the home of the user is a read-only disk",
			Who: func() *program.Identity {
				home := disk(os.Getuid(), readOnly)
				return with(wrapped(lab.Invoker, ""), "HOME="+home, "XDG_CACHE_HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_STATE_HOME="+home, "MESHBENCH_CACHE="+cacheRoot())
			},
		},
		Fault{
			Name: "read-only cache", Kind: ofResource, NotHere: needsRoot, Ends: completes,
			Standing: "the cache is on a read-only file system",
			Who: func() *program.Identity {
				cache := folder("ro-")
				Expect(unix.Mount(cacheRoot(), cache, "", unix.MS_BIND, "")).To(Succeed())
				DeferCleanup(func() { Expect(unix.Unmount(cache, unix.MNT_DETACH)).To(Succeed()) })
				Expect(unix.Mount("", cache, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")).To(Succeed())
				return with(wrapped(lab.Invoker, ""), "MESHBENCH_CACHE="+cache)
			},
		},
	)
})

// maker is a user of a cache who can make what it lacks. The go command, which does, counts its
// own uses in the home.
func maker(cache string) *program.Identity {
	return with(wrapped(lab.Invoker, ""), "MESHBENCH_CACHE="+cache, "HOME="+folder("h-"))
}

// measuringOne is a random step's measurement, in which files are made.
func measuringOne(r *Run) Stage { return settling(2 + r.Random.Intn(2)) }

var _ = Describe("the cache", func() {
	// offline is a user of a cache who cannot make anything again.
	offline := func(cache string) *program.Identity {
		return with(wrapped(lab.Invoker, ""), "MESHBENCH_CACHE="+cache, "PATH=/none")
	}
	each(
		Fault{
			Name: "a cached program with another byte", Kind: ofResource, Quick: true, Ends: fails, Final: true,
			Standing: "one bit of the cached pilot-agent is another one, and nothing can be made again",
			Who: func() *program.Identity {
				cache := copied()
				spoil(cache, "pilot-agent", "pilot-agent", flipped)
				return offline(cache)
			},
			Says: []string{"damaged in the cache: ", "/pilot-agent: sha256 is ", "there is no go command"},
		},
		Fault{
			Name: "a cached program that is cut", Kind: ofResource, Quick: true, Ends: fails, Final: true,
			Standing: "half of the cached etcd is there, and nothing can be made again",
			Who: func() *program.Identity {
				cache := copied()
				spoil(cache, "etcd", "etcd", halved)
				return offline(cache)
			},
			Says: []string{"damaged in the cache: ", "etcd is not the file of "},
		},
		Fault{
			Name: "a cached chart with other words", Kind: ofResource, Ends: completes,
			Standing: "one bit of a cached chart is another one",
			Who: func() *program.Identity {
				cache := copied()
				spoil(cache, "charts", "charts/istio-discovery/values.yaml", flipped)
				return maker(cache)
			},
			Says: []string{"damaged in the cache, made again: charts (", "values.yaml: sha256 is "},
		},
		func() Fault {
			var other *program.Command
			return Fault{
				Name: "two first runs at once", Kind: ofResource, Ends: completes, Limit: 5 * time.Minute,
				Standing: "two runs were started at once with a cache that lacks Istio's charts",
				Who: func() *program.Identity {
					return maker(copied("charts"))
				},
				Started: func(r *Run) {
					scenario, err := filepath.Abs("testdata/quick.yaml")
					Expect(err).NotTo(HaveOccurred())
					other = r.Who.StartRun(scenario, "--real", "2")
				},
				After: func(r *Run) {
					Expect(other.Wait(3*time.Minute)).To(BeZero(), other.Both.String())
					(&Run{Command: other}).complete()
					other.LeavesNothing(20 * time.Second)
					made := strings.Count(r.Both.String()+other.Both.String(), "charts ready")
					Expect(made).To(BeNumerically(">=", 1))
				},
			}
		}(),
	)
})

// uid is an ordinary user that nothing else runs as, so that what is counted for each user is
// this run's alone.
const uid = 64901

// lonely is an ordinary user of that uid, with a cache like the ordinary one's.
func lonely(script string) *program.Identity {
	GinkgoHelper()
	who := wrapped(lab.Ordinary(), script)
	who.UID, who.Credential = uid, &syscall.Credential{Uid: uid, Gid: uid}
	home, temporary := folder("h-"), folder("t-")
	for _, dir := range []string{home, temporary, who.Dir} {
		Expect(os.Chown(dir, uid, uid)).To(Succeed())
	}
	cache := copied()
	return with(who, "HOME="+home, "XDG_CACHE_HOME="+home, "TMPDIR="+temporary, "MESHBENCH_CACHE="+cache)
}

// needsUsers is why a fault is not made that takes a user of its own.
func needsUsers() string {
	if os.Getuid() != 0 {
		return "running as a user of its own takes root"
	}
	return ""
}

var _ = Describe("limits of a process and a user", func() {
	limited := func(name, script string, quick bool, says ...string) Fault {
		return Fault{
			Name: name, Kind: ofResource, Quick: quick, Ends: fails, Final: true, Standing: script, Says: says,
			Who: func() *program.Identity { return wrapped(lab.Invoker, script) },
		}
	}
	each(
		limited("few open files", "ulimit -n 64", true, "not enough open files", "64 are allowed (ulimit -Hn)"),
		limited("little address space", "ulimit -v 2000000", true, "of address space (ulimit -v)", "lift the limit"),
		Fault{
			Name: "few open files, which may be raised", Kind: ofResource, Ends: completes, Standing: "ulimit -Sn 64",
			Who: func() *program.Identity { return wrapped(lab.Invoker, "ulimit -Sn 64") },
		},
		Fault{
			Name: "few processes of a user", Kind: ofResource, Quick: true, NotHere: needsUsers, Ends: fails, Final: true, Standing: "ulimit -u 100",
			Who:  func() *program.Identity { return lonely("ulimit -u 100 2> /dev/null || ulimit -p 100") }, // of bash, of dash
			Says: []string{"not enough processes", "the user's own (ulimit -u)"},
		},
		Fault{
			Name: "no inotify instances left for a user", Kind: ofResource, Quick: true, NotHere: needsUsers, Ends: fails, Final: true,
			Standing: "another process of the user holds all inotify instances that the user may have",
			Who: func() *program.Identity {
				who := lonely("")
				holder(who.Credential, "inotify")
				return who
			},
			Says: []string{"not enough inotify instances", "sysctl -w fs.inotify.max_user_instances="},
		},
		func() Fault {
			var all *exec.Cmd
			return Fault{
				Name: "inotify instances of a user that are used up in a run", Kind: ofResource, NotHere: needsUsers, Ends: fails, Limit: 6 * time.Minute,
				Args: []string{"--real", "all"}, At: beforeMore, Says: []string{"inotify instances are used up"},
				Who: func() *program.Identity { return lonely("") },
				Make: func(r *Run) string {
					all = holder(r.Who.Credential, "inotify")
					return "another process of the user took all inotify instances that were left"
				},
				Undo: func(*Run) { _ = all.Process.Kill() },
			}
		}(),
	)
})

// group is a cgroup of the test's own that a run is put into, and how it is limited.
type group struct {
	dir string // in the hierarchy of the controller
	v2  bool
}

// newGroup makes one with a controller; the run's user, whose commands are in it, comes with it.
func newGroup(controller string) (*group, *program.Identity) {
	GinkgoHelper()
	g := &group{}
	top := filepath.Join("/sys/fs/cgroup", controller)
	if _, err := os.Stat(filepath.Join(top, "cgroup.procs")); err != nil {
		top, g.v2 = "/sys/fs/cgroup", true
	}
	// Not a name that meshbench gives its own, which it looks for.
	g.dir = filepath.Join(top, fmt.Sprintf("faults-%d-%d", os.Getpid(), time.Now().UnixNano()))
	Expect(os.Mkdir(g.dir, 0o755)).To(Succeed())
	DeferCleanup(func() {
		Eventually(func() error { return unix.Rmdir(g.dir) }, 20*time.Second, 100*time.Millisecond).Should(Succeed())
	})
	return g, wrapped(lab.Invoker, "echo $$ > "+filepath.Join(g.dir, "cgroup.procs"))
}

func (g *group) write(file, value string) {
	GinkgoHelper()
	Expect(os.WriteFile(filepath.Join(g.dir, file), []byte(value), 0)).To(Succeed())
}

func (g *group) number(file string) int64 {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join(g.dir, file))
	Expect(err).NotTo(HaveOccurred())
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	Expect(err).NotTo(HaveOccurred())
	return n
}

// memory limits the group's memory.
func (g *group) memory(bytes int64) {
	GinkgoHelper()
	file := "memory.limit_in_bytes"
	if g.v2 {
		file = "memory.max"
	}
	g.write(file, strconv.FormatInt(bytes, 10))
}

func (g *group) used() int64 {
	GinkgoHelper()
	if g.v2 {
		return g.number("memory.current")
	}
	return g.number("memory.usage_in_bytes")
}

// needsGroup is why a fault is not made that takes a cgroup with a controller.
func needsGroup(controller string) func() string {
	return func() string {
		if os.Getuid() != 0 {
			return "making a cgroup takes root"
		}
		for _, top := range []string{filepath.Join("/sys/fs/cgroup", controller), "/sys/fs/cgroup"} {
			controllers, _ := os.ReadFile(filepath.Join(top, "cgroup.subtree_control"))
			_, err := os.Stat(filepath.Join(top, "tasks")) // version 1
			if err == nil || slices.Contains(strings.Fields(string(controllers)), controller) {
				return ""
			}
		}
		return "no hierarchy of cgroups with the controller " + controller + " can be used here"
	}
}

var _ = Describe("memory", func() {
	// short is a fault in which the memory of all that meshbench runs is used up, and the kernel
	// ends the process that is asked for.
	short := func(name string, victim func(r *Run) int, f Fault) Fault {
		var g *group
		f.Name, f.Kind, f.NotHere, f.Limit = name, ofResource, needsGroup("memory"), 2*time.Minute
		f.Who = func() *program.Identity {
			var who *program.Identity
			g, who = newGroup("memory")
			return who
		}
		f.Make = func(r *Run) string {
			pid := victim(r)
			Expect(os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", pid), []byte("1000"), 0)).To(Succeed())
			// Somebody in it takes all that is left, and a little is.
			hog := holder(nil, "memory")
			g.write("cgroup.procs", strconv.Itoa(hog.Process.Pid))
			limit := g.used() + 256<<20
			g.memory(limit)
			Eventually(func() error { return syscall.Kill(pid, 0) }, time.Minute, 20*time.Millisecond).Should(MatchError(unix.ESRCH), "the kernel has ended process %d", pid)
			_ = hog.Process.Kill()
			g.memory(1 << 40)
			return fmt.Sprintf("the memory of a cgroup with all of the run, limited to %d Mi, was used up, and the kernel ended process %d", limit>>20, pid)
		}
		return f
	}
	each(
		short("out of memory: the kernel ends the sandbox", func(r *Run) int { return r.part(sandbox.Command) },
			Fault{Ends: fails, Says: []string{"the sandbox of cluster quick-", "signal: killed", "for want of memory the kernel has ended"}}),
		short("out of memory: the kernel ends etcd", func(r *Run) int { return r.One("etcd") },
			Fault{Ends: fails, Says: []string{"etcd ended: signal: killed"}, Program: "etcd"}),
		short("out of memory: the kernel ends meshbench", func(r *Run) int { return r.PID() }, Fault{Ends: []int{-1}}),
		Fault{
			Name: "too little memory in a container", Kind: ofResource, Quick: true, NotHere: needsGroup("memory"), Ends: fails, Final: true,
			Standing: "all that meshbench runs is in a cgroup with 1 Gi of memory",
			Who: func() *program.Identity {
				g, who := newGroup("memory")
				g.memory(1 << 30)
				return who
			},
			Says: []string{"not enough memory", "available in the cgroup /sys/fs/cgroup", "raise its limit"},
		},
		Fault{
			Name: "out of memory of a sidecar by its annotation", Kind: ofResource, Scenario: "testdata/oom.yaml", Ends: fails, Limit: 5 * time.Minute, Final: true,
			Standing: "in the second step a sidecar may have 24 Mi, less than it starts with",
			Says:     []string{"restart: istio-proxy of ns1/small", observations.ReasonOOMKilled, "was killed for its memory limit of 24Mi (OOMKilled) at each of "},
		},
		Fault{
			Name: "out of memory of istiod by its values", Kind: ofResource, Ends: fails, Limit: 6 * time.Minute, Final: true,
			Args:     []string{"--mesh-set", "pilot.resources.limits.memory=16Mi", "--mesh-set", "pilot.resources.requests.memory=16Mi"},
			Standing: "istiod may have 16 Mi, less than it starts with",
			Says:     []string{"istiod", observations.ReasonOOMKilled},
		},
		func() Fault {
			var g *group
			return Fault{
				Name: "process ids used up in a container", Kind: ofResource, NotHere: needsGroup("pids"), Ends: fails, Limit: 6 * time.Minute,
				Args: []string{"--real", "all"}, At: beforeMore, Says: []string{"Processes are used up: raise the limit"},
				Who: func() *program.Identity {
					var who *program.Identity
					g, who = newGroup("pids")
					return who
				},
				Make: func(*Run) string {
					now := g.number("pids.current")
					g.write("pids.max", strconv.FormatInt(now, 10))
					return fmt.Sprintf("a cgroup with all of the run may have no more than the %d processes and threads that it has", now)
				},
				Undo: func(*Run) { g.write("pids.max", "max") },
			}
		}(),
		Fault{
			Name: "few process ids in a container", Kind: ofResource, Quick: true, NotHere: needsGroup("pids"), Ends: fails, Final: true,
			Standing: "all that meshbench runs is in a cgroup with 100 processes and threads",
			Who: func() *program.Identity {
				g, who := newGroup("pids")
				g.write("pids.max", "100")
				return who
			},
			Says: []string{"not enough processes", "the cgroup /sys/fs/cgroup"},
		},
	)
})
