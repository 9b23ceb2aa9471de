package actions

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// light stands for light proxies: each has its delay after a change.
type light struct {
	clients int
	delay   map[string]time.Duration // by pod; none for one that never acknowledges
	changed time.Time
	watched []string
}

func (l *light) Light(context.Context) (*observations.Light, error) {
	if l.clients == 0 {
		return nil, nil
	}
	return &observations.Light{Clients: l.clients}, nil
}

func (l *light) WatchLight(_ context.Context, typeURL, name string) error {
	l.watched, l.changed = append(l.watched, typeURL[strings.LastIndex(typeURL, ".")+1:]+" "+name), time.Time{}
	return nil
}

func (l *light) LightAcknowledged(_ context.Context, _, _ string, since time.Time) (map[string]time.Time, error) {
	times := map[string]time.Time{}
	for pod, after := range l.delay {
		if at := l.changed.Add(after); !l.changed.IsZero() && !at.Before(since) && !at.After(time.Now()) {
			times[pod] = at
		}
	}
	return times, nil
}

// quiet is a mesh that always is.
type quiet struct{}

func (quiet) Pushed(context.Context, string) error { return nil }

// graphAction loads a scenario with a graph of three Services, and returns what else it does.
func graphAction(t *testing.T, action string) scenarios.Change {
	t.Helper()
	s, err := scenarios.Load("g.yaml", []byte(`name: g
title: A graph
cluster: {nodes: [{type: m6i.xlarge, count: 1}]}
steps:
  - name: one
    actions:
      - graph: {name: app, services: 3, dependencies: 1, sidecars: {real: 1, light: all}}
      - `+action+"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.Steps[0].Actions[1].Change
}

// lightPod is one of the graph's, whose sidecar is spoken for or real.
func lightPod(service int, name, scheme string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprintf("app-%d", service), Name: name, Labels: map[string]string{scenarios.GraphLabel: "app"}},
		Status: corev1.PodStatus{
			Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: observations.SidecarContainer, ContainerID: scheme + "x"}},
		},
	}
}

func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gomega.NewWithT(t)
		o := on(lightPod(1, "a", cluster.LightScheme), lightPod(2, "b", cluster.LightScheme), lightPod(3, "c", cluster.LightScheme),
			lightPod(3, "gone", cluster.LightScheme), lightPod(1, "real", "embedded://"))
		// c takes longer than is waited, and gone is deleted meanwhile.
		l := &light{clients: 4, delay: map[string]time.Duration{"app-1/a": 120 * time.Millisecond, "app-2/b": 340 * time.Millisecond, "app-3/c": time.Hour}}
		o.Light, o.Quiet = l, quiet{}
		client := o.Kube.Interface.(*fake.Clientset)
		for _, resource := range []string{"services", "endpointslices"} {
			client.PrependReactor("create", resource, func(clienttesting.Action) (bool, runtime.Object, error) {
				l.changed = time.Now()
				time.AfterFunc(time.Second, func() {
					_ = client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), "app-3", "gone")
				})
				return false, nil, nil
			})
		}
		if err := Do(t.Context(), o, graphAction(t, "probe: {graph: app, rounds: 1, limit: 3s}")); err != nil {
			t.Fatal(err)
		}
		log := *o.Recorder.(*recorded)
		g.Expect(log).To(gomega.HaveLen(2))
		for i, kind := range []string{observations.ProbeService, observations.ProbeEndpoint} {
			g.Expect(log[i].Probe).To(gomega.HaveField("Kind", kind))
			g.Expect(log[i].Probe.Expected).To(gomega.Equal(3)) // a, b, c
			g.Expect(log[i].Probe.Seconds).To(gomega.Equal([]float64{0.12, 0.34}))
		}
		g.Expect(l.watched[0]).To(gomega.MatchRegexp(`^Cluster outbound\|8080\|\|probe-1\.app-[123]\.svc\.cluster\.local$`))
		g.Expect(l.watched[1]).To(gomega.HavePrefix("ClusterLoadAssignment outbound|8080||probe-1."))
		left, err := o.Kube.CoreV1().Services("").List(t.Context(), metav1.ListOptions{})
		g.Expect(err).NotTo(gomega.HaveOccurred())
		g.Expect(left.Items).To(gomega.BeEmpty())
	})
}

// Without light proxies nothing is measured, which is said, and what is to be done meanwhile is.
func TestProbeWithoutLight(t *testing.T) {
	for name, proxies := range map[string]cluster.LightProxies{"none can be": nil, "there are none": &light{}} {
		synctest.Test(t, func(t *testing.T) {
			g := gomega.NewWithT(t)
			o := on()
			o.Light, o.Quiet = proxies, quiet{}
			begun := time.Now()
			err := Do(t.Context(), o, graphAction(t, "probe: {graph: app, while: [{pause: {for: 7s}}]}"))
			g.Expect(err).NotTo(gomega.HaveOccurred(), name)
			g.Expect(time.Since(begun)).To(gomega.Equal(7*time.Second), name)
			log := *o.Recorder.(*recorded)
			g.Expect(log).To(gomega.HaveLen(1))
			g.Expect(log[0].Event).To(gomega.HaveField("Kind", observations.Skipped))
		})
	}
}

// Rounds go on until what is done meanwhile is over.
func TestProbeMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gomega.NewWithT(t)
		o := on(lightPod(1, "a", cluster.LightScheme))
		l := &light{clients: 1, delay: map[string]time.Duration{"app-1/a": 500 * time.Millisecond}}
		o.Light, o.Quiet = l, quiet{}
		for _, resource := range []string{"services", "endpointslices"} {
			o.Kube.Interface.(*fake.Clientset).PrependReactor("create", resource, func(clienttesting.Action) (bool, runtime.Object, error) {
				l.changed = time.Now()
				return false, nil, nil
			})
		}
		g.Expect(Do(t.Context(), o, graphAction(t, "probe: {graph: app, rounds: 1, while: [{pause: {for: 20s}}]}"))).To(gomega.Succeed())
		log := *o.Recorder.(*recorded)
		g.Expect(len(log)).To(gomega.BeNumerically(">", 10))
		g.Expect(log[0].Probe.Meanwhile).To(gomega.BeTrue())
	})
}

// What a scope will leave is computed of the graph's own witnesses, and why it is not is said.
func TestLeaves(t *testing.T) {
	g := gomega.NewWithT(t)
	s := graphAction(t, "scope: {graph: app}").(*scenarios.Scope)
	name := filepath.Join(t.TempDir(), "config_dump.json")
	if err := os.WriteFile(name, []byte(`{"configs": []}`), 0o644); err != nil {
		t.Fatal(err)
	}
	of := func(workload, kind string, files map[string]string) Dump {
		return Dump{Proxy: observations.Proxy{Namespace: "app-1", Pod: "x", Workload: workload, Kind: kind}, Files: files}
	}
	left, err := leaves(s, of("other/app-1", "", nil))
	g.Expect(left).To(gomega.BeNil())
	g.Expect(err).NotTo(gomega.HaveOccurred())
	left, err = leaves(s, of("app-1/app-1", observations.ProxyGateway, nil))
	g.Expect(left).To(gomega.BeNil())
	g.Expect(err).NotTo(gomega.HaveOccurred())
	_, err = leaves(s, of("app-1/app-1", "", map[string]string{"config_dump": name + ".gone"}))
	g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring("read its last dump")))
	_, err = leaves(s, of("app-1/app-1", "", map[string]string{"config_dump": name}))
	g.Expect(err).To(gomega.HaveOccurred()) // of no Envoy
}
