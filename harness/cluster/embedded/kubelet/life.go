package kubelet

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/internal/simulate"
)

// Reasons of failed pods.
const (
	reasonDeadline = "DeadlineExceeded"
	// reasonRefused is of a pod whose annotations about simulated containers cannot be read.
	reasonRefused = "SimulationRefused"
)

// lives are the lives of the pod's containers that do not run, by name.
func lives(pod *corev1.Pod, programs map[string]program) (map[string]simulate.Life, error) {
	found := map[string]simulate.Life{}
	note := func(c corev1.Container, of func() (simulate.Life, error)) error {
		if _, isReal := programs[c.Name]; isReal {
			return nil
		}
		life, err := of()
		found[c.Name] = life
		return err
	}
	ref := metav1.GetControllerOf(pod)
	job := ref != nil && ref.Kind == "Job"
	for _, c := range pod.Spec.InitContainers {
		if err := note(c, func() (simulate.Life, error) { return simulate.OfInit(pod.Annotations, c.Name, sidecar(c)) }); err != nil {
			return nil, err
		}
	}
	for _, c := range pod.Spec.Containers {
		if err := note(c, func() (simulate.Life, error) { return simulate.Of(pod.Annotations, c.Name, job) }); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// atOnce is the life of an init container that nothing is said of.
var atOnce = simulate.Life{Lasts: 1}

// mortal says whether anything becomes of the pod by itself although none of its containers
// runs: all others need nobody to look after them, and they are many.
func mortal(pod *corev1.Pod, lives map[string]simulate.Life) bool {
	for _, c := range pod.Spec.InitContainers {
		if life := lives[c.Name]; life.Lasts > 0 && life != atOnce {
			return true
		}
	}
	for _, c := range pod.Spec.Containers {
		if lives[c.Name].Lasts > 0 {
			return true
		}
	}
	return pod.Spec.ActiveDeadlineSeconds != nil
}

// stand takes a simulated container for running, or, where it ends at once, for having ended.
func (p *pod) stand(c corev1.Container) {
	now := time.Now()
	o := observation{id: p.simulatedID(c.Name)}
	if p.lives[c.Name] == atOnce {
		o.state = simulatedEnd(o.id, now, now, 0)
	} else {
		o.state.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(now).Rfc3339Copy()}
		o.started, o.ready = true, true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[c.Name] = o
}

// live is the life of a simulated container: it runs for as long as it is told to, and again
// as its restart policy says, until ctx ends. Then it ends well, as an application does that
// ends when it is asked to; its pod, which ends too, is published then.
func (p *pod) live(ctx context.Context, c corev1.Container, policy corev1.RestartPolicy) {
	life, id := p.lives[c.Name], p.simulatedID(c.Name)
	var delay backoff
	for attempt := int32(0); ctx.Err() == nil; attempt++ {
		started := time.Now()
		p.observe(c.Name, func(o *observation) {
			if o.state.Terminated != nil {
				o.last = o.state
			}
			o.id, o.restarts, o.started, o.ready = id, attempt, true, true
			o.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(started).Rfc3339Copy()}}
		})
		if life.Lasts == 0 {
			<-ctx.Done()
		} else {
			sleep(ctx, life.Lasts)
		}
		ended := time.Now()
		end := func(code int32) func(*observation) {
			return func(o *observation) {
				o.state, o.started, o.ready = simulatedEnd(id, started, ended, code), false, false
			}
		}
		if ctx.Err() != nil {
			p.note(c.Name, end(0))
			return
		}
		p.observe(c.Name, end(life.ExitCode))
		if policy == corev1.RestartPolicyNever || policy == corev1.RestartPolicyOnFailure && life.ExitCode == 0 {
			return
		}
		p.backOff(ctx, c.Name, &delay, ended)
	}
}

func (p *pod) simulatedID(container string) string {
	return fmt.Sprintf("%s%s/%s", cluster.SimulatedScheme, p.uid, container)
}

// simulatedEnd is the state of a simulated container that has ended.
func simulatedEnd(id string, started, ended time.Time, code int32) corev1.ContainerState {
	reason := "Completed"
	if code != 0 {
		reason = "Error"
	}
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, Reason: reason, ContainerID: id,
		StartedAt: metav1.NewTime(started).Rfc3339Copy(), FinishedAt: metav1.NewTime(ended).Rfc3339Copy(),
	}}
}

// backOff waits before the next start of a container that ended at finished, and says so.
func (p *pod) backOff(ctx context.Context, container string, delay *backoff, finished time.Time) {
	if wait := delay.remaining(finished, time.Now()); wait > 0 {
		message := fmt.Sprintf("back-off %s restarting failed container=%s pod=%s_%s(%s)",
			delay.delay, container, p.name, p.namespace, p.uid)
		p.waiting(container, reasonBackoff, message)
		p.event(corev1.EventTypeWarning, "BackOff", "%s", message)
		sleep(ctx, wait)
	}
	delay.restarted(time.Now())
}

// expireAfter fails the pod when it has been active for longer than it may be, which the
// returned function prevents.
func (p *pod) expireAfter() (stop func()) {
	seconds := p.object.Spec.ActiveDeadlineSeconds
	if seconds == nil {
		return func() {}
	}
	timer := time.AfterFunc(time.Until(p.since.Add(time.Duration(*seconds)*time.Second)), func() {
		p.mu.Lock()
		p.failure = &failure{reasonDeadline, "Pod was active on the node longer than the specified deadline"}
		p.mu.Unlock()
		p.expire()
	})
	return func() { timer.Stop() }
}

// complete publishes that the pod has reached its last phase, its containers all having
// ended, and gives back what it held. Its object stays until somebody deletes it.
func (p *pod) complete() {
	p.expire()
	p.mu.Lock()
	p.isDone = true
	p.mu.Unlock()
	p.node.manager.chooser.release(p.object)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p.release(ctx)
	p.publish()
}
