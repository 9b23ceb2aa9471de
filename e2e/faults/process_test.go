package faults

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/e2e/footprint"
	"github.com/meshbench/meshbench/harness/cluster/embedded/light"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/observations"
)

// send sends a signal to one of the run's processes.
func send(signal syscall.Signal, name string, pid int) string {
	GinkgoHelper()
	Expect(syscall.Kill(pid, signal)).To(Succeed())
	return fmt.Sprintf("%s to %s", unixName(signal), name)
}

func unixName(s syscall.Signal) string {
	return map[syscall.Signal]string{
		syscall.SIGKILL: "SIGKILL", syscall.SIGTERM: "SIGTERM", syscall.SIGHUP: "SIGHUP", syscall.SIGSTOP: "SIGSTOP", syscall.SIGCONT: "SIGCONT",
	}[s]
}

// to sends a signal to a process of the run with that program.
func to(program string, signal syscall.Signal) func(*Run) string {
	return func(r *Run) string { return send(signal, program, r.One(program)) }
}

// part is the run's process that has a hidden command of meshbench as first argument.
func (r *Run) part(command string) int {
	GinkgoHelper()
	r.Trace.Look()
	for _, pid := range r.Trace.Living() {
		if words := strings.Fields(footprint.CommandLine(pid)); len(words) > 1 && words[1] == command {
			return pid
		}
	}
	Fail("the run has no process meshbench " + command)
	return 0
}

// toPart sends a signal to such a process.
func toPart(command, name string, signal syscall.Signal) func(*Run) string {
	return func(r *Run) string { return send(signal, name, r.part(command)) }
}

// toMeshbench sends a signal to meshbench itself.
func toMeshbench(signal syscall.Signal) func(*Run) string {
	return func(r *Run) string { return send(signal, "meshbench", r.PID()) }
}

// closeTerminal closes the run's.
func closeTerminal(r *Run) string {
	GinkgoHelper()
	Expect(r.Terminal.Close()).To(Succeed())
	return "the terminal of meshbench was closed"
}

// interrupted checks that the log ends with who has stopped the run.
func interrupted(r *Run) {
	GinkgoHelper()
	records := r.log()
	Expect(records).NotTo(BeEmpty())
	end := records[len(records)-1].End
	Expect(end).NotTo(BeNil(), "the log has no end")
	Expect(end.Outcome).To(Equal(observations.Interrupted))
}

var _ = Describe("a process that is killed", func() {
	plane := func(program string, quick bool) Fault {
		return Fault{
			Name: "kill -9 of " + program, Kind: ofProcess, Quick: quick, Make: to(program, syscall.SIGKILL),
			Ends: fails, Says: []string{program + " ended: signal: killed"}, Program: program, Limit: time.Minute,
		}
	}
	each(
		plane("kube-apiserver", true), plane("etcd", false), plane("kube-controller-manager", false), plane("kube-scheduler", false),
		Fault{
			Name: "kill -9 of etcd while the cluster is made", Kind: ofProcess, At: func(*Run) Stage {
				return Stage{"start of the control plane", func(r *Run) bool { return r.Trace.Find("etcd") != 0 }, 500 * time.Millisecond}
			},
			Make: to("etcd", syscall.SIGKILL), Ends: fails, Says: []string{"etcd ended: signal: killed"}, Limit: time.Minute,
		},
		Fault{
			Name: "kill -9 of kube-apiserver while the mesh is installed", Kind: ofProcess, At: installingMesh,
			Make: to("kube-apiserver", syscall.SIGKILL), Ends: fails, Says: []string{"kube-apiserver ended: signal: killed"}, Program: "kube-apiserver", Limit: time.Minute,
		},
		Fault{
			Name: "kill -9 of istiod", Kind: ofProcess, Quick: true, Make: to("pilot-discovery", syscall.SIGKILL),
			Ends: completes, Says: []string{"restart: discovery of istio-system/istiod"},
		},
		Fault{
			Name: "kill -9 of metrics-server", Kind: ofProcess, Make: to("metrics-server", syscall.SIGKILL),
			Ends: completes, Says: []string{"metrics-server: ended with Error (exit code 137) and was restarted"},
		},
		Fault{
			Name: "kill -9 of an Envoy", Kind: ofProcess, Make: to("envoy", syscall.SIGKILL),
			Ends: completes, Says: []string{"restart: istio-proxy of ns1/test"},
		},
		Fault{
			Name: "kill -9 of an Envoy while a step is measured", Kind: ofProcess, Make: to("envoy", syscall.SIGKILL), At: func(*Run) Stage { return measuring(2) },
			Ends: completes, Says: []string{"restart: istio-proxy of ns1/test"},
		},
		Fault{
			Name: "kill -9 of a pilot-agent", Kind: ofProcess, Make: to("pilot-agent", syscall.SIGKILL),
			Ends: completes, Says: []string{"restart: istio-proxy of ns1/test"},
		},
		Fault{
			Name: "kill -9 of the process of light proxies", Kind: ofProcess, Args: []string{"--light", "all"},
			Make: toPart(light.Command, "the process of light proxies", syscall.SIGKILL),
			Ends: completes, Says: []string{"restart: istio-proxy of ns1/test"},
		},
		Fault{
			Name: "kill -9 of the sandbox, which all nodes live in", Kind: ofProcess, Make: toPart(sandbox.Command, "the sandbox's first process", syscall.SIGKILL),
			Ends: fails, Says: []string{"the sandbox of cluster quick-", "ended by itself (signal: killed)"}, Program: "sandbox", Limit: time.Minute,
		},
	)
})

var _ = Describe("meshbench that is told to end", func() {
	each(
		Fault{
			Name: "kill -9 of meshbench", Kind: ofProcess, Make: toMeshbench(syscall.SIGKILL), Ends: []int{-1}, Limit: time.Minute,
			After: func(r *Run) {
				// It could not say anything; its log says as much.
				Expect(r.Who.Run(time.Minute, "report", r.Out).Succeeds()).To(ContainSubstring("the run was cut off"))
			},
		},
		Fault{
			Name: "kill -9 of meshbench and its sandbox at once", Kind: ofProcess, Ends: []int{-1}, Limit: time.Minute,
			Make: func(r *Run) string {
				first := r.part(sandbox.Command)
				return send(syscall.SIGKILL, "meshbench", r.PID()) + ", " + send(syscall.SIGKILL, "the sandbox's first process", first)
			},
			// Nobody is left to remove the folder that commands find the cluster by: the next
			// command does.
			After: func(r *Run) { r.Who.Run(time.Minute, "down", "--name", "none").Exits(1) },
		},
		Fault{
			Name: "SIGTERM for meshbench", Kind: ofProcess, Make: toMeshbench(syscall.SIGTERM), Ends: []int{130}, Says: []string{"terminated"}, Limit: time.Minute, After: interrupted,
		},
		Fault{
			Name: "SIGHUP for meshbench", Kind: ofProcess, Make: toMeshbench(syscall.SIGHUP), Ends: []int{130}, Says: []string{"hangup"}, Limit: time.Minute, After: interrupted,
		},
		Fault{
			Name: "a closed terminal", Kind: ofProcess, Terminal: true, Ends: []int{130}, Limit: time.Minute, After: interrupted,
			Make: closeTerminal, Says: []string{"interrupted by signal: hangup"},
		},
		Fault{
			Name: "a closed terminal of a run by nohup", Kind: ofProcess, Nohup: true, Make: closeTerminal, Ends: completes,
		},
	)
})

var _ = Describe("a process that is stopped for good", func() {
	frozen := func(name, program string, quick bool) Fault {
		return Fault{
			Name: "SIGSTOP of " + name, Kind: ofProcess, Quick: quick, At: while, Make: to(program, syscall.SIGSTOP),
			Ends: fails, Says: []string{program, "was stopped (SIGSTOP)"}, Limit: 90 * time.Second,
		}
	}
	quoted := func(f Fault, log string) Fault {
		f.Program = log
		return f
	}
	each(
		quoted(frozen("kube-apiserver", "kube-apiserver", true), "kube-apiserver"),
		quoted(frozen("etcd", "etcd", false), "etcd"),
		quoted(frozen("kube-controller-manager", "kube-controller-manager", false), "kube-controller-manager"),
		quoted(frozen("kube-scheduler", "kube-scheduler", false), "kube-scheduler"),
		frozen("istiod", "pilot-discovery", false),
		frozen("metrics-server", "metrics-server", false),
		frozen("an Envoy", "envoy", false),
		frozen("a pilot-agent", "pilot-agent", false),
		Fault{
			Name: "SIGSTOP of the process of light proxies", Kind: ofProcess, At: while, Args: []string{"--light", "all"},
			Make: toPart(light.Command, "the process of light proxies", syscall.SIGSTOP),
			Ends: fails, Says: []string{"the process of light proxies does nothing any more", "was stopped (SIGSTOP)"}, Limit: 90 * time.Second,
		},
		Fault{
			Name: "SIGSTOP of the sandbox, which all nodes live in", Kind: ofProcess, At: while,
			Make: toPart(sandbox.Command, "the sandbox's first process", syscall.SIGSTOP),
			Ends: fails, Says: []string{"the sandbox of cluster quick-", "was stopped (SIGSTOP)"}, Limit: 90 * time.Second,
		},
	)
})

var _ = Describe("a standstill", func() {
	const minute = time.Minute
	each(
		Fault{
			Name: "SIGSTOP of meshbench for 20 s, then SIGCONT", Kind: ofProcess, At: while, Ends: marked, Says: []string{"meshbench stood still for"},
			Make: func(r *Run) string {
				send(syscall.SIGSTOP, "meshbench", r.PID())
				time.Sleep(20 * time.Second)
				return "SIGSTOP to meshbench, 20 s later " + send(syscall.SIGCONT, "it", r.PID())
			},
		},
		Fault{
			Name: "a machine that is suspended for a minute", Kind: ofProcess, Ends: marked, Says: []string{"meshbench stood still for"}, Limit: 4 * time.Minute,
			Make: func(r *Run) string {
				r.Trace.Look()
				all := r.Trace.Living()
				for _, pid := range all {
					_ = syscall.Kill(pid, syscall.SIGSTOP) // it may have ended
				}
				time.Sleep(minute)
				r.Random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				for _, pid := range all {
					_ = syscall.Kill(pid, syscall.SIGCONT)
				}
				return fmt.Sprintf("all %d processes of the run were stopped, and continued a minute later", len(all))
			},
		},
	)
})

var _ = Describe("two at once", func() {
	each(
		Fault{
			Name: "two runs at once", Kind: ofProcess, At: makingCluster, Ends: completes, Limit: 5 * time.Minute,
			Make: func(r *Run) string {
				scenario, err := filepath.Abs("testdata/quick.yaml")
				Expect(err).NotTo(HaveOccurred())
				other := r.Who.StartRun(scenario, "--real", "2")
				DeferCleanup(func() {
					Expect(other.Wait(3 * time.Minute)).To(BeZero())
					(&Run{Command: other}).complete()
					other.LeavesNothing(20 * time.Second)
				})
				return "another run was started, process " + strconv.Itoa(other.PID())
			},
		},
		Fault{
			Name: "two runs with the same folder at once", Kind: ofProcess, At: makingCluster, Ends: completes, Limit: 5 * time.Minute,
			Make: func(r *Run) string {
				other := r.Who.Start(r.Args...)
				Expect(other.Wait(time.Minute)).To(Equal(1))
				Expect(other.Both.String()).To(ContainSubstring("it is the log of another run, choose another folder"))
				other.LeavesNothing(20 * time.Second)
				return "another run with the same --out was refused: " + lastWords(other.Both.String())
			},
		},
	)
})
