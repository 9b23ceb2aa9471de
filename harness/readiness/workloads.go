package readiness

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"github.com/meshbench/meshbench/harness/sample"
)

// Steady is how much longer containers must be told to last that a mesh may be measured
// with: several times what reading it takes.
const Steady = 15 * time.Second

// Done tells whether an object that brings pods has what it asks for, and if not, what is
// waited for:
//
//   - a Deployment, DaemonSet, StatefulSet, ReplicaSet or ReplicationController by its own
//     status;
//   - a Job when its application containers have ended, or run and are told to last for at
//     least as long as lasting; a sidecar that keeps its pod from completing ends no wait;
//   - a CronJob at once: its Jobs tell what becomes of them;
//   - a pod when it has ended, or is ready.
//
// pods are those that the object controls; only a Job is asked for them. Any other object is
// done.
func Done(object runtime.Object, pods []sample.Pod, now time.Time, lasting time.Duration) (done bool, waiting string) {
	switch o := object.(type) {
	case *appsv1.Deployment:
		return Rollout(o)
	case *appsv1.DaemonSet:
		return daemons(o)
	case *appsv1.StatefulSet:
		return stateful(o)
	case *appsv1.ReplicaSet:
		return replicas("ReplicaSet", &o.ObjectMeta, o.Spec.Replicas, o.Status.ObservedGeneration, o.Status.Replicas, o.Status.AvailableReplicas)
	case *corev1.ReplicationController:
		return replicas("ReplicationController", &o.ObjectMeta, o.Spec.Replicas, o.Status.ObservedGeneration, o.Status.Replicas, o.Status.AvailableReplicas)
	case *batchv1.Job:
		return job(o, pods, now, lasting)
	case *corev1.Pod:
		return Pod(sample.PodFrom(o), now, lasting)
	}
	return true, ""
}

// daemons is whether a DaemonSet has a pod of its newest template on every node that it is
// for and none elsewhere; under OnDelete old pods stay until somebody deletes them.
func daemons(d *appsv1.DaemonSet) (done bool, waiting string) {
	s := d.Status
	ready := s.NumberAvailable
	if d.Spec.UpdateStrategy.Type != appsv1.OnDeleteDaemonSetStrategyType {
		ready = min(ready, s.UpdatedNumberScheduled)
	}
	switch {
	case s.ObservedGeneration < d.Generation:
		return false, fmt.Sprintf("DaemonSet %s/%s: its controller has not seen it", d.Namespace, d.Name)
	case ready < s.DesiredNumberScheduled:
		return false, fmt.Sprintf("DaemonSet %s/%s: %d of %d pods ready", d.Namespace, d.Name, ready, s.DesiredNumberScheduled)
	case s.NumberMisscheduled > 0:
		return false, fmt.Sprintf("DaemonSet %s/%s: %d pods are on nodes that they are not for", d.Namespace, d.Name, s.NumberMisscheduled)
	}
	return true, ""
}

// stateful is whether a StatefulSet's pods are there, and of its newest template where its
// strategy makes them so: not under OnDelete, nor those below a partition.
func stateful(s *appsv1.StatefulSet) (done bool, waiting string) {
	want, status := one(s.Spec.Replicas), s.Status
	done, waiting = replicas("StatefulSet", &s.ObjectMeta, &want, status.ObservedGeneration, status.Replicas, status.AvailableReplicas)
	if !done || s.Spec.UpdateStrategy.Type == appsv1.OnDeleteStatefulSetStrategyType {
		return done, waiting
	}
	updated := want
	if r := s.Spec.UpdateStrategy.RollingUpdate; r != nil && r.Partition != nil {
		updated = max(0, want-*r.Partition)
	}
	if status.CurrentRevision != status.UpdateRevision && status.UpdatedReplicas < updated {
		return false, fmt.Sprintf("StatefulSet %s/%s: %d of %d pods updated", s.Namespace, s.Name, status.UpdatedReplicas, updated)
	}
	return true, ""
}

// replicas is whether as many pods are there and available as are asked for.
func replicas(kind string, o *metav1.ObjectMeta, asked *int32, observed int64, there, available int32) (done bool, waiting string) {
	switch want := one(asked); {
	case observed < o.Generation:
		return false, fmt.Sprintf("%s %s/%s: its controller has not seen it", kind, o.Namespace, o.Name)
	case there != want || available != want:
		return false, fmt.Sprintf("%s %s/%s: %d of %d pods ready", kind, o.Namespace, o.Name, available, want)
	}
	return true, ""
}

// one is a number that is 1 where it is not stated.
func one(n *int32) int32 {
	if n == nil {
		return 1
	}
	return *n
}

// JobEnded tells whether a Job has completed or failed, and the reason of a failure.
func JobEnded(j *batchv1.Job) (ended bool, failure string) {
	for _, c := range j.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			return true, ""
		case c.Type == batchv1.JobFailed:
			return true, c.Reason
		}
	}
	return false, ""
}

func job(j *batchv1.Job, pods []sample.Pod, now time.Time, lasting time.Duration) (done bool, waiting string) {
	ended, _ := JobEnded(j)
	want := one(j.Spec.Parallelism)
	if c := j.Spec.Completions; c != nil {
		want = min(want, *c-j.Status.Succeeded)
	}
	if ended || j.Spec.Suspend != nil && *j.Spec.Suspend {
		want = 0
	}
	live := int32(0)
	for _, p := range pods {
		if p.State == sample.Ended {
			continue
		}
		live++
		switch {
		case p.State == sample.KeptAlive:
		case p.State == sample.Running && p.AppsLast.After(now.Add(lasting)) && p.Ready:
		case p.State == sample.Running && p.AppsLast.After(now.Add(lasting)):
			return false, fmt.Sprintf("Job %s/%s: pod %s is not ready", j.Namespace, j.Name, p.Name)
		case p.State == sample.Running && p.AppsLast.IsZero():
			return false, fmt.Sprintf("Job %s/%s: the containers of pod %s run, and nothing says that they last (annotation simulate.meshbench.dev/lasts)", j.Namespace, j.Name, p.Name)
		case p.State == sample.Running:
			return false, fmt.Sprintf("Job %s/%s: the containers of pod %s end soon", j.Namespace, j.Name, p.Name)
		default:
			_, waiting := Pod(p, now, lasting)
			return false, fmt.Sprintf("Job %s/%s: %s", j.Namespace, j.Name, waiting)
		}
	}
	if live < want {
		return false, fmt.Sprintf("Job %s/%s: %d of %d pods run", j.Namespace, j.Name, live, want)
	}
	return true, ""
}

// Pod is whether a pod that nothing answers for is as it will stay: ended, or ready and not
// told to end within lasting.
func Pod(p sample.Pod, now time.Time, lasting time.Duration) (done bool, waiting string) {
	name := "pod " + p.NamespacedName().String()
	switch {
	case p.State == sample.Ended, p.State == sample.KeptAlive:
		return true, ""
	case p.State == sample.Terminating:
		return false, name + " is terminating"
	case p.State == sample.Draining && p.RealProxy && p.Grace > 0:
		over := now.Sub(p.AppsEnded.Add(p.Grace))
		if over > 0 {
			return false, fmt.Sprintf("%s: its proxy should have ended %.0f s ago", name, over.Seconds())
		}
		return false, fmt.Sprintf("%s: its proxy drains, for %.0f s at most", name, (-over).Seconds())
	case p.State == sample.Draining:
		return false, name + ": its last containers are ending"
	case p.State == sample.Waiting && p.Why != "":
		return false, name + " waits: " + p.Why
	case !p.Ready:
		return false, name + " is not ready"
	case !p.AppsLast.IsZero() && p.AppsLast.Before(now.Add(lasting)):
		return false, name + ": its containers end soon"
	}
	return true, ""
}

// Await waits until an object that brings pods has what it asks for ([Done]; containers that
// are told to last need only run) and has no other pods. It tells status how far it is, and
// what a pod that is not ready says of itself when nothing has changed for half a minute. It
// gives up when pods are unschedulable for three minutes and nothing else goes on. When ctx
// ends, the error wraps ctx's cause. An object of any other kind is not waited for.
func Await(ctx context.Context, client kubernetes.Interface, kind schema.GroupKind, namespace, name string, status func(string, ...any)) error {
	get, ok := getters(client)[kind.String()]
	switch {
	case !ok:
		return nil
	case kind.Kind == "Deployment":
		return patiently(ctx, client, status, func(ctx context.Context) (bool, string, error) {
			return rollout(ctx, client, namespace, name)
		}, func(ctx context.Context) ([]corev1.Pod, error) {
			return podsNamed(ctx, client, namespace, name)
		})
	}
	owned := func(ctx context.Context) (runtime.Object, []corev1.Pod, error) {
		object, err := get(ctx, namespace, name)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s %s/%s: %w", kind.Kind, namespace, name, err)
		}
		if pod, ok := object.(*corev1.Pod); ok {
			return object, []corev1.Pod{*pod}, nil
		}
		pods, err := podsControlledBy(ctx, client, object.(metav1.Object))
		return object, pods, err
	}
	return patiently(ctx, client, status, func(ctx context.Context) (bool, string, error) {
		object, pods, err := owned(ctx)
		if apierrors.IsNotFound(err) && kind.Kind == "Job" {
			return true, "", nil // ended, and deleted for its ttlSecondsAfterFinished
		}
		if err != nil {
			return false, "", err
		}
		known := make([]sample.Pod, len(pods))
		terminating := 0
		for i := range pods {
			if known[i] = sample.PodFrom(&pods[i]); known[i].State == sample.Terminating {
				terminating++
			}
		}
		done, waiting := Done(object, known, time.Now(), 0)
		if done && terminating > 0 {
			done, waiting = false, fmt.Sprintf("%s %s/%s: %d pods are still terminating", kind.Kind, namespace, name, terminating)
		}
		return done, waiting, nil
	}, func(ctx context.Context) ([]corev1.Pod, error) {
		_, pods, err := owned(ctx)
		return pods, err
	})
}

// getters read the kinds of objects that bring pods.
func getters(client kubernetes.Interface) map[string]func(ctx context.Context, namespace, name string) (runtime.Object, error) {
	o := metav1.GetOptions{}
	return map[string]func(ctx context.Context, namespace, name string) (runtime.Object, error){
		"Deployment.apps": func(ctx context.Context, ns, name string) (runtime.Object, error) {
			return client.AppsV1().Deployments(ns).Get(ctx, name, o)
		},
		"DaemonSet.apps": func(ctx context.Context, ns, name string) (runtime.Object, error) {
			return client.AppsV1().DaemonSets(ns).Get(ctx, name, o)
		},
		"StatefulSet.apps": func(ctx context.Context, ns, name string) (runtime.Object, error) {
			return client.AppsV1().StatefulSets(ns).Get(ctx, name, o)
		},
		"ReplicaSet.apps": func(ctx context.Context, ns, name string) (runtime.Object, error) {
			return client.AppsV1().ReplicaSets(ns).Get(ctx, name, o)
		},
		"ReplicationController": func(ctx context.Context, ns, name string) (runtime.Object, error) {
			return client.CoreV1().ReplicationControllers(ns).Get(ctx, name, o)
		},
		"Job.batch": func(ctx context.Context, ns, name string) (runtime.Object, error) {
			return client.BatchV1().Jobs(ns).Get(ctx, name, o)
		},
		"Pod": func(ctx context.Context, ns, name string) (runtime.Object, error) {
			return client.CoreV1().Pods(ns).Get(ctx, name, o)
		},
	}
}

// podsControlledBy lists the pods that an object controls, terminating ones included.
func podsControlledBy(ctx context.Context, client kubernetes.Interface, object metav1.Object) ([]corev1.Pod, error) {
	// Resource version 0 lets the API server answer from its cache.
	all, err := client.CoreV1().Pods(object.GetNamespace()).List(ctx, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return nil, fmt.Errorf("list the pods of %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	var pods []corev1.Pod
	for _, p := range all.Items {
		if metav1.IsControlledBy(&p, object) {
			pods = append(pods, p)
		}
	}
	return pods, nil
}
