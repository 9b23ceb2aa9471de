package harness

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// rollouts is what the settler remembers of what brings pods.
type rollouts struct {
	since time.Time          // of the run's begin
	noted map[types.UID]bool // Jobs and pods of Jobs that a note was made of
	// schedules are when CronJobs, by namespace/name, had fired last when it was asked last.
	schedules map[string]time.Time
}

// rolledOut holds when everything that brings pods has those that it asks for, and no pod
// that is on its own waits or is on its way out.
func (s *settler) rolledOut(ctx context.Context, pods []sample.Pod) (bool, string, error) {
	s.keptAlive(pods)
	byOwner := map[types.UID][]sample.Pod{}
	for _, p := range pods {
		byOwner[p.OwnerUID] = append(byOwner[p.OwnerUID], p)
	}
	for _, k := range s.kinds() {
		objects, err := s.items(ctx, k)
		if err != nil {
			return false, "", err
		}
		for _, o := range objects {
			of := o.(metav1.Object)
			if !s.scope.Has(of.GetNamespace()) || s.watch.lost(of.GetNamespace()+"/"+of.GetName()) {
				continue
			}
			if done, waiting := readiness.Done(o, byOwner[of.GetUID()], time.Now(), readiness.Steady); !done {
				return false, waiting, nil
			}
		}
	}
	// After the Jobs: what CronJobs fired until then is among them.
	var err error
	if s.rollouts.schedules, err = s.fired(ctx, metav1.ListOptions{ResourceVersion: "0"}); err != nil {
		return false, "", err
	}
	for _, p := range pods {
		if !s.scope.Has(p.Namespace) {
			continue // an istiod that is others', too
		}
		if p.State == sample.Terminating {
			return false, fmt.Sprintf("pod %s/%s is terminating", p.Namespace, p.Name), nil
		}
		if s.watch.lost(p.Workload) || answeredFor(p) {
			continue
		}
		if done, waiting := readiness.Pod(p, time.Now(), readiness.Steady); !done {
			return false, waiting, nil
		}
	}
	return true, "", nil
}

// answeredFor tells whether the status of what controls the pod says how it is with it.
func answeredFor(p sample.Pod) bool {
	switch p.Owner {
	case "ReplicaSet", "DaemonSet", "StatefulSet", "ReplicationController", "Job":
		return true
	}
	return false
}

// kind lists the objects of one kind that bring pods.
type kind struct {
	name string
	list func(context.Context, metav1.ListOptions) (runtime.Object, error)
}

// kinds are all of them: those of which most meshes have the most come first, and the
// others are read once these are done.
func (s *settler) kinds() []kind {
	const all = metav1.NamespaceAll
	apps, core, batch := s.kube.AppsV1(), s.kube.CoreV1(), s.kube.BatchV1()
	return []kind{
		{"Deployments", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return apps.Deployments(all).List(ctx, o)
		}},
		{"DaemonSets", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return apps.DaemonSets(all).List(ctx, o)
		}},
		{"StatefulSets", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return apps.StatefulSets(all).List(ctx, o)
		}},
		{"ReplicaSets", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return apps.ReplicaSets(all).List(ctx, o)
		}},
		{"ReplicationControllers", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return core.ReplicationControllers(all).List(ctx, o)
		}},
		{"Jobs", func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return batch.Jobs(all).List(ctx, o)
		}},
	}
}

// items lists the objects of a kind from the API server's cache, and notes Jobs that have
// failed. ReplicaSets of a Deployment are left out: it answers for them, the old ones
// included.
func (s *settler) items(ctx context.Context, k kind) ([]runtime.Object, error) {
	list, err := k.list(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list the %s: %w", k.name, err)
	}
	switch l := list.(type) {
	case *appsv1.ReplicaSetList:
		l.Items = slices.DeleteFunc(l.Items, func(r appsv1.ReplicaSet) bool { return metav1.GetControllerOf(&r) != nil })
	case *batchv1.JobList:
		s.failedJobs(l.Items)
	}
	return meta.ExtractList(list)
}

// fired is when each CronJob, by namespace/name, has fired last.
func (s *settler) fired(ctx context.Context, o metav1.ListOptions) (map[string]time.Time, error) {
	l, err := s.kube.BatchV1().CronJobs(metav1.NamespaceAll).List(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("list the CronJobs: %w", err)
	}
	last := map[string]time.Time{}
	for _, c := range l.Items {
		if !s.scope.Has(c.Namespace) {
			continue
		}
		var at time.Time
		if c.Status.LastScheduleTime != nil {
			at = c.Status.LastScheduleTime.Time
		}
		last[c.Namespace+"/"+c.Name] = at
	}
	return last, nil
}

// Disturbed says what moved since the wait for quiet ended, so that what was measured after
// it is of no quiet mesh: CronJobs that have fired, standstills, and what [settler.broken] says.
func (s *settler) Disturbed(ctx context.Context) ([]string, error) {
	found := append(s.stood.since(s.settledAt), s.broken()...)
	if s.observing != nil {
		return found, nil
	}
	now, err := s.fired(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(now)) {
		// One that was made meanwhile, or never asked about, was not compared.
		if before, ok := s.rollouts.schedules[name]; ok && !now[name].Equal(before) {
			found = append(found, fmt.Sprintf("CronJob %s fired at %s", name, now[name].UTC().Format(time.TimeOnly)))
		}
	}
	return found, nil
}

// broken says which proxies and istiods have ended by themselves, and which pods were taken away,
// since the last look of the wait for quiet. A pod that is not ready is no endpoint, so what is
// read then is of a state that no step asks for. In a run that changes nothing it is none: there
// others may.
func (s *settler) broken() []string {
	if s.observing != nil {
		return nil
	}
	return s.watch.broken(s.breaks)
}

// first tells whether a note about an object is the first one.
func (s *settler) first(uid types.UID) bool {
	if s.rollouts.noted[uid] {
		return false
	}
	if s.rollouts.noted == nil {
		s.rollouts.noted = map[types.UID]bool{}
	}
	s.rollouts.noted[uid] = true
	return true
}

// keptAlive notes once of each pod of a Job that its sidecar keeps it from completing.
func (s *settler) keptAlive(pods []sample.Pod) {
	for _, p := range pods {
		if p.State == sample.KeptAlive && s.first(p.UID) {
			s.watch.recorder.event(observations.Info, observations.KeptAlive,
				"its application containers have ended, but its sidecar, which is no native one, runs on: the pod does not complete, and its sidecar counts", p.NamespacedName().String())
		}
	}
}

// failedJobs notes once of each Job made in the run that it has failed.
func (s *settler) failedJobs(jobs []batchv1.Job) {
	for i := range jobs {
		j := &jobs[i]
		if !s.scope.Has(j.Namespace) {
			continue
		}
		if _, failure := readiness.JobEnded(j); failure != "" && !j.CreationTimestamp.Time.Before(s.rollouts.since) && s.first(j.UID) {
			s.watch.recorder.event(observations.Warning, observations.JobFailed, "the Job failed: "+failure, j.Namespace+"/"+j.Name)
		}
	}
}

// wanted are the pods, namespace/name, whose proxies, real or light, must be connected to istiod, and those
// whose proxies are not waited for although they may be: their workload is lost, or they
// have ended and istiod has not noticed. A pilot-agent without an Envoy connects when its
// application asks it to, which a simulated one never does.
func (s *settler) wanted(pods []sample.Pod) (want []string, ignored map[string]bool) {
	ignored = map[string]bool{}
	for _, p := range pods {
		name := p.NamespacedName().String()
		switch {
		case s.watch.lost(p.Workload) || p.State == sample.Ended:
			ignored[name] = true
		case p.State == sample.Draining || p.State == sample.Terminating:
		case p.RealProxy && (p.Kind == observations.ProxySidecar || p.Kind == observations.ProxyGateway || p.Kind == observations.ProxyWaypoint):
			want = append(want, name)
		case p.Light:
			want = append(want, name)
		}
	}
	return want, ignored
}

// measured are the real proxies whose memory counts, a list for each kind: those never
// dumped, or, where all of a kind were dumped, all.
func (s *settler) measured(pods []sample.Pod) [][]sample.Pod {
	never, all := map[string][]sample.Pod{}, map[string][]sample.Pod{}
	for _, p := range pods {
		if !p.RealProxy || p.Deleting || s.watch.lost(p.Workload) {
			continue
		}
		all[p.Kind] = append(all[p.Kind], p)
		if !s.sampler.IsWitness(p.Process) {
			never[p.Kind] = append(never[p.Kind], p)
		}
	}
	var lists [][]sample.Pod
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		if len(never[kind]) > 0 {
			lists = append(lists, never[kind])
		} else {
			lists = append(lists, all[kind])
		}
	}
	return lists
}
