package kubelet

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/light"
)

// lightSidecar is the sidecar of a pod that is spoken for: nothing of it runs, and istiod
// has a proxy all the same.
type lightSidecar struct {
	container string
	program   program
	ready     moment // the proxy has all that it waits for
}

// isLight says whether a container is the one that is spoken for.
func (p *pod) isLight(container string) bool { return p.light != nil && p.light.container == container }

// ErrNoLight says that there are no light proxies.
var ErrNoLight = errors.New("no pod is spoken for by a light proxy")

// speakers is the process that speaks for the light proxies of all nodes.
type speakers struct {
	manager *Manager

	mu      sync.Mutex
	process *light.Process // nil until the first pod asks
}

// get is the process, which is started if there is none or it has ended.
func (s *speakers) get(ctx context.Context) (*light.Process, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil && s.process.Err() == nil {
		return s.process, nil
	}
	m := s.manager
	if m.background.Err() != nil {
		return nil, errClosed
	}
	if err := os.MkdirAll(m.config.Logs, 0o700); err != nil {
		return nil, err
	}
	process, err := light.Start(ctx, filepath.Join(m.config.Logs, "light.log"))
	if err != nil {
		return nil, err
	}
	if err := process.SetHosts(ctx, m.hostAddresses()); err != nil {
		process.Stop()
		return nil, err
	}
	s.process = process
	return process, nil
}

// present is the process; nil if there is none.
func (s *speakers) present() *light.Process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process
}

func (s *speakers) stop() {
	if process := s.present(); process != nil {
		process.Stop()
	}
}

// Light is the process that speaks for pods; [ErrNoLight] while no pod is spoken for.
func (m *Manager) Light() (*light.Process, error) {
	process := m.speakers.present()
	if process == nil {
		return nil, ErrNoLight
	}
	return process, nil
}

// hostAddresses are the addresses of Services that pods find by name.
func (m *Manager) hostAddresses() map[string][]string {
	all := map[string][]string{}
	for _, s := range m.serviceHosts() {
		if s.pods != "" {
			continue
		}
		name := s.name + "." + s.namespace
		for _, n := range []string{name, name + ".svc", name + ".svc.cluster.local"} {
			all[n] = s.addresses
		}
	}
	return all
}

// speak is the life of a sidecar that is spoken for, until ctx ends.
func (p *pod) speak(ctx context.Context, c corev1.Container) {
	var delay backoff
	for attempt := int32(0); ctx.Err() == nil; {
		process, proxy, renewal, err := p.introduce(ctx, &c)
		if err != nil {
			if ctx.Err() == nil {
				p.waiting(c.Name, reasonConfigError, err.Error())
				p.event(corev1.EventTypeWarning, "Failed", "Error: cannot speak for the sidecar: %v", err)
			}
			sleep(ctx, configRetry)
			continue
		}
		started := time.Now()
		id := cluster.LightScheme + string(p.uid) + "/" + c.Name + "/" + strconv.Itoa(int(attempt))
		p.observe(c.Name, func(o *observation) {
			if o.state.Terminated != nil {
				o.last = o.state
			}
			o.id, o.restarts, o.started, o.ready = id, attempt, false, false
			o.state = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(started).Rfc3339Copy()}}
		})
		code, err := p.spoken(ctx, process, proxy, c, renewal)
		end := func(o *observation) {
			o.state, o.started, o.ready = simulatedEnd(id, started, time.Now(), code), false, false
		}
		if ctx.Err() != nil {
			p.note(c.Name, end)
			return
		}
		p.event(corev1.EventTypeWarning, "Failed", "Error: cannot speak for the sidecar any more: %v", err)
		p.observe(c.Name, end)
		attempt++
		p.backOff(ctx, c.Name, &delay, time.Now())
	}
}

// spoken has the process speak for the proxy until ctx ends, or, which is an error, the
// process does.
func (p *pod) spoken(ctx context.Context, process *light.Process, proxy light.Proxy, c corev1.Container, renewal time.Time) (code int32, err error) {
	var once sync.Once
	err = process.Add(ctx, proxy, func(change light.Change) {
		if !change.Ready {
			return
		}
		once.Do(func() { // as a real one, which stays ready without a connection
			p.observe(c.Name, func(o *observation) { o.started, o.ready = true, true })
			p.light.ready.set()
		})
	})
	if err != nil {
		return 1, err
	}
	for {
		select {
		case <-process.Done():
			return 1, process.Err()
		case <-time.After(time.Until(renewal)):
			if renewal, err = p.renewToken(ctx, process, proxy, &c); err != nil && ctx.Err() == nil {
				p.event(corev1.EventTypeWarning, "FailedMount", "cannot renew the token of the sidecar that is spoken for: %v", err)
			}
		case <-ctx.Done():
			p.drain(process)
			ending, cancel := context.WithTimeout(context.Background(), endLight)
			defer cancel()
			return 0, process.Remove(ending, proxy.ID)
		}
	}
}

// endLight is how long it may take to end the connections of a light proxy.
const endLight = 10 * time.Second

// drainTime is for how long a sidecar that is told to end keeps its connection to istiod:
// pilot-agent lets its Envoy drain first (terminationDrainDuration by default).
const drainTime = 5 * time.Second

// drain waits as a sidecar that drains, or less if there is less grace.
func (p *pod) drain(process *light.Process) {
	select {
	case <-time.After(min(drainTime, p.gracePeriod())):
	case <-p.mercy.Done():
	case <-process.Done():
	}
}

// Where the injector puts what a sidecar shows istiod, and what it trusts istiod by.
const (
	tokenMount = "/var/run/secrets/tokens"
	rootMount  = "/var/run/secrets/istio"
	rootKey    = "root-cert.pem"
)

// introduce is what the pod's sidecar would be started with.
func (p *pod) introduce(ctx context.Context, c *corev1.Container) (process *light.Process, proxy light.Proxy, renewal time.Time, err error) {
	m := p.node.manager
	object := p.withStatus()
	program := p.light.program
	env, args, err := environment(object, c, program, p.node.allocatable, m)
	if err != nil {
		return nil, proxy, renewal, err
	}
	turn := fnv.New32a()
	turn.Write([]byte(p.uid))
	proxy = light.Proxy{
		ID: string(p.uid), Namespace: p.namespace, Pod: p.name, IP: p.address(), Args: args, Env: env,
		Labels: object.Labels, Annotations: object.Annotations,
		Version: program.Version, Envoy: program.mounted(envoyPath), Turn: turn.Sum32(),
	}
	if proxy.Roots, err = p.roots(c); err != nil {
		return nil, proxy, renewal, err
	}
	if proxy.Token, renewal, err = p.istiodToken(ctx, c); err != nil {
		return nil, proxy, renewal, err
	}
	process, err = m.speakers.get(ctx)
	return process, proxy, renewal, err
}

// envoyPath is where an image of Istio's proxy has its Envoy.
const envoyPath = "/usr/local/bin/envoy"

// sources are those of the volume that the container has at a path.
func (p *pod) sources(c *corev1.Container, path string) *corev1.Volume {
	m := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == path })
	if m < 0 {
		return nil
	}
	v := slices.IndexFunc(p.object.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == c.VolumeMounts[m].Name })
	if v < 0 {
		return nil
	}
	return &p.object.Spec.Volumes[v]
}

// roots are the certificates that the sidecar trusts istiod by.
func (p *pod) roots(c *corev1.Container) ([]byte, error) {
	volume := p.sources(c, rootMount)
	if volume == nil {
		return nil, fmt.Errorf("the sidecar has no volume at %s, where the root of istiod is", rootMount)
	}
	reader := volumes{objects: p.node.manager, tokens: p.node.manager, now: time.Now}
	files, err := reader.content(p.living, p.object, *volume)
	if err != nil {
		return nil, err
	}
	if len(files[rootKey].data) == 0 {
		return nil, fmt.Errorf("volume %s has no file %s, the root of istiod", volume.Name, rootKey)
	}
	return files[rootKey].data, nil
}

// istiodToken is a new token for istiod, and when it is to be renewed.
func (p *pod) istiodToken(ctx context.Context, c *corev1.Container) (token string, renewal time.Time, err error) {
	volume := p.sources(c, tokenMount)
	if volume == nil || volume.Projected == nil {
		return "", renewal, fmt.Errorf("the sidecar has no token for istiod at %s", tokenMount)
	}
	for _, source := range volume.Projected.Sources {
		if projection := source.ServiceAccountToken; projection != nil {
			spec := authenticationv1.TokenRequestSpec{
				ExpirationSeconds: projection.ExpirationSeconds,
				BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: p.name, UID: p.uid},
			}
			if projection.Audience != "" {
				spec.Audiences = []string{projection.Audience}
			}
			now := time.Now()
			status, err := p.node.manager.token(ctx, p.object, spec)
			if err != nil {
				return "", renewal, fmt.Errorf("ask for a token of service account %s: %w", p.object.Spec.ServiceAccountName, err)
			}
			return status.Token, now.Add(tokenAge(status, now)), nil
		}
	}
	return "", renewal, fmt.Errorf("volume %s has no token of a service account", volume.Name)
}

// tokenRetry is the time between attempts to renew a token, which is good for a while yet.
const tokenRetry = 10 * time.Second

// renewToken gives the proxy a new token and returns when the next is due.
func (p *pod) renewToken(ctx context.Context, process *light.Process, proxy light.Proxy, c *corev1.Container) (time.Time, error) {
	token, renewal, err := p.istiodToken(ctx, c)
	if err == nil {
		err = process.SetToken(ctx, proxy.ID, token)
	}
	if err != nil {
		return time.Now().Add(tokenRetry), err
	}
	return renewal, nil
}
