package scenarios

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/meshbench/meshbench/internal/simulate"
)

// Job creates a Job. It has taken effect when the application containers of its pods have
// ended, or run where Lasts says how long they do. A classic sidecar outlives them and keeps
// the pod alive; a native one ends with them.
type Job struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Name is a DNS subdomain of at most 63 bytes: it is also the value of a label.
	Name string `yaml:"name" jsonschema:"required"`
	// Image is the container's. A cluster without that program simulates the container.
	Image      string `yaml:"image" jsonschema:"required"`
	JobOptions `yaml:",inline"`
	PodOptions `yaml:",inline"`
}

// JobOptions are what [Job] and [CronJob] say of a Job.
type JobOptions struct {
	// Lasts is how long a simulated container runs, 5s. By default it ends after a second.
	Lasts time.Duration `yaml:"lasts,omitempty"`
	// ExitCode is the code with which it ends; 0 by default.
	ExitCode int `yaml:"exitCode,omitempty"`
	// Completions is the number of pods that must succeed and Parallelism how many run at
	// one time; 1 by default.
	Completions int `yaml:"completions" jsonschema:"default=1"`
	Parallelism int `yaml:"parallelism" jsonschema:"default=1"`
	// RestartPolicy is Never, so that each failure leaves a failed pod, or OnFailure, so that
	// the container is started again in its pod.
	RestartPolicy string `yaml:"restartPolicy" jsonschema:"enum=Never,enum=OnFailure,default=Never"`
	// BackoffLimit is the number of retries after failures, each later than the one before.
	// It defaults to 0, where Kubernetes's default is 6.
	BackoffLimit int `yaml:"backoffLimit,omitempty"`
}

// Word returns job.
func (*Job) Word() string { return "job" }

// String describes the change in a few words.
func (j *Job) String() string {
	return fmt.Sprintf("create Job %s/%s (%s) of %s", j.Namespace, j.Name, j.Image, j.words())
}

// words describes the pods.
func (j *JobOptions) words() string {
	text := "1 pod"
	if j.Completions > 1 {
		text = fmt.Sprintf("%d pods", j.Completions)
	}
	if j.Parallelism < j.Completions {
		text += fmt.Sprintf(", %d at a time", j.Parallelism)
	}
	if j.Lasts > 0 {
		text += fmt.Sprintf(", lasting %s", j.Lasts)
	}
	if j.ExitCode != 0 {
		text += fmt.Sprintf(", ending with code %d", j.ExitCode)
	}
	return text
}

func (j *Job) setDefaults() { j.JobOptions.setDefaults() }

func (j *JobOptions) setDefaults() { j.Completions, j.Parallelism, j.RestartPolicy = 1, 1, "Never" }

// Annotate returns the annotations of a pod with those by which the simulated containers
// learn how long they last and how they end.
func (j *JobOptions) Annotate(pod map[string]string) map[string]string {
	all := map[string]string{}
	if j.Lasts > 0 {
		all[simulate.Lasts] = j.Lasts.String()
	}
	if j.ExitCode != 0 {
		all[simulate.ExitCode] = strconv.Itoa(j.ExitCode)
	}
	maps.Copy(all, pod)
	return all
}

func (j *Job) place(p *placement) { p.rename(&j.Namespace) }

func (j *Job) check(c *checker) needs {
	c.job(&j.JobOptions, j.Annotations)
	o := object{"Job", j.Namespace, j.Name}
	need := c.makes("batch/v1", o, j.Image, &j.PodOptions, j.workload())
	if w, made := c.workloads[o]; made && j.ends(c.current(), w.injected) {
		// Its pods have ended when the action is done, and leave their room to others.
		w.replicas = 0
		c.run("", o, w, 0)
	}
	return need
}

// ends reports whether the pods end by themselves within the action: they are not told to
// last, and no classic sidecar keeps them alive.
func (j *JobOptions) ends(mesh Mesh, injected bool) bool {
	native := fmt.Sprint(mesh.value("pilot", "env", "ENABLE_NATIVE_SIDECARS")) == "true"
	return j.Lasts == 0 && (!injected || native)
}

// workload are the pods that run at one time.
func (j *JobOptions) workload() workload {
	return workload{replicas: max(0, min(j.Parallelism, j.Completions)), sizedBy: "parallelism"}
}

// job checks the options of a Job. pod are the annotations of its pods.
func (c *checker) job(j *JobOptions, pod map[string]string) {
	c.number("completions", j.Completions, 1, maxNumber)
	c.number("parallelism", j.Parallelism, 1, maxNumber)
	c.number("exitCode", j.ExitCode, 0, 255)
	c.number("backoffLimit", j.BackoffLimit, 0, 6)
	if !slices.Contains([]string{"Never", "OnFailure"}, j.RestartPolicy) {
		c.wrong("restartPolicy", "unknown policy %q; want Never or OnFailure: the pods of a Job end", j.RestartPolicy)
	}
	for field, x := range map[string]struct {
		set bool
		key string
	}{"lasts": {j.Lasts > 0, simulate.Lasts}, "exitCode": {j.ExitCode != 0, simulate.ExitCode}} {
		if _, twice := pod[x.key]; twice && x.set {
			c.wrong(join("annotations", x.key), "%s says it already; omit one of them", field)
		}
	}
}
