package scenarios

import (
	"fmt"
	"strings"

	"github.com/robfig/cron/v3"
	"k8s.io/apimachinery/pkg/util/validation"
)

// CronJob creates a CronJob, whose Jobs are as those of [Job]. It has taken effect when it
// exists. Its pods count while they live: a step in which one comes or goes may not settle.
type CronJob struct {
	Namespace string `yaml:"namespace" jsonschema:"required"`
	// Name is a DNS subdomain of at most 52 bytes, since Jobs have it and a number.
	Name string `yaml:"name" jsonschema:"required"`
	// Image is the container's. A cluster without that program simulates the container.
	Image string `yaml:"image" jsonschema:"required"`
	// Schedule is when a Job starts, in the five fields of cron, "*/5 * * * *", by UTC.
	Schedule string `yaml:"schedule" jsonschema:"required"`
	// Suspended creates it without any Job, until somebody else resumes it.
	Suspended  bool `yaml:"suspended,omitempty"`
	JobOptions `yaml:",inline"`
	PodOptions `yaml:",inline"`
}

// Word returns cronjob.
func (*CronJob) Word() string { return "cronjob" }

// String describes the change in a few words.
func (j *CronJob) String() string {
	text := fmt.Sprintf("create CronJob %s/%s (%s) at %q of %s", j.Namespace, j.Name, j.Image, j.Schedule, j.words())
	if j.Suspended {
		text += ", suspended"
	}
	return text
}

func (j *CronJob) setDefaults() { j.JobOptions.setDefaults() }

func (j *CronJob) place(p *placement) { p.rename(&j.Namespace) }

func (j *CronJob) check(c *checker) needs {
	c.job(&j.JobOptions, j.Annotations)
	if len(j.Name) > 52 {
		c.wrong("name", "Kubernetes rejects %q: must be no more than 52 bytes, since Jobs have it and a number", j.Name)
	}
	c.name("name", j.Name, validation.IsDNS1123Subdomain)
	if j.Schedule != "" {
		c.schedule(j.Schedule)
	}
	w := j.workload()
	if j.Suspended {
		w.replicas = 0
	}
	return c.makes("batch/v1", object{"CronJob", j.Namespace, j.Name}, j.Image, &j.PodOptions, w)
}

// schedule checks a schedule with the library that Kubernetes checks it with.
func (c *checker) schedule(text string) {
	if strings.Contains(text, "TZ") {
		c.wrong("schedule", "%q names a time zone, which Kubernetes rejects; it is read by UTC", text)
	} else if _, err := cron.ParseStandard(text); err != nil {
		c.wrong("schedule", "invalid schedule %q: %v; want minute, hour, day, month and weekday, e.g. \"*/5 * * * *\"", text, err)
	}
}
