package kubelet

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/internal/simulate"
)

const (
	// volumeRefresh is the time between two looks at whether a pod's volumes are still
	// up to date; a kubelet takes about as long.
	volumeRefresh = time.Minute
	// setUpRetry is the time between attempts to set up a pod that waits for something,
	// such as a ConfigMap that is made a moment after its namespace.
	setUpRetry = 250 * time.Millisecond
	// realCost keeps real pods when a ReplicaSet is scaled down: the controller
	// removes pods of less cost first.
	realCost = "100"
	// lightCost does so for light ones, after the real ones.
	lightCost = "50"
)

// pod is a pod of a node.
type pod struct {
	node            *virtualNode
	namespace, name string
	uid             types.UID
	object          *corev1.Pod        // as it was at first; not to be changed
	programs        map[string]program // of the containers that run; nil if it is simulated
	light           *lightSidecar      // nil unless its sidecar is spoken for
	cost            string             // of its deletion, if it has one of its owner's places
	ip              netip.Addr
	since           time.Time
	dir             string // state: volumes, hosts file

	// containers are those that run, and lives those of the others. The maps do not change.
	containers map[string]*container
	lives      map[string]simulate.Life
	mortal     bool // something becomes of it by itself, though it may be simulated
	// mercy ends when those that do not stop are to be killed at once.
	mercy    context.Context
	noMercy  context.CancelFunc
	stopping context.Context // ends when the pod is to end
	stop     context.CancelFunc
	living   context.Context // ends when its containers are to end: with stopping, or before
	expire   context.CancelFunc
	done     chan struct{} // closed when the pod has ended
	released sync.Once     // what it held was given back

	volumes    *volumes   // set before the pod is set up
	publishing sync.Mutex // held around a whole publication, to keep their order

	hosts    sync.Mutex // held around writing the hosts file
	hasHosts bool       // it has been written
	rules    redirection

	translates bool // addresses of Services work in it

	mu          sync.Mutex
	sandbox     Sandbox     // nil until the pod has a network
	latest      *corev1.Pod // as last given by virtual-kubelet; not to be changed
	seen        map[string]observation
	hasNetwork  bool     // of a simulated pod, too
	isDone      bool     // its containers have ended for good
	failure     *failure // nil unless the pod itself was failed
	isEnded     bool
	terminating bool
	grace       time.Duration
}

// newPod makes the pod without starting anything.
func newPod(n *virtualNode, object *corev1.Pod) (*pod, error) {
	p := &pod{
		node:       n,
		namespace:  object.Namespace,
		name:       object.Name,
		uid:        object.UID,
		ip:         n.ip,
		since:      time.Now(),
		dir:        filepath.Join(n.manager.config.Dir, "pods", string(object.UID)),
		containers: map[string]*container{},
		done:       make(chan struct{}),
		object:     object,
		latest:     object,
		seen:       map[string]observation{},
	}
	if !object.Spec.HostNetwork {
		ip, err := n.manager.podIPs.take()
		if err != nil {
			return nil, fmt.Errorf("give pod %s an address: %w", p.key(), err)
		}
		p.ip = ip
	}
	p.mercy, p.noMercy = context.WithCancel(context.Background())
	p.stopping, p.stop = context.WithCancel(context.Background())
	p.living, p.expire = context.WithCancel(p.stopping)
	if s := object.Spec.TerminationGracePeriodSeconds; s != nil {
		p.grace = time.Duration(*s) * time.Second
	}
	found, err := n.manager.programs(object)
	if err == nil {
		p.choose(found)
		p.lives, err = lives(object, p.programs)
	}
	if err != nil {
		p.failure, p.isDone = &failure{reasonRefused, err.Error()}, true
		return p, nil
	}
	p.mortal = mortal(object, p.lives)

	for _, c := range object.Spec.InitContainers {
		if prog, ok := p.programs[c.Name]; ok {
			p.containers[c.Name] = newContainer(p, c, prog, p.initPolicy(c))
		}
	}
	for _, c := range object.Spec.Containers {
		if prog, ok := p.programs[c.Name]; ok {
			p.containers[c.Name] = newContainer(p, c, prog, object.Spec.RestartPolicy)
		}
	}
	return p, nil
}

func (p *pod) key() string { return p.namespace + "/" + p.name }

func (p *pod) isReal() bool { return len(p.programs) > 0 }

// isAlive says whether the pod is looked after by run.
func (p *pod) isAlive() bool { return p.lives != nil && (p.isReal() || p.mortal || p.light != nil) }

// initPolicy is the restart policy of an init container.
func (p *pod) initPolicy(c corev1.Container) corev1.RestartPolicy {
	switch {
	case sidecar(c):
		return corev1.RestartPolicyAlways
	case p.object.Spec.RestartPolicy == corev1.RestartPolicyNever:
		return corev1.RestartPolicyNever
	}
	return corev1.RestartPolicyOnFailure
}

// logFile is where an attempt of a container writes. Logs outlive their pod.
func (p *pod) logFile(container string, attempt int) string {
	return filepath.Join(p.node.manager.config.Logs,
		p.namespace+"_"+p.name+"_"+string(p.uid), container, strconv.Itoa(attempt)+".log")
}

func (p *pod) gracePeriod() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.grace
}

// start makes the pod run. A simulated pod runs when start returns.
func (p *pod) start() {
	switch {
	case p.isAlive():
		go p.run()
		return
	case p.lives == nil:
		p.event(corev1.EventTypeWarning, reasonRefused, "%s", p.failure.message)
		p.complete()
		return
	}
	p.mu.Lock()
	p.hasNetwork = true
	p.mu.Unlock()
	for _, c := range slices.Concat(p.object.Spec.InitContainers, p.object.Spec.Containers) {
		p.stand(c)
	}
	p.publish()
}

// run is the life of a pod that is real, does not last or is spoken for.
func (p *pod) run() {
	defer close(p.done)
	defer p.expireAfter()()
	if p.isReal() {
		p.publish()
	} else {
		p.mu.Lock()
		p.hasNetwork = true
		p.mu.Unlock()
	}
	if !p.isReal() || p.setUp() {
		var helpers sync.WaitGroup
		if p.isReal() {
			helpers.Go(p.refresh)
		}
		p.runContainers()
		p.expire()
		helpers.Wait()
	}
	if p.stopping.Err() == nil {
		p.complete()
		<-p.stopping.Done()
	}
	p.tearDown()
}

// setUp makes the pod's network and volumes, and reports whether it could before the pod is
// to end.
func (p *pod) setUp() bool {
	p.volumes = &volumes{
		dir:         filepath.Join(p.dir, "volumes"),
		allocatable: p.node.allocatable,
		objects:     p.node.manager,
		tokens:      p.node.manager,
		now:         time.Now,
	}
	var last string
	for p.living.Err() == nil {
		err := p.trySetUp()
		if err == nil {
			return true
		}
		if p.living.Err() == nil && err.Error() != last { // said once
			last = err.Error()
			p.event(corev1.EventTypeWarning, "FailedMount", "%v", err)
		}
		sleep(p.living, setUpRetry)
	}
	return false
}

func (p *pod) trySetUp() error {
	if p.sandbox == nil {
		sandbox, err := p.node.manager.config.Runtime.CreatePod(p.living, runtime.PodConfig{
			UID:         string(p.uid),
			Namespace:   p.namespace,
			Name:        p.name,
			Hostname:    hostname(p.object),
			IP:          p.ip,
			HostNetwork: p.object.Spec.HostNetwork,
		})
		if err != nil {
			return fmt.Errorf("create the network of pod %s: %w", p.key(), err)
		}
		p.mu.Lock()
		p.sandbox, p.volumes.owner = sandbox, p.owner(sandbox.UserID())
		p.hasNetwork = true
		p.mu.Unlock()
		p.publish()
	}
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return err
	}
	if err := p.volumes.update(p.living, p.withStatus()); err != nil {
		return err
	}
	if err := p.writeResolv(); err != nil {
		return err
	}
	if err := p.translate(); err != nil {
		return err
	}
	return p.writeHosts(true)
}

// refresh keeps the pod's files up to date until the pod is to end.
func (p *pod) refresh() {
	for {
		sleep(p.living, volumeRefresh)
		if p.living.Err() != nil {
			return
		}
		p.refreshOnce()
	}
}

func (p *pod) refreshOnce() {
	if err := p.volumes.update(p.living, p.withStatus()); err != nil && p.living.Err() == nil {
		p.event(corev1.EventTypeWarning, "FailedMount", "%v", err)
	}
}

// runContainers runs the pod's containers, init containers first, until the pod is to
// end or all have ended for good.
func (p *pod) runContainers() {
	spec := p.object.Spec
	// Sidecars among the init containers end after the others, the last one first.
	var endSidecars []func()
	defer func() {
		for _, end := range slices.Backward(endSidecars) {
			end()
		}
	}()
	for _, c := range spec.InitContainers {
		running, isReal := p.containers[c.Name]
		if !isReal && p.lives[c.Name] == atOnce {
			p.stand(c)
			continue
		}
		run, started := func(ctx context.Context) { p.live(ctx, c, p.initPolicy(c)) }, (chan struct{})(nil)
		switch {
		case isReal:
			run, started = running.run, running.started.c
		case p.isLight(c.Name):
			run, started = func(ctx context.Context) { p.speak(ctx, c) }, p.light.ready.c
		}
		if !sidecar(c) {
			run(p.living)
			p.mu.Lock()
			done := succeeded(p.seen[c.Name])
			p.mu.Unlock()
			if !done {
				return
			}
			continue
		}
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			run(ctx)
		}()
		endSidecars = append(endSidecars, func() { cancel(); <-ended })
		if started == nil {
			continue
		}
		select {
		case <-started:
		case <-p.living.Done():
			return
		}
	}

	var all sync.WaitGroup
	defer all.Wait()
	for _, c := range spec.Containers {
		if p.isLight(c.Name) {
			all.Go(func() { p.speak(p.living, c) })
			if c.Lifecycle != nil && c.Lifecycle.PostStart != nil { // holds the application back until it is ready
				select {
				case <-p.light.ready.c:
				case <-p.living.Done():
					return
				}
			}
			continue
		}
		running, ok := p.containers[c.Name]
		if !ok {
			all.Go(func() { p.live(p.living, c, spec.RestartPolicy) })
			continue
		}
		all.Go(func() { running.run(p.living) })
		// The next container waits for this one's postStart hook: that is how an
		// application is held until its proxy is up.
		select {
		case <-running.begun.c:
		case <-p.living.Done():
			return
		}
	}
}

// terminate begins the pod's end; done is closed when it has come. Of several calls the
// shortest grace period holds.
func (p *pod) terminate(grace time.Duration) {
	p.mu.Lock()
	again := p.terminating
	p.terminating = true
	shorter := again && grace < p.grace
	if !again || shorter {
		p.grace = grace
	}
	p.mu.Unlock()
	if shorter {
		time.AfterFunc(grace, p.noMercy)
	}
	if again {
		return
	}
	p.node.manager.chooser.release(p.object)
	p.stop()
	if !p.isAlive() {
		p.tearDown()
		close(p.done)
	}
}

// release gives back what the pod held: its network, its folder and its address.
func (p *pod) release(ctx context.Context) {
	p.released.Do(func() {
		log := p.node.manager.log.With("pod", p.key())
		if p.sandbox != nil {
			p.leaveAlone()
			if err := p.sandbox.Remove(ctx); err != nil {
				log.Warn("remove pod's network", "err", err)
			}
		}
		if p.isReal() {
			if err := os.RemoveAll(p.dir); err != nil {
				log.Warn("remove pod's folder", "err", err)
			}
		}
		if p.ip != p.node.ip {
			p.node.manager.podIPs.release(p.ip)
		}
	})
}

// tearDown removes what the pod had, and lastly its object from the API.
func (p *pod) tearDown() {
	log := p.node.manager.log.With("pod", p.key())
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	p.release(ctx)
	p.mu.Lock()
	p.isEnded = true
	p.mu.Unlock()
	p.noMercy()

	if p.node.manager.background.Err() == nil {
		if err := p.deleteObject(ctx); err != nil {
			// virtual-kubelet does it when the grace period has passed.
			log.Warn("delete pod", "err", err)
		}
	}
	p.node.forget(p)
}

// deleteObject takes the pod, which has ended, out of the API.
func (p *pod) deleteObject(ctx context.Context) error {
	last := p.withStatus()
	if p.isReal() {
		// A kubelet lets a pod reach its last phase before it lets it go. Not so for
		// simulated ones: they are many, and nothing happened in them.
		last.ResourceVersion = "" // whatever it is by now
		_, err := p.node.manager.client.CoreV1().Pods(p.namespace).UpdateStatus(ctx, last, metav1.UpdateOptions{})
		if err != nil && !gone(err) {
			return err
		}
	}
	return p.node.manager.deletePod(ctx, last)
}
