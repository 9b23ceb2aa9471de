package actions

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

const (
	// probeEvery is how often acknowledgements are asked for; when they came is noted by the
	// light proxies themselves.
	probeEvery = 200 * time.Millisecond
	// probeGap is how long after a Service is known its endpoint is made: ten times what istiod
	// waits before a push.
	probeGap = time.Second
	// probeAddress is one of those for documentation (RFC 5737): nothing is sent to it.
	probeAddress = "192.0.2.1"
)

// probe measures changes, and does what is to be done meanwhile.
func probe(ctx context.Context, on *On, p *scenarios.Probe) error {
	light := false
	if on.Light != nil {
		state, err := on.Light.Light(ctx)
		if err != nil {
			return fmt.Errorf("ask for light proxies: %w", err)
		}
		light = state != nil && state.Clients > 0
	}
	if !light {
		err := on.Recorder.Append(observations.Record{Event: &observations.Event{
			Level: observations.Warning, Kind: observations.Skipped,
			Message: p.String() + ": there are no light proxies whose acknowledgements could be measured (sidecars: {light: all} or --light all)",
		}})
		if err != nil {
			return err
		}
		return during(ctx, on, p)
	}
	if err := on.Quiet.Pushed(ctx, ""); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- during(ctx, on, p) }()
	busy := len(p.While) > 0
	for round := 0; round < p.Rounds || busy; round++ {
		if err := probeRound(ctx, on, p, round, busy); err != nil {
			cancel()
			<-done
			return fmt.Errorf("round %d: %w", round+1, err)
		}
		select {
		case err := <-done:
			if err != nil {
				return err
			}
			done <- nil
			busy = false
		default:
		}
	}
	return <-done
}

// during does the actions of a probe.
func during(ctx context.Context, on *On, p *scenarios.Probe) error {
	for _, a := range p.While {
		if err := Do(ctx, on, a.Change); err != nil {
			return err
		}
	}
	return nil
}

// probeRound makes a Service and an endpoint of it, measures both, and deletes them again.
func probeRound(ctx context.Context, on *On, p *scenarios.Probe, round int, busy bool) (err error) {
	g, at := p.Of(), p.At(round)
	namespace, name := g.Namespace(at), fmt.Sprintf("probe-%d", round+1)
	resource := fmt.Sprintf("outbound|%d||%s.%s.svc.cluster.local", scenarios.GraphPort, name, namespace)
	port := corev1.ServicePort{Port: scenarios.GraphPort}
	if g.Port != scenarios.Detected {
		port.Name = g.Port
	}
	labels := map[string]string{scenarios.GraphLabel: g.Name}
	services, endpoints := on.Kube.CoreV1().Services(namespace), on.Kube.DiscoveryV1().EndpointSlices(namespace)
	m := measuring{on: on, Probe: p, round: round, busy: busy, object: namespace + "/" + name, see: p.See(at)}
	defer func() {
		// The run may have been ended: what is left goes with its cluster.
		for _, remove := range []func(context.Context, string, metav1.DeleteOptions) error{endpoints.Delete, services.Delete} {
			if failed := remove(ctx, name, metav1.DeleteOptions{}); failed != nil && !apierrors.IsNotFound(failed) && err == nil {
				err = fmt.Errorf("delete %s: %w", m.object, failed)
			}
		}
	}()
	err = m.measure(ctx, observations.ProbeService, cluster.ClusterType, resource, func() error {
		_, err := services.Create(ctx, &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{port}},
		}, metav1.CreateOptions{})
		return err
	})
	if err != nil {
		return err
	}
	// What istiod sends of the Service's endpoints while it has none is over by then.
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(probeGap):
	}
	number, protocol, ready := int32(scenarios.GraphPort), corev1.ProtocolTCP, true
	return m.measure(ctx, observations.ProbeEndpoint, cluster.EndpointType, resource, func() error {
		_, err := endpoints.Create(ctx, &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{scenarios.GraphLabel: g.Name, discoveryv1.LabelServiceName: name}},
			AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{probeAddress}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
			Ports:       []discoveryv1.EndpointPort{{Name: &port.Name, Port: &number, Protocol: &protocol}},
		}, metav1.CreateOptions{})
		return err
	})
}

// measuring is one round of a probe.
type measuring struct {
	on *On
	*scenarios.Probe
	round  int
	busy   bool
	object string
	see    []string // the namespaces whose proxies are to get it
}

// measure makes a change, and records how long the light proxies took that see it.
func (m *measuring) measure(ctx context.Context, kind, typeURL, resource string, change func() error) error {
	if err := m.on.Light.WatchLight(ctx, typeURL, resource); err != nil {
		return fmt.Errorf("watch %s: %w", resource, err)
	}
	expected, err := m.light(ctx)
	if err != nil {
		return err
	}
	m.on.Progress.Status("%s: round %d: %s", m.Probe, m.round+1, kind)
	// A push that is about to begin takes the change with it: an acknowledgement may come before
	// the API server's answer does.
	asked := time.Now()
	if err := change(); err != nil {
		return fmt.Errorf("make the %s of %s: %w", kind, m.object, err)
	}
	since := time.Now()
	var times map[string]time.Time
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(probeEvery):
		}
		if times, err = m.on.Light.LightAcknowledged(ctx, typeURL, resource, asked); err != nil {
			return fmt.Errorf("ask who has acknowledged %s: %w", resource, err)
		}
		missing := func(pod string) bool { _, has := times[pod]; return !has }
		if !slices.ContainsFunc(expected, missing) {
			break
		}
		if m.busy || time.Since(since) > m.Limit {
			// Pods that are gone acknowledge nothing any more.
			there, err := m.light(ctx)
			if err != nil {
				return err
			}
			expected = slices.DeleteFunc(expected, func(pod string) bool {
				_, found := slices.BinarySearch(there, pod)
				return missing(pod) && !found
			})
			if time.Since(since) > m.Limit || !slices.ContainsFunc(expected, missing) {
				break
			}
		}
	}
	record := &observations.Probe{
		Graph: m.Graph, Round: m.round + 1, Kind: kind, Object: m.object, Expected: len(expected), LimitSeconds: m.Limit.Seconds(), Meanwhile: m.busy,
		Seconds: []float64{},
	}
	for _, pod := range expected {
		if at, has := times[pod]; has {
			record.Seconds = append(record.Seconds, math.Round(at.Sub(since).Seconds()*1e4)/1e4)
		}
	}
	slices.Sort(record.Seconds)
	return m.on.Recorder.Append(observations.Record{Probe: record})
}

// light are the light proxies of the namespaces that are to get the change, as namespace/pod, in
// order.
func (m *measuring) light(ctx context.Context) ([]string, error) {
	pods, err := m.on.Kube.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{LabelSelector: scenarios.GraphLabel + "=" + m.Of().Name})
	if err != nil {
		return nil, fmt.Errorf("list the pods of graph %s: %w", m.Graph, err)
	}
	see := map[string]bool{}
	for _, namespace := range m.see {
		see[namespace] = true
	}
	var list []string
	for i := range pods.Items {
		p := &pods.Items[i]
		if see[p.Namespace] && p.DeletionTimestamp == nil && kube.Ready(p) && isLight(p) {
			list = append(list, kube.Name(p).String())
		}
	}
	slices.Sort(list)
	return list, nil
}

// isLight reports whether the pod's sidecar is spoken for.
func isLight(p *corev1.Pod) bool {
	return slices.ContainsFunc(slices.Concat(p.Status.ContainerStatuses, p.Status.InitContainerStatuses), func(s corev1.ContainerStatus) bool {
		return strings.HasPrefix(s.ContainerID, cluster.LightScheme)
	})
}
