package program

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/e2e/footprint"
)

// Clean fails the spec when anything is left of commands that have ended, but of clusters that
// are to stand: `meshbench up` until `meshbench down`. A suite calls it after each spec.
func (l *Lab) Clean() {
	GinkgoHelper()
	defer func() {
		for _, c := range l.Commands() {
			c.Forgive() // what was told once is not told after each later spec
		}
	}()
	Eventually(l.Left, 2*Soon, 200*time.Millisecond).Should(BeEmpty(), "left after the commands of this spec, and those before")
}

// Left lists what is left of commands that have ended.
func (l *Lab) Left() []string {
	GinkgoHelper()
	now, err := footprint.Take(context.Background(), l.where())
	Expect(err).NotTo(HaveOccurred())
	var traces []*footprint.Trace
	var strays []string
	for _, c := range l.Commands() {
		if c.runs() || l.stands(c) {
			continue
		}
		traces = append(traces, c.Trace)
		strays = append(strays, c.strays...)
	}
	return append(footprint.Left(l.before, now, traces...), strays...)
}

// where says where commands may have left something now: where one runs, or a cluster is to
// stand, its own is there rightly.
func (l *Lab) where() footprint.Where {
	where := l.mounts()
	for _, who := range l.users() {
		where.Own = append(where.Own, who.Dir)
		busy := false
		for _, c := range l.Commands() {
			if c.Who != who {
				continue
			}
			busy = busy || c.runs()
			if l.stands(c) {
				state := filepath.Join(who.Temp, "meshbench-"+strconv.Itoa(who.UID))
				where.Except = append(where.Except, filepath.Join(state, c.flag("--name")))
				where.Standing = append(where.Standing, state)
			}
		}
		if !busy {
			where.Folders = append(where.Folders, who.Home, who.Temp)
		}
		// The go command's own counters, when it builds components.
		where.Except = append(where.Except, filepath.Join(who.Home, ".config", "go"))
		where.Standing = append(where.Standing, filepath.Join(who.Home, ".config"), filepath.Join(who.Home, ".local"), filepath.Join(who.Home, ".local", "state"))
	}
	return where
}

// mounts says whose mounts are others': those below the folders for temporary files, where
// other suites have theirs too.
func (*Lab) mounts() footprint.Where {
	return footprint.Where{Others: []string{"/tmp", os.TempDir()}}
}

// runs tells whether the command has not ended.
func (c *Command) runs() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// flag is the value of a flag; "" without it.
func (c *Command) flag(name string) string {
	for i, arg := range c.Args {
		if value, ok := strings.CutPrefix(arg, name+"="); ok {
			return value
		}
		if arg == name && i+1 < len(c.Args) {
			return c.Args[i+1]
		}
	}
	return ""
}

// stands tells whether the cluster that a command has made is to stand.
func (l *Lab) stands(c *Command) bool {
	if c.Args[0] != "up" || c.runs() || c.cmd.ProcessState.ExitCode() != 0 {
		return false
	}
	for _, down := range l.Commands() {
		if down.Args[0] == "down" && down.Begun.After(c.Begun) && down.flag("--name") == c.flag("--name") && !down.runs() {
			return false
		}
	}
	return !c.Abandoned
}

// Guard looks after a cluster that stands, so that nothing of a command's is left on it.
// Namespaces of except are others'.
func (l *Lab) Guard(kubeconfig string, except ...string) {
	GinkgoHelper()
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clusters == nil {
		l.clusters = map[string]footprint.Cluster{}
	}
	l.clusters[kubeconfig] = footprint.Cluster{Config: config, Except: except}
}

// guarded are the clusters that a command goes to as a guest.
func (c *Command) guarded() map[string]footprint.Cluster {
	l := c.Who.lab
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[string]footprint.Cluster{}
	if c.flag("--kubeconfig") == "" {
		return found
	}
	for kubeconfig, cluster := range l.clusters {
		if _, err := os.Stat(kubeconfig); err == nil {
			found[kubeconfig] = cluster
		}
	}
	return found
}

// before looks at what the command could change where it works and on clusters.
func (c *Command) before() {
	GinkgoHelper()
	c.clusters = c.guarded()
	var err error
	c.then, err = footprint.Take(context.Background(), footprint.Where{Clusters: c.clusters})
	Expect(err).NotTo(HaveOccurred())
	c.there = entries(c.Who.Dir)
}

// after notes what the command has left there. One that was killed leaves its objects to
// `meshbench down`.
func (c *Command) after() {
	GinkgoHelper()
	for _, name := range entries(c.Who.Dir) {
		path := filepath.Join(c.Who.Dir, name)
		if !slices.Contains(c.there, name) && !slices.ContainsFunc(c.Who.lab.Commands(), func(other *Command) bool { return other.names(path) }) {
			c.strays = append(c.strays, fmt.Sprintf("%s, where meshbench %s was run", path, strings.Join(c.Args, " ")))
		}
	}
	if len(c.clusters) == 0 || c.cmd.ProcessState.ExitCode() < 0 {
		return
	}
	Eventually(func(g Gomega) {
		now, err := footprint.Take(context.Background(), footprint.Where{Clusters: c.clusters})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(footprint.Left(c.then, now)).To(BeEmpty())
	}, 2*Soon, 500*time.Millisecond).Should(Succeed(), "left on the cluster by meshbench %s", strings.Join(c.Args, " "))
}

// names tells whether an argument of the command is a path, or lies below it.
func (c *Command) names(path string) bool {
	return slices.ContainsFunc(c.Args, func(arg string) bool {
		_, value, _ := strings.Cut(arg, "=")
		return slices.ContainsFunc([]string{arg, value}, func(p string) bool {
			if p != "" && !filepath.IsAbs(p) {
				p = filepath.Join(c.Who.Dir, p)
			}
			return p == path || strings.HasPrefix(p, path+"/")
		})
	})
}

func entries(dir string) (names []string) {
	found, err := os.ReadDir(dir)
	Expect(err).NotTo(HaveOccurred())
	for _, e := range found {
		names = append(names, e.Name())
	}
	return names
}

// Forgive forgets what the command has left where it was run.
func (c *Command) Forgive() { c.strays = nil }
