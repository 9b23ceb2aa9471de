package embedded_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/baseline"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/internal/skip"
)

// real are the real programs, where the lab's user can read them. The test is skipped
// when they were not built yet, which takes minutes: `meshbench components` does it.
func (l *lab) real() components.Set {
	l.t.Helper()
	if testing.Short() {
		skip.Missing(l.t, "starts a whole cluster: left out by -short")
	}
	store, err := components.New(components.Options{})
	if err != nil {
		l.t.Fatal(err)
	}
	if !store.Complete() {
		skip.Missing(l.t, "components are not all in %s: make components obtains them", store.Root())
	}
	set, err := store.Obtain(l.t.Context(), nil)
	if err != nil {
		l.t.Fatal(err)
	}
	if l.user.id < 0 {
		return set
	}
	// The cache may be in a home that is closed to others: give each file a second name.
	dir := filepath.Join(l.tmp, "components")
	if err := os.Mkdir(dir, 0o755); err != nil {
		l.t.Fatal(err)
	}
	readable := components.Set{}
	for name, component := range set {
		if name == components.Charts {
			continue
		}
		path := filepath.Join(dir, filepath.Base(component.Path))
		if os.Link(component.Path, path) != nil { // the cache is on another file system
			if err := copyFile(component.Path, path); err != nil {
				l.t.Fatal(err)
			}
		}
		readable[name] = components.Component{Version: component.Version, Path: path}
	}
	return readable
}

func copyFile(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Close())
}

// eventually waits until check has nothing to say.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		err := check(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: %v", what, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// TestCluster makes a cluster that is left up, looks at it from the host, and takes it
// down, each with a command of its own.
func TestCluster(t *testing.T) {
	for _, user := range users() {
		t.Run(user.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, user)
			out := l.run(makerTask{Do: "up", Components: l.real()})
			t.Cleanup(func() { l.command(makerTask{Do: "down"}).Run() })
			_, kubeconfig, _ := strings.Cut(strings.TrimSpace(out), saidReady)
			config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
			if err != nil {
				t.Fatal(err)
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				t.Fatal(err)
			}
			t.Run("shape", func(t *testing.T) { testShape(t, client) })
			t.Run("metrics", func(t *testing.T) { testMetrics(t, config) })
			t.Run("streams", func(t *testing.T) { testStreams(t, config, client) })
			t.Run("facts", func(t *testing.T) { testFacts(t, l) })
			t.Run("nodes", func(t *testing.T) { testNodes(t, l, client) })

			f := l.footprint()
			if os.Geteuid() == 0 && user.id < 0 && len(f.cgroups) == 0 {
				t.Error("no memory cgroups although root")
			}
			l.run(makerTask{Do: "down"})
			if left := f.left(); len(left) > 0 {
				t.Errorf("down has returned and there is left:\n%s", strings.Join(left, "\n"))
			}
		})
	}
}

// testShape compares with baseline_services and baseline_pods of the published table.
func testShape(t *testing.T, client kubernetes.Interface) {
	ctx := t.Context()
	services, err := client.CoreV1().Services("").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, service := range services.Items {
		var ports []string
		for _, port := range service.Spec.Ports {
			ports = append(ports, fmt.Sprintf("%d/%s", port.Port, port.Protocol))
		}
		got[service.Namespace+"/"+service.Name] = service.Spec.ClusterIP + " " + strings.Join(ports, " ")
	}
	metricsIP, _, _ := strings.Cut(got["kube-system/metrics-server"], " ")
	want := map[string]string{
		"default/kubernetes":         "172.20.0.1 443/TCP",
		"kube-system/kube-dns":       "172.20.0.10 53/UDP 53/TCP 9153/TCP",
		"kube-system/metrics-server": metricsIP + " 443/TCP",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	eventually(t, "endpoints", func(ctx context.Context) error {
		slices, err := client.DiscoveryV1().EndpointSlices("").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		got := map[string]int{}
		for _, slice := range slices.Items {
			got[slice.Labels["kubernetes.io/service-name"]] += len(slice.Endpoints)
		}
		want := map[string]int{"kubernetes": 2, "kube-dns": 2, "metrics-server": 1}
		if !maps.Equal(want, got) {
			return fmt.Errorf("want %v, got %v", want, got)
		}
		return nil
	})

	pods, err := client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, pod := range pods.Items {
		if pod.Status.Phase != corev1.PodRunning {
			t.Errorf("pod %s is %s", pod.Name, pod.Status.Phase)
		}
		simulated := 0
		for _, status := range pod.Status.ContainerStatuses {
			if strings.HasPrefix(status.ContainerID, cluster.SimulatedScheme) {
				simulated++
			}
		}
		if isReal := pod.Labels["k8s-app"] == "metrics-server"; isReal != (simulated == 0) {
			t.Errorf("pod %s has %d simulated containers", pod.Name, simulated)
		}
		kinds[pod.Labels["k8s-app"]]++
	}
	wantKinds := map[string]int{"aws-node": 1, "kube-proxy": 1, "kube-dns": 2, "metrics-server": 1}
	if diff := cmp.Diff(wantKinds, kinds); diff != "" {
		t.Error(diff)
	}
	if got := baseline.Pods(1); got != len(pods.Items) {
		t.Errorf("Pods(1) is %d and there are %d", got, len(pods.Items))
	}
}

// testMetrics is `kubectl top pod --containers` and `kubectl top node`.
func testMetrics(t *testing.T, config *rest.Config) {
	client, err := metrics.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "metrics of metrics-server's own container", func(ctx context.Context) error {
		pods, err := client.MetricsV1beta1().PodMetricses("kube-system").List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		for _, pod := range pods.Items {
			for _, container := range pod.Containers {
				// The program's own memory is more than 5 and less than 200 MB.
				if bytes := container.Usage.Memory().Value(); container.Name == "metrics-server" && bytes > 5e6 && bytes < 200e6 {
					return nil
				}
			}
		}
		return fmt.Errorf("got %v", pods.Items)
	})
	eventually(t, "metrics of the node", func(ctx context.Context) error {
		nodes, err := client.MetricsV1beta1().NodeMetricses().List(ctx, metav1.ListOptions{})
		if err == nil && len(nodes.Items) != 1 {
			err = fmt.Errorf("%d nodes have metrics", len(nodes.Items))
		}
		return err
	})
}

// testStreams is `kubectl logs`, `exec` and `port-forward`: from the host through the
// copied connection, the API server and the virtual kubelet into a pod, and back.
func testStreams(t *testing.T, config *rest.Config, client kubernetes.Interface) {
	ctx := t.Context()
	pods, err := client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=metrics-server"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d metrics-server pods, %v", len(pods.Items), err)
	}
	pod := pods.Items[0].Name

	log, err := client.CoreV1().Pods("kube-system").GetLogs(pod, &corev1.PodLogOptions{}).DoRaw(ctx)
	if err != nil || !bytes.Contains(log, []byte("Starting controller")) {
		t.Errorf("logs: %v, %q", err, log)
	}

	post := func(subresource string) *rest.Request {
		return client.CoreV1().RESTClient().Post().Namespace("kube-system").Resource("pods").Name(pod).SubResource(subresource)
	}
	exec, err := remotecommand.NewSPDYExecutor(config, http.MethodPost, post("exec").VersionedParams(&corev1.PodExecOptions{
		Command: []string{"sh", "-c", "cat; echo done >&2; exit 7"}, Stdin: true, Stdout: true, Stderr: true,
	}, scheme.ParameterCodec).URL())
	if err != nil {
		t.Fatal(err)
	}
	// Large enough to fill every buffer on the way.
	large := strings.Repeat("a line that comes back\n", 1<<16)
	var stdout, stderr bytes.Buffer
	err = exec.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: strings.NewReader(large), Stdout: &stdout, Stderr: &stderr})
	if err == nil || !strings.Contains(err.Error(), "exit code 7") {
		t.Errorf("exec ended with %v, want exit code 7", err)
	}
	if stdout.String() != large || strings.TrimSpace(stderr.String()) != "done" {
		t.Errorf("exec: %d of %d bytes came back, stderr %q", stdout.Len(), len(large), stderr.String())
	}

	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		t.Fatal(err)
	}
	stop, ready := make(chan struct{}), make(chan struct{})
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, post("portforward").URL())
	forwarder, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{"0:10250"}, stop, ready, io.Discard, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- forwarder.ForwardPorts() }()
	defer func() { close(stop); <-ended }()
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatalf("port-forward: %v", err)
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		t.Fatal(err)
	}
	insecure, err := rest.HTTPClientFor(&rest.Config{TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	if err != nil {
		t.Fatal(err)
	}
	response, err := insecure.Get(fmt.Sprintf("https://127.0.0.1:%d/livez", ports[0].Local))
	if err != nil {
		t.Fatalf("port-forward: %v", err)
	}
	defer response.Body.Close()
	if text, _ := io.ReadAll(response.Body); string(text) != "ok" {
		t.Errorf("port-forward: %s %q", response.Status, text)
	}
	insecure.CloseIdleConnections()
}

func testFacts(t *testing.T, l *lab) {
	_, text, _ := strings.Cut(l.run(makerTask{Do: "facts"}), saidFacts)
	var got facts
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	c := got.Cluster
	if c.Provider != "embedded" || c.Kubernetes != "v1.31.4" || c.Baseline != "eks" || len(c.Simulated) == 0 {
		t.Errorf("got %+v", c)
	}
	enforcers := map[string]string{"proc": "runtime", "cgroup1": "cgroup", "cgroup2": "cgroup"}
	if want, ok := enforcers[c.MemorySource]; !ok || c.LimitsEnforcedBy != want {
		t.Errorf("memory is read by %q and limits are enforced by %q", c.MemorySource, c.LimitsEnforcedBy)
	}
	if l.user.id >= 0 && c.MemorySource != "proc" {
		t.Errorf("an ordinary user reads memory by %s", c.MemorySource)
	}
	// A control plane is hundreds of megabytes and has used the processor.
	for _, program := range []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"} {
		if cost := got.Plane[program]; cost.MemoryBytes < 20e6 || cost.CPUSeconds <= 0 {
			t.Errorf("the cost of %s is %+v", program, cost)
		}
	}
	if cost := got.Plane["kube-apiserver"]; cost.MemoryBytes < 100e6 || cost.CPUSeconds < 0.5 {
		t.Errorf("the API server's cost is %+v", cost)
	}
	if got.Sandbox.MemoryBytes < 20e6 || got.Sandbox.CPUSeconds <= 0 {
		t.Errorf("the sandbox's cost is %+v", got.Sandbox)
	}
}

func testNodes(t *testing.T, l *lab, client kubernetes.Interface) {
	for _, groups := range [][]cluster.NodeGroup{
		{{InstanceType: "m6i.large", Count: 3}, {InstanceType: "m6i.xlarge", Count: 1, MaxPods: 200}},
		{{InstanceType: "m6i.large", Count: 1}},
	} {
		l.run(makerTask{Do: "nodes", Spec: cluster.Spec{Nodes: groups}})
		nodes, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]int{}
		for _, group := range groups {
			want[group.InstanceType] = group.Count
		}
		got := map[string]int{}
		for _, node := range nodes.Items {
			got[node.Labels[cluster.InstanceTypeLabel]]++
			isReady := func(c corev1.NodeCondition) bool {
				return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
			}
			if !slices.ContainsFunc(node.Status.Conditions, isReady) {
				t.Errorf("node %s is not Ready", node.Name)
			}
			if pods := node.Status.Allocatable.Pods().Value(); node.Labels[cluster.InstanceTypeLabel] == "m6i.xlarge" && pods != 200 {
				t.Errorf("node %s takes %d pods", node.Name, pods)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		eventually(t, "pods of the DaemonSets", func(ctx context.Context) error {
			pods, err := client.CoreV1().Pods("kube-system").List(ctx, metav1.ListOptions{})
			if err != nil {
				return err
			}
			running := 0
			for _, pod := range pods.Items {
				if pod.Status.Phase == corev1.PodRunning && pod.DeletionTimestamp == nil {
					running++
				}
			}
			if want := baseline.Pods(len(nodes.Items)); running != want || len(pods.Items) != want {
				return fmt.Errorf("%d of %d pods are Running, want %d", running, len(pods.Items), want)
			}
			return nil
		})
	}
}

// TestNothingIsLeftOfACluster kills what holds a whole cluster.
func TestNothingIsLeftOfACluster(t *testing.T) {
	for _, user := range users() {
		for _, test := range []struct {
			name string
			kill func(*testing.T, *maker, footprint)
			died string // what the maker says; empty when it is killed itself
		}{
			{"maker killed", func(_ *testing.T, m *maker, _ footprint) { m.Process.Kill() }, ""},
			{"sandbox killed", func(_ *testing.T, _ *maker, f footprint) { syscall.Kill(f.sandbox, syscall.SIGKILL) }, "signal: killed"},
			{"etcd killed", func(t *testing.T, _ *maker, f footprint) {
				for _, pid := range descendants(f.sandbox) {
					if exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); filepath.Base(exe) == "etcd" {
						syscall.Kill(pid, syscall.SIGKILL)
						return
					}
				}
				t.Fatal("there is no etcd")
			}, "etcd ended: signal: killed"},
		} {
			t.Run(user.name+"/"+test.name, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, user)
				m := l.start(makerTask{Do: "make", Components: l.real()})
				m.expect(saidReady)
				f := l.footprint()
				test.kill(t, m, f)
				said, _ := m.end()
				if test.died != "" && (!strings.Contains(said, saidDied) || !strings.Contains(said, test.died)) {
					t.Errorf("the maker said %q, want %q", said, test.died)
				}
				f.expectGone(t)
			})
		}
	}
}
