package harness

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/meshbench/meshbench/harness/actions"
	"github.com/meshbench/meshbench/harness/cluster"
	installed "github.com/meshbench/meshbench/harness/mesh"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// adopt goes on with the cluster that an interrupted run used, if it still stands with what was
// made on it. It returns nil where nothing of it does. A cluster that is not as the last
// completed step left it is a [Refusal], and stays as it is.
func (r *run) adopt(ctx context.Context, adopter cluster.Adopter, spec cluster.Spec) (*Provisioned, error) {
	name, id := r.Resume.clusterID()
	anew := r.name
	spec.Name, r.name = name, name
	stands, err := adopter.Stands(ctx, spec, id)
	switch {
	case errors.Is(err, cluster.ErrOtherCluster):
		return nil, refuse("cannot resume %s: %w", r.Dir, err)
	case err != nil:
		return nil, fmt.Errorf("look whether the run's cluster still stands: %w", err)
	case !stands:
		r.name = anew
		return nil, nil
	}
	if r.Resume.Completed == 0 {
		return nil, refuse("cannot resume %s: no step of it was completed, and its cluster still stands: remove what it left (%s), and resume it then", r.Dir, adopter.Remove(spec))
	}
	c, release, err := adopter.Adopt(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("go on with the run's cluster: %w", err)
	}
	r.cluster = c
	version, err := r.checkStanding(ctx, id)
	var refused *Refusal
	if errors.As(err, &refused) {
		err = refuse("cannot resume %s on the cluster that it left: %w\nRemove what it left (%s), and resume it then: its completed steps are replayed", r.Dir, refused.Err, adopter.Remove(spec))
	}
	if err == nil {
		err = r.Resume.accepted()
	}
	if err != nil {
		return nil, errors.Join(err, release())
	}
	mesh := r.Resume.Run.Mesh
	mesh.Istio = version
	if err := os.MkdirAll(spec.Dir, 0o755); err != nil {
		return nil, errors.Join(fmt.Errorf("make the folder for the cluster's logs: %w", err), release())
	}
	made := &Provisioned{Cluster: c, Mesh: mesh, Knative: r.Resume.Run.Knative, adopted: true}
	if shared, ok := c.(cluster.Shared); ok && shared.Revision() != "" {
		there, err := r.Mesh(c.RESTConfig())
		if err != nil {
			return nil, errors.Join(fmt.Errorf("prepare the mesh: %w", err), release())
		}
		if there, ok := there.(found); ok {
			made.Injection[0], made.Injection[1] = there.InjectionLabel()
		}
	}
	return made, nil
}

// clusterID is that of the cluster that the last attempt used, and what it was called.
func (i *Interrupted) clusterID() (name, id string) {
	name, id = i.Run.Resuming.ClusterName, i.Run.Resuming.ClusterID
	for _, rec := range i.contents.Records {
		if rec.Resume != nil && rec.Resume.ClusterID != "" {
			name, id = rec.Resume.ClusterName, rec.Resume.ClusterID
		}
	}
	return name, id
}

// checkStanding looks whether the cluster is as the last completed step left it, and returns
// the version of Istio. It changes nothing.
func (r *run) checkStanding(ctx context.Context, id string) (istio string, err error) {
	if istio, err = r.standingMesh(ctx); err != nil {
		return "", err
	}
	if err := r.connect(istio); err != nil {
		return "", err
	}
	defer r.sampler.Close()
	if err := r.sameCluster(ctx, r.cluster); err != nil {
		return "", err
	}
	switch is := r.clusterID(ctx); {
	case id == "" || is == "":
		return "", refuse("whether it is the run's is not known, since the namespace kube-system may not be read")
	case is != id:
		return "", refuse("it is another one")
	}
	if step := r.begunStep(); step != nil {
		for _, a := range step.Actions {
			if !actions.Repeatable(a.Change) {
				return "", refuse("step %s was interrupted, and its action cannot be done twice: %s", step.Name, a.Change)
			}
		}
		return istio, r.standingWitnesses(ctx, step)
	}
	return istio, r.standingState(ctx)
}

// begunStep is the step that had begun and was not completed; nil for none.
func (r *run) begunStep() *scenarios.Step {
	if !r.Resume.begun() {
		return nil
	}
	return &r.Scenario.Steps[r.Resume.Completed]
}

// standingMesh is the version of Istio on the cluster, which must be that of the last completed
// step.
func (r *run) standingMesh(ctx context.Context) (string, error) {
	want := r.Resume.Run.Mesh.Istio
	for _, step := range r.Scenario.Steps[:r.Resume.Completed] {
		for _, a := range step.Actions {
			if to, ok := a.Change.(*scenarios.Upgrade); ok {
				want = to.Istio
			}
		}
	}
	planes, err := installed.Installed(ctx, r.cluster.RESTConfig())
	if err != nil {
		return "", fmt.Errorf("look for Istio on the run's cluster: %w", err)
	}
	var there []string
	for _, p := range planes {
		there = append(there, p.Versions...)
	}
	if !slices.Contains(there, want) {
		return "", refuse("it has Istio %s, and the run's is %s", orNone(strings.Join(there, ", ")), want)
	}
	return want, nil
}

// objects are those of the last completed step; nil where none were recorded.
func (i *Interrupted) objects() (found *observations.Objects) {
	for _, rec := range i.contents.Records {
		if rec.Objects != nil && rec.Step != nil && *rec.Step == i.Completed-1 {
			found = rec.Objects
		}
	}
	return found
}

// proxies are the witnesses of the last completed step.
func (i *Interrupted) proxies() (found []observations.Proxy) {
	for _, rec := range i.contents.Records {
		if rec.Proxy != nil && rec.Step != nil && *rec.Step == i.Completed-1 {
			found = append(found, *rec.Proxy)
		}
	}
	return found
}

// objectsDiffer says in what two counts of objects differ; "" for nothing. Nodes that are
// somebody else's come and go.
func objectsDiffer(was, is observations.Objects, fixed bool) string {
	var parts []string
	for _, x := range []struct {
		what    string
		was, is int
	}{
		{"nodes", was.Nodes, is.Nodes}, {"pods", was.Pods, is.Pods}, {"Services", was.Services, is.Services},
		{"sidecars", was.Sidecars, is.Sidecars}, {"real sidecars", was.RealSidecars, is.RealSidecars}, {"light sidecars", was.LightSidecars, is.LightSidecars},
		{"gateways", was.Gateways, is.Gateways}, {"waypoints", was.Waypoints, is.Waypoints},
	} {
		if x.was != x.is && (!fixed || x.what != "nodes") {
			parts = append(parts, fmt.Sprintf("%d %s, were %d", x.is, x.what, x.was))
		}
	}
	return strings.Join(parts, "; ")
}

// standingState refuses a cluster whose objects, or the configuration of whose witnesses, are not
// those of the last completed step.
func (r *run) standingState(ctx context.Context) error {
	if was := r.Resume.objects(); was != nil {
		is, err := r.sampler.Objects(ctx)
		if err != nil {
			return err
		}
		if text := objectsDiffer(*was, is, r.skips.fixed != ""); text != "" {
			return refuse("it does not hold what it held at the end of step %s: %s", r.Scenario.Steps[r.Resume.Completed-1].Name, text)
		}
	}
	pods, err := r.standingProxies(ctx)
	if err != nil || len(pods) == 0 {
		return err
	}
	dir, err := os.MkdirTemp("", "meshbench-resume-")
	if err != nil {
		return fmt.Errorf("make a folder for dumps: %w", err)
	}
	defer os.RemoveAll(dir)
	found, err := r.sampler.Witnesses(ctx, pods, dir, "dumps")
	if err != nil {
		return err
	}
	for i, was := range r.Resume.proxies() {
		if is := found[i]; is.Rows != was.Rows || is.Objects != was.Objects {
			return refuse("the configuration of %s/%s is not that of the end of step %s: %+v, was %+v", is.Namespace, is.Pod, r.Scenario.Steps[r.Resume.Completed-1].Name, is.Rows, was.Rows)
		}
	}
	return nil
}

// standingProxies are the witnesses of the last completed step, in its order, each of which must
// be there.
func (r *run) standingProxies(ctx context.Context) ([]sample.Pod, error) {
	pods, err := r.sampler.Pods(ctx)
	if err != nil {
		return nil, err
	}
	var found []sample.Pod
	for _, was := range r.Resume.proxies() {
		i := slices.IndexFunc(pods, func(p sample.Pod) bool {
			return p.Namespace == r.onCluster(was.Namespace) && p.Name == was.Pod && p.RealProxy && !p.Deleting
		})
		if i < 0 {
			return nil, refuse("pod %s/%s, whose configuration was counted at the end of step %s, is gone", was.Namespace, was.Pod, r.Scenario.Steps[r.Resume.Completed-1].Name)
		}
		found = append(found, pods[i])
	}
	return found, nil
}

// standingWitnesses refuses a cluster without the witnesses of the last completed step; where the
// step that had begun may have taken pods away, without their workloads, unless it deletes objects.
// What else there is depends on how far that step had come.
func (r *run) standingWitnesses(ctx context.Context, begun *scenarios.Step) error {
	changes := func(is func(scenarios.Change) bool) bool {
		return slices.ContainsFunc(begun.Actions, func(a scenarios.Action) bool { return is(a.Change) })
	}
	if !changes(actions.Removes) {
		_, err := r.standingProxies(ctx)
		return err
	}
	if changes(func(c scenarios.Change) bool { _, deletes := c.(*scenarios.Delete); return deletes }) {
		return nil
	}
	for _, was := range r.Resume.proxies() {
		there, err := hasWorkload(ctx, r.client, r.onCluster(was.Namespace), strings.TrimPrefix(was.Workload, was.Namespace+"/"))
		if err != nil {
			return err
		}
		if !there {
			return refuse("workload %s, a sidecar of which was counted at the end of step %s, is gone", was.Workload, r.Scenario.Steps[r.Resume.Completed-1].Name)
		}
	}
	return nil
}

// hasWorkload tells whether a workload of any kind is there, or may be, of a kind that may not be
// read.
func hasWorkload(ctx context.Context, client kubernetes.Interface, namespace, name string) (bool, error) {
	apps, batch, core, o := client.AppsV1(), client.BatchV1(), client.CoreV1(), metav1.GetOptions{}
	for _, get := range []func() error{
		func() error { _, err := apps.Deployments(namespace).Get(ctx, name, o); return err },
		func() error { _, err := apps.StatefulSets(namespace).Get(ctx, name, o); return err },
		func() error { _, err := apps.DaemonSets(namespace).Get(ctx, name, o); return err },
		func() error { _, err := apps.ReplicaSets(namespace).Get(ctx, name, o); return err },
		func() error { _, err := batch.Jobs(namespace).Get(ctx, name, o); return err },
		func() error { _, err := batch.CronJobs(namespace).Get(ctx, name, o); return err },
		func() error { _, err := core.ReplicationControllers(namespace).Get(ctx, name, o); return err },
		func() error { _, err := core.Pods(namespace).Get(ctx, name, o); return err },
	} {
		switch err := get(); {
		case err == nil, apierrors.IsForbidden(err):
			return true, nil
		case !apierrors.IsNotFound(err):
			return false, fmt.Errorf("look for workload %s/%s: %w", namespace, name, err)
		}
	}
	return false, nil
}

// rememberStanding takes in what the run knew of the processes that still run: those whose
// configuration was dumped, and the ends that were recorded.
func (r *run) rememberStanding(ctx context.Context) error {
	pods, err := r.sampler.Pods(ctx)
	if err != nil {
		return err
	}
	dumped := map[string]bool{}
	settled := false
	for _, rec := range slices.Concat(r.Resume.contents.Records, r.Resume.contents.UnderWay()) {
		if rec.Proxy != nil {
			dumped[r.onCluster(rec.Proxy.Namespace)+"/"+rec.Proxy.Pod] = true
		}
	}
	for _, rec := range r.Resume.contents.UnderWay() {
		settled = settled || rec.Settle != nil
	}
	for _, p := range pods {
		if dumped[p.NamespacedName().String()] {
			r.sampler.MarkWitness(p.Process)
		}
	}
	if settled {
		// A dump may have been under way whose record was not written.
		for _, p := range r.settler.witnesses.among(pods) {
			r.sampler.MarkWitness(p.Process)
		}
	}
	for _, rec := range r.Resume.contents.Records {
		if end := rec.Restart; end != nil {
			r.watch.recall(r.onCluster(end.Namespace), r.workloadOnCluster(end.Workload), end)
		}
		if v := rec.Revisions; v != nil && !v.Running {
			r.watch.Load(r.onCluster(v.Namespace)+"/"+v.Service, v.Count)
		}
	}
	if started := r.Resume.contents.Records[0].Time; !started.IsZero() {
		r.settler.rollouts.since = started
	}
	return nil
}

// workloadOnCluster is a workload, namespace/name, by its name on the cluster.
func (r *run) workloadOnCluster(workload string) string {
	namespace, name, _ := strings.Cut(workload, "/")
	return r.onCluster(namespace) + "/" + name
}
