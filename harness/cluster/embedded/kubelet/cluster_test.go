package kubelet

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/transport/spdy"
	utilexec "k8s.io/utils/exec"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/controlplane"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
)

// testCluster is a real control plane with nodes of this package on a real runtime.
type testCluster struct {
	*testing.T
	manager *Manager
	rest    *rest.Config
	client  kubernetes.Interface
}

// startCluster starts it, with what change, if set, makes of the nodes' configuration.
func startCluster(t *testing.T, change func(*Config)) testCluster {
	t.Helper()
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	dir := t.TempDir()
	r, err := runtime.New(t.Context(), runtime.Config{
		Dir: filepath.Join(dir, "runtime"), Bridge: "mesh0", Gateway: netip.MustParsePrefix("10.0.0.1/16"), PerPodUsers: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, a := range []string{"10.0.0.10/16", "10.0.0.11/16", "172.20.0.1/32"} {
		if err := r.AddAddress(netip.MustParsePrefix(a)); err != nil {
			t.Fatal(err)
		}
	}
	p := findPrograms(t)
	for _, name := range []string{"plane", "logs"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	plane, err := controlplane.Start(t.Context(), controlplane.Config{
		Etcd: p.etcd, APIServer: p.apiServer, ControllerManager: p.controllerManager, Scheduler: p.scheduler,
		Dir: filepath.Join(dir, "plane"), Logs: filepath.Join(dir, "logs"),
		Addresses:   []net.IP{net.IPv4(10, 0, 0, 10), net.IPv4(10, 0, 0, 11), net.IPv4(172, 20, 0, 1)},
		ServiceCIDR: "172.20.0.0/16",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(plane.Stop)
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		REST: plane.RESTConfig(), Runtime: FromRuntime(r), Real: 2, Dir: filepath.Join(dir, "kubelet"), TLS: plane.KubeletTLS(),
		Images: []Image{
			{Repository: "sidecar", Program: self, Limited: true},
			{Repository: "program", Program: self, Env: []string{"OF_IMAGE=yes"}},
		},
	}
	if change != nil {
		change(&config)
	}
	m, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	client, err := kubernetes.NewForConfig(plane.RESTConfig())
	if err != nil {
		t.Fatal(err)
	}
	return testCluster{t, m, plane.RESTConfig(), client}
}

// on is the cluster for a subtest.
func (c testCluster) on(t *testing.T) testCluster { c.T = t; return c }

func (c testCluster) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// eventually waits for the condition, which says what is still missing.
func (c testCluster) eventually(condition func() string) {
	c.Helper()
	var missing string
	for range 1200 {
		if missing = condition(); missing == "" {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.Fatalf("still: %s", missing)
}

func (c testCluster) namespace(name string) {
	c.Helper()
	_, err := c.client.CoreV1().Namespaces().Create(c.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	c.must(err)
	// Pods are refused before their service account is there.
	c.eventually(func() string {
		if _, err := c.client.CoreV1().ServiceAccounts(name).Get(c.Context(), "default", metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		return ""
	})
}

func (c testCluster) pod(namespace, name string) *corev1.Pod {
	c.Helper()
	p, err := c.client.CoreV1().Pods(namespace).Get(c.Context(), name, metav1.GetOptions{})
	c.must(err)
	return p
}

// create makes a pod and waits until the condition holds of it.
func (c testCluster) create(p *corev1.Pod, condition func(*corev1.Pod) string) *corev1.Pod {
	c.Helper()
	_, err := c.client.CoreV1().Pods(p.Namespace).Create(c.Context(), p, metav1.CreateOptions{})
	c.must(err)
	return c.waitFor(p.Namespace, p.Name, condition)
}

func (c testCluster) waitFor(namespace, name string, condition func(*corev1.Pod) string) (p *corev1.Pod) {
	c.Helper()
	c.eventually(func() string {
		p = c.pod(namespace, name)
		if missing := condition(p); missing != "" {
			status, _ := json.Marshal(p.Status)
			return missing + "; status is " + string(status)
		}
		return ""
	})
	return p
}

func isReady(p *corev1.Pod) string {
	if slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}) {
		return ""
	}
	return p.Name + " is not ready"
}

// exec runs a command through the API server.
func (c testCluster) exec(namespace, pod, container string, cmd ...string) (string, error) {
	c.Helper()
	url := c.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{Container: container, Command: cmd, Stdout: true, Stderr: true}, scheme.ParameterCodec).URL()
	executor, err := remotecommand.NewSPDYExecutor(c.rest, "POST", url)
	c.must(err)
	var stdout, stderr bytes.Buffer
	err = executor.StreamWithContext(c.Context(), remotecommand.StreamOptions{Stdout: &stdout, Stderr: &stderr})
	return stdout.String() + stderr.String(), err
}

// show is the environment and the files as seen in a container.
func (c testCluster) show(namespace, pod, container string, files ...string) map[string]string {
	c.Helper()
	out, err := c.exec(namespace, pod, container, append([]string{"kubelet.test", programCommand, "show"}, files...)...)
	c.must(err)
	shown := map[string]string{}
	_, text, _ := strings.Cut(out, "\n")
	if err := json.Unmarshal([]byte(text), &shown); err != nil {
		c.Fatalf("%v in %q", err, out)
	}
	return shown
}

func (c testCluster) logs(namespace, pod string, options corev1.PodLogOptions) string {
	c.Helper()
	data, err := c.client.CoreV1().Pods(namespace).GetLogs(pod, &options).DoRaw(c.Context())
	c.must(err)
	return string(data)
}

func testPod(namespace, name, image string, args ...string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			Containers:                    []corev1.Container{{Name: "main", Image: image, Args: args}},
			TerminationGracePeriodSeconds: ptr.To[int64](20),
		},
	}
	if len(args) == 3 && args[1] == "serve" {
		// A kubelet waits a second only for a probe, which is too short for a busy machine.
		p.Spec.Containers[0].ReadinessProbe = &corev1.Probe{PeriodSeconds: 1, TimeoutSeconds: 30, ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{
			Command: []string{"kubelet.test", programCommand, "get", "http://127.0.0.1:" + args[2] + "/ready"}}}}
	}
	return p
}

func probe(path string, port int) *corev1.Probe {
	return &corev1.Probe{
		ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt(port)}},
		PeriodSeconds: 1, FailureThreshold: 2, TimeoutSeconds: 30,
	}
}

// startup gives a program a minute.
func startup(p *corev1.Probe) *corev1.Probe {
	p.FailureThreshold = 60
	return p
}

func deployment(namespace, name string, replicas int32, containers ...corev1.Container) *appsv1.Deployment {
	labels := map[string]string{"app": name}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas,
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: containers, TerminationGracePeriodSeconds: ptr.To[int64](5)},
			},
		},
	}
}

// TestCluster is the whole: nodes and pods as kubectl, the scheduler and the controllers
// see them.
func TestCluster(t *testing.T) {
	if !sandboxed(t) {
		return
	}
	c := startCluster(t, nil)
	begin := time.Now()
	c.must(c.manager.SetNodes(t.Context(), []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 3}, {InstanceType: "m6i.xlarge", Count: 1, MaxPods: 150}}))
	t.Logf("4 nodes Ready after %v", time.Since(begin))
	for _, test := range []struct {
		name string
		run  func(testCluster)
	}{
		{"nodes", testNodes},
		{"simulated", testSimulated},
		{"real share", testRealShare},
		{"environment and volumes", testFiles},
		{"late config map", testLateConfigMap},
		{"hosts", testHosts},
		{"hosts of one namespace", testKnativeHosts},
		{"restarts", testRestarts},
		{"probes", testProbes},
		{"order", testOrder},
		{"native sidecar", testNativeSidecar},
		{"job", testJob},
		{"lives", testLives},
		{"order of ends", testEnds},
		{"access", testAccess},
		{"end", testEnd},
		{"fewer nodes", testFewerNodes}, // last
	} {
		t.Run(test.name, func(t *testing.T) { test.run(c.on(t)) })
	}
}

func testNodes(c testCluster) {
	nodes, err := c.client.CoreV1().Nodes().List(c.Context(), metav1.ListOptions{LabelSelector: VirtualLabel + "=true"})
	c.must(err)
	if len(nodes.Items) != 4 {
		c.Fatalf("%d nodes", len(nodes.Items))
	}
	n := nodes.Items[0]
	if n.Name != "ip-10-0-1-11.ec2.internal" || n.Labels[corev1.LabelHostname] != n.Name || n.Labels[cluster.InstanceTypeLabel] != "m6i.large" {
		c.Errorf("node is %s with labels %v", n.Name, n.Labels)
	}
	if cpu, pods := n.Status.Allocatable.Cpu().String(), n.Status.Allocatable.Pods().String(); cpu != "1930m" || pods != "29" {
		c.Errorf("allocatable: cpu %s, pods %s", cpu, pods)
	}
	if pods := nodes.Items[3].Status.Capacity.Pods().String(); pods != "150" {
		c.Errorf("overridden pod limit is %s", pods)
	}
	if len(n.Spec.Taints) != 0 || n.Status.NodeInfo.KubeletVersion != "v1.31.4" {
		c.Errorf("taints %v, kubelet %s", n.Spec.Taints, n.Status.NodeInfo.KubeletVersion)
	}
	lease, err := c.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(c.Context(), n.Name, metav1.GetOptions{})
	c.must(err)
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity != n.Name {
		c.Errorf("lease is held by %v", lease.Spec.HolderIdentity)
	}
}

func testSimulated(c testCluster) {
	c.namespace("simulated")
	begin := time.Now()
	_, err := c.client.AppsV1().Deployments("simulated").Create(c.Context(), deployment("simulated", "web", 100,
		corev1.Container{Name: "web", Image: "nginx", ReadinessProbe: probe("/", 80)}), metav1.CreateOptions{})
	c.must(err)
	c.eventually(func() string {
		d, err := c.client.AppsV1().Deployments("simulated").Get(c.Context(), "web", metav1.GetOptions{})
		c.must(err)
		if d.Status.ReadyReplicas == 100 {
			return ""
		}
		return fmt.Sprintf("%d of 100 ready", d.Status.ReadyReplicas)
	})
	c.Logf("100 simulated pods ready after %v", time.Since(begin))
	pods, err := c.client.CoreV1().Pods("simulated").List(c.Context(), metav1.ListOptions{})
	c.must(err)
	seen := map[string]bool{}
	for _, p := range pods.Items {
		if want := cluster.SimulatedScheme + string(p.UID) + "/web"; p.Status.ContainerStatuses[0].ContainerID != want {
			c.Fatalf("container id %s, want %s", p.Status.ContainerStatuses[0].ContainerID, want)
		}
		if seen[p.Status.PodIP] {
			c.Fatalf("address %s given twice", p.Status.PodIP)
		}
		seen[p.Status.PodIP] = true
	}
	p := pods.Items[0]
	if out := c.logs("simulated", p.Name, corev1.PodLogOptions{}); !strings.Contains(out, "simulated") {
		c.Errorf("log of a simulated container: %q", out)
	}
	if _, err := c.exec("simulated", p.Name, "web", "true"); err == nil || !strings.Contains(err.Error(), "simulated by meshbench") {
		c.Errorf("exec in a simulated container: %v", err)
	}
	begin = time.Now()
	c.must(c.client.AppsV1().Deployments("simulated").Delete(c.Context(), "web", metav1.DeleteOptions{}))
	c.eventually(func() string {
		pods, err := c.client.CoreV1().Pods("simulated").List(c.Context(), metav1.ListOptions{})
		c.must(err)
		if len(pods.Items) == 0 {
			return ""
		}
		return fmt.Sprintf("%d pods are left", len(pods.Items))
	})
	c.Logf("100 simulated pods gone after %v", time.Since(begin))
}

// testRealShare scales a Deployment whose sidecar is real in two pods only.
func testRealShare(c testCluster) {
	c.namespace("share")
	d := deployment("share", "web", 5,
		corev1.Container{Name: "web", Image: "nginx"},
		corev1.Container{Name: "sidecar", Image: "test/sidecar:1", Args: []string{programCommand, "serve", "8080"}, ReadinessProbe: probe("/ready", 8080)})
	_, err := c.client.AppsV1().Deployments("share").Create(c.Context(), d, metav1.CreateOptions{})
	c.must(err)
	realPods := func(replicas int32) map[types.UID]bool {
		c.Helper()
		found := map[types.UID]bool{}
		c.eventually(func() string {
			clear(found)
			pods, err := c.client.CoreV1().Pods("share").List(c.Context(), metav1.ListOptions{})
			c.must(err)
			if len(pods.Items) != int(replicas) {
				return fmt.Sprintf("%d pods, want %d", len(pods.Items), replicas)
			}
			for _, p := range pods.Items {
				if missing := isReady(&p); missing != "" {
					return missing
				}
				isReal := strings.HasPrefix(p.Status.ContainerStatuses[1].ContainerID, ProcessScheme+string(p.UID)+"/sidecar/")
				if marked := p.Annotations[corev1.PodDeletionCost] == realCost; marked != isReal {
					return fmt.Sprintf("real %v, annotations %v", isReal, p.Annotations)
				}
				if isReal {
					found[p.UID] = true
				}
			}
			return ""
		})
		return found
	}
	before := realPods(5)
	if len(before) != 2 {
		c.Fatalf("%d real pods, want 2", len(before))
	}
	scale := func(replicas int32) {
		c.Helper()
		_, err := c.client.AppsV1().Deployments("share").Patch(c.Context(), "web", types.MergePatchType,
			fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, replicas), metav1.PatchOptions{})
		c.must(err)
	}
	scale(2)
	after := realPods(2)
	for uid := range before {
		if !after[uid] {
			c.Errorf("a real pod did not outlive scaling down: before %v, after %v", before, after)
		}
	}
	// A rollout's new pods get their share while the old ones live.
	_, err = c.client.AppsV1().Deployments("share").Patch(c.Context(), "web", types.MergePatchType,
		[]byte(`{"spec":{"replicas":4,"template":{"metadata":{"labels":{"new":"yes"}}}}}`), metav1.PatchOptions{})
	c.must(err)
	c.eventually(func() string {
		d, err := c.client.AppsV1().Deployments("share").Get(c.Context(), "web", metav1.GetOptions{})
		c.must(err)
		if d.Status.UpdatedReplicas != 4 || d.Status.Replicas != 4 {
			return fmt.Sprintf("rollout: %+v", d.Status)
		}
		return ""
	})
	if found := realPods(4); len(found) != 2 {
		c.Errorf("%d real pods after the rollout, want 2", len(found))
	}
	c.must(c.client.AppsV1().Deployments("share").Delete(c.Context(), "web", metav1.DeleteOptions{}))
}

func testFiles(c testCluster) {
	c.namespace("files")
	_, err := c.client.CoreV1().ConfigMaps("files").Create(c.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"colour": "green"}}, metav1.CreateOptions{})
	c.must(err)
	p := testPod("files", "p", "registry.test:5000/test/program:1@sha256:0", programCommand, "serve", "8080")
	p.Spec.Containers[0].Args[2] = "$(PORT)"
	p.Spec.Containers[0].Ports = []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}}
	p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("256Mi")}
	p.Spec.Containers[0].Env = []corev1.EnvVar{
		{Name: "PORT", Value: "8080"},
		{Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}},
		{Name: "HOST_IP", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.hostIP"}}},
		{Name: "LIMIT", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}}},
		{Name: "CPUS", ValueFrom: &corev1.EnvVarSource{ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}},
	}
	p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{
		{Name: "settings", MountPath: "/etc/settings"}, {Name: "labels", MountPath: "/etc/pod"},
		{Name: "token", MountPath: "/var/run/secrets/tokens"}, {Name: "scratch", MountPath: "/scratch"},
	}
	p.Spec.Volumes = []corev1.Volume{
		{Name: "settings", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "settings"}}}},
		{Name: "labels", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}}}}}},
		{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "istio-ca", ExpirationSeconds: ptr.To[int64](43200), Path: "istio-token"}}}}}},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}},
	}
	p = c.create(p, isReady)
	node, err := c.client.CoreV1().Nodes().Get(c.Context(), p.Spec.NodeName, metav1.GetOptions{})
	c.must(err)
	shown := c.show("files", "p", "main", "/etc/settings/colour", "/etc/pod/labels", "/var/run/secrets/tokens/istio-token",
		"/var/run/secrets/kubernetes.io/serviceaccount/namespace", "/etc/hosts")
	for name, want := range map[string]string{
		"PORT": "8080", "POD_IP": p.Status.PodIP, "HOST_IP": node.Status.Addresses[0].Address, "LIMIT": "256",
		"CPUS":     map[string]string{"m6i.large": "2", "m6i.xlarge": "4"}[node.Labels[cluster.InstanceTypeLabel]],
		"HOSTNAME": "p", "OF_IMAGE": "yes", "KUBERNETES_SERVICE_HOST": "172.20.0.1", "KUBERNETES_SERVICE_PORT": "443",
		"/etc/settings/colour": "green", "/etc/pod/labels": `app="p"`,
		"/var/run/secrets/kubernetes.io/serviceaccount/namespace": "files",
	} {
		if shown[name] != want {
			c.Errorf("%s is %q, want %q", name, shown[name], want)
		}
	}
	if token := shown["/var/run/secrets/tokens/istio-token"]; strings.Count(token, ".") != 2 {
		c.Errorf("token is %q", token)
	}
	if !strings.Contains(shown["/etc/hosts"], p.Status.PodIP+"\tp\n") {
		c.Errorf("hosts file:\n%s", shown["/etc/hosts"])
	}
	// The process may write where it should, as the user that it is.
	if out, err := c.exec("files", "p", "main", "sh", "-c", "echo ok > /scratch/file && cat /scratch/file"); err != nil || out != "ok\n" {
		c.Errorf("write to an emptyDir: %q, %v", out, err)
	}

	// Labels that change reach the file. (A kubelet takes a minute; the test does not.)
	_, err = c.client.CoreV1().Pods("files").Patch(c.Context(), "p", types.MergePatchType, []byte(`{"metadata":{"labels":{"more":"yes"}}}`), metav1.PatchOptions{})
	c.must(err)
	for _, n := range c.manager.list() {
		if found, err := n.find("files", "p"); err == nil {
			c.eventually(func() string {
				found.refreshOnce()
				return map[bool]string{false: "label file is old"}[c.show("files", "p", "main", "/etc/pod/labels")["/etc/pod/labels"] == "app=\"p\"\nmore=\"yes\""]
			})
		}
	}
}

func testLateConfigMap(c testCluster) {
	c.namespace("late")
	p := testPod("late", "p", "test/program", programCommand, "serve", "8080")
	p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "root", MountPath: "/root-cert"}}
	p.Spec.Volumes = []corev1.Volume{{Name: "root", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "istio-ca-root-cert"}}}}}
	c.create(p, func(p *corev1.Pod) string {
		if len(p.Status.ContainerStatuses) == 0 || p.Status.ContainerStatuses[0].State.Waiting == nil || p.Status.ContainerStatuses[0].State.Waiting.Reason != reasonCreating {
			return "not waiting as ContainerCreating"
		}
		return ""
	})
	c.eventually(func() string {
		events, err := c.client.CoreV1().Events("late").List(c.Context(), metav1.ListOptions{})
		c.must(err)
		for _, e := range events.Items {
			if e.Reason == "FailedMount" && strings.Contains(e.Message, "istio-ca-root-cert") {
				return ""
			}
		}
		return "no event says what is missing"
	})
	_, err := c.client.CoreV1().ConfigMaps("late").Create(c.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-ca-root-cert"}, Data: map[string]string{"root-cert.pem": "x"}}, metav1.CreateOptions{})
	c.must(err)
	c.waitFor("late", "p", isReady)
}

func testHosts(c testCluster) {
	c.namespace("mesh")
	c.create(testPod("mesh", "p", "test/program", programCommand, "serve", "8080"), isReady)
	labels := map[string]string{"app": "istiod"}
	_, err := c.client.CoreV1().Services("mesh").Create(c.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "istiod", Labels: labels},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 15012}}, Selector: labels},
	}, metav1.CreateOptions{})
	c.must(err)
	check := func(want string) {
		c.Helper()
		c.eventually(func() string {
			hosts := c.show("mesh", "p", "main", "/etc/hosts")["/etc/hosts"]
			if strings.Contains(hosts, want+"\tistiod istiod.mesh istiod.mesh.svc istiod.mesh.svc.cluster.local\n") && strings.Count(hosts, "istiod.mesh.svc ") == 1 {
				return ""
			}
			return "hosts file:\n" + hosts
		})
	}
	// One istiod, then another in its place: real endpoints, by the controller manager.
	first := testPod("mesh", "istiod-1", "test/program", programCommand, "serve", "15012")
	first.Labels = labels
	check(c.create(first, isReady).Status.PodIP)
	c.must(c.client.CoreV1().Pods("mesh").Delete(c.Context(), "istiod-1", metav1.DeleteOptions{}))
	second := testPod("mesh", "istiod-2", "test/program", programCommand, "serve", "15012")
	second.Labels = labels
	address := c.create(second, isReady).Status.PodIP
	check(address)
	// And it is reached by its name.
	out, err := c.exec("mesh", "p", "main", "kubelet.test", programCommand, "get", "http://istiod.mesh.svc:15012/ready")
	if err != nil || !strings.Contains(out, "hello from istiod-2") {
		c.Errorf("get: %s, %v", out, err)
	}
	slices, err := c.client.DiscoveryV1().EndpointSlices("mesh").List(c.Context(), metav1.ListOptions{LabelSelector: istiodSelector})
	c.must(err)
	if len(slices.Items) != 1 || slices.Items[0].Labels[discoveryv1.LabelServiceName] != "istiod" {
		c.Errorf("endpoint slices found by the Service's label: %v", slices.Items)
	}
}

// testKnativeHosts: pods of Knative Serving find one another by name, others do not find
// them.
func testKnativeHosts(c testCluster) {
	c.namespace(knativeNamespace)
	c.namespace("beside")
	labels := map[string]string{"app": "autoscaler"}
	_, err := c.client.CoreV1().Services(knativeNamespace).Create(c.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "autoscaler", Labels: labels},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 8080}}, Selector: labels},
	}, metav1.CreateOptions{})
	c.must(err)
	for _, namespace := range []string{"beside", knativeNamespace} {
		c.create(testPod(namespace, "activator", "test/program", programCommand, "serve", "8012"), isReady)
	}
	autoscaler := testPod(knativeNamespace, "autoscaler-1", "test/program", programCommand, "serve", "8080")
	autoscaler.Labels = labels
	c.create(autoscaler, isReady)
	const url = "http://autoscaler.knative-serving.svc.cluster.local:8080/ready"
	c.eventually(func() string {
		out, err := c.exec(knativeNamespace, "activator", "main", "kubelet.test", programCommand, "get", url)
		if err != nil || !strings.Contains(out, "hello from autoscaler-1") {
			return fmt.Sprintf("get: %s, %v", out, err)
		}
		return ""
	})
	if hosts := c.show("beside", "activator", "main", "/etc/hosts")["/etc/hosts"]; strings.Contains(hosts, "autoscaler") {
		c.Errorf("a pod of another namespace has the hosts file\n%s", hosts)
	}
}

func testRestarts(c testCluster) {
	c.namespace("restarts")
	p := testPod("restarts", "p", "test/program", programCommand, "exit", "3")
	c.create(p, func(p *corev1.Pod) string {
		if len(p.Status.ContainerStatuses) == 0 {
			return "no status"
		}
		s := p.Status.ContainerStatuses[0]
		if s.State.Waiting == nil || s.State.Waiting.Reason != reasonBackoff || s.RestartCount != 1 {
			return "not backing off after one restart"
		}
		if l := s.LastTerminationState.Terminated; l == nil || l.ExitCode != 3 || l.Reason != "Error" || l.ContainerID != ProcessScheme+string(p.UID)+"/main/1" {
			return "last state is wrong"
		}
		return ""
	})
	if out := c.logs("restarts", "p", corev1.PodLogOptions{Previous: true}); out != "started exit 3\n" {
		c.Errorf("previous log is %q", out)
	}
	if out := c.logs("restarts", "p", corev1.PodLogOptions{}); out != "started exit 3\n" {
		c.Errorf("log is %q", out)
	}
	grace := int64(0)
	c.must(c.client.CoreV1().Pods("restarts").Delete(c.Context(), "p", metav1.DeleteOptions{GracePeriodSeconds: &grace}))

	// A container that passes its memory limit.
	greedy := testPod("restarts", "greedy", "test/program", programCommand, "allocate", "200")
	greedy.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("100Mi")}
	c.create(greedy, func(p *corev1.Pod) string {
		if len(p.Status.ContainerStatuses) == 0 {
			return "no status"
		}
		if l := p.Status.ContainerStatuses[0].LastTerminationState.Terminated; l == nil || l.ExitCode != 137 || l.Reason != "OOMKilled" {
			return "not killed for its memory"
		}
		return ""
	})
	c.must(c.client.CoreV1().Pods("restarts").Delete(c.Context(), "greedy", metav1.DeleteOptions{GracePeriodSeconds: &grace}))

	c.create(testPod("restarts", "exec", "test/program", programCommand, "serve", "8080"), isReady)
	if _, err := c.exec("restarts", "exec", "main", "sh", "-c", "exit 7"); err == nil {
		c.Error("exec loses the exit code")
	} else if code := utilexec.ExitError(nil); !errors.As(err, &code) || code.ExitStatus() != 7 {
		c.Errorf("exec: %v, want exit code 7", err)
	}
}

func testProbes(c testCluster) {
	c.namespace("probes")
	p := testPod("probes", "p", "test/program", programCommand, "serve", "8080")
	p.Spec.Containers[0].StartupProbe = startup(probe("/live", 8080))
	p.Spec.Containers[0].LivenessProbe = probe("/live", 8080)
	p.Spec.Containers[0].ReadinessProbe = probe("/ready", 8080)
	p = c.create(p, isReady)
	get := func(path string) {
		c.Helper()
		response, err := http.Get("http://" + p.Status.PodIP + ":8080" + path)
		c.must(err)
		response.Body.Close()
	}
	get("/fail/ready")
	c.waitFor("probes", "p", func(p *corev1.Pod) string {
		if isReady(p) != "" && p.Status.ContainerStatuses[0].State.Running != nil && p.Status.ContainerStatuses[0].RestartCount == 0 {
			return ""
		}
		return "still ready"
	})
	get("/fail/live")
	c.waitFor("probes", "p", func(p *corev1.Pod) string {
		if p.Status.ContainerStatuses[0].RestartCount == 1 && isReady(p) == "" {
			return ""
		}
		return "not restarted and ready"
	})
	if out := c.logs("probes", "p", corev1.PodLogOptions{Previous: true}); !strings.HasSuffix(out, "terminated\n") {
		c.Errorf("the killed attempt's log is %q", out)
	}
}

// testOrder holds an application until its proxy is up, after init containers.
func testOrder(c testCluster) {
	c.namespace("order")
	always := corev1.ContainerRestartPolicyAlways
	scratch := []corev1.VolumeMount{{Name: "scratch", MountPath: "/scratch"}}
	p := testPod("order", "p", "test/program", programCommand, "wait", "/scratch/proxied")
	p.Spec.Volumes = []corev1.Volume{{Name: "scratch"}}
	p.Spec.InitContainers = []corev1.Container{
		{Name: "istio-init", Image: "istio/proxyv2", Args: []string{"istio-iptables"}},
		{Name: "side", Image: "test/program", Args: []string{programCommand, "serve", "9090"}, RestartPolicy: &always, StartupProbe: startup(probe("/live", 9090))},
		{Name: "real-init", Image: "test/program", Args: []string{programCommand, "get", "http://127.0.0.1:9090/live"}},
	}
	proxy := corev1.Container{Name: "proxy", Image: "test/program", Args: []string{programCommand, "serve", "8080"}, VolumeMounts: scratch,
		Lifecycle: &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "sleep 0.3; touch /scratch/proxied"}}}}}
	p.Spec.Containers[0].VolumeMounts = scratch
	// The application fails if the file is not there when it starts.
	p.Spec.Containers[0].Command = []string{"kubelet.test"}
	p.Spec.Containers[0].Args = []string{programCommand, "serve", "8081"}
	p.Spec.Containers[0].StartupProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"test", "-e", "/scratch/proxied"}}}, FailureThreshold: 1, TimeoutSeconds: 30}
	p.Spec.Containers = append([]corev1.Container{proxy}, p.Spec.Containers...)
	p = c.create(p, isReady)
	init := p.Status.InitContainerStatuses
	if init[0].State.Terminated == nil || init[0].State.Terminated.Reason != "Completed" || !strings.HasPrefix(init[0].ContainerID, cluster.SimulatedScheme) {
		c.Errorf("istio-init: %+v", init[0])
	}
	if init[1].State.Running == nil || !init[1].Ready {
		c.Errorf("sidecar: %+v", init[1])
	}
	if init[2].State.Terminated == nil || init[2].State.Terminated.ExitCode != 0 || init[2].RestartCount != 0 {
		c.Errorf("init container: %+v", init[2])
	}
	if p.Status.ContainerStatuses[1].RestartCount != 0 {
		c.Errorf("application did not wait: %+v", p.Status.ContainerStatuses[1])
	}
}

// testNativeSidecar: a sidecar among the init containers lives as long as the application,
// also where that is simulated, is restarted beside it and ends with the pod; a Job's is
// over when its simulated application is.
func testNativeSidecar(c testCluster) {
	c.namespace("native")
	always := corev1.ContainerRestartPolicyAlways
	side := corev1.Container{Name: "side", Image: "test/program", Args: []string{programCommand, "serve", "9090"},
		RestartPolicy: &always, StartupProbe: startup(probe("/live", 9090)), ReadinessProbe: probe("/ready", 9090), LivenessProbe: probe("/live", 9090)}
	p := testPod("native", "p", "nginx")
	p.Spec.InitContainers = []corev1.Container{side}
	p = c.create(p, isReady)
	url := "http://" + p.Status.PodIP + ":9090"
	for range 20 { // it is not ended once the application is there
		response, err := http.Get(url + "/live")
		c.must(err)
		response.Body.Close()
		time.Sleep(50 * time.Millisecond)
	}
	response, err := http.Get(url + "/fail/live")
	c.must(err)
	response.Body.Close()
	c.waitFor("native", "p", func(p *corev1.Pod) string {
		s := p.Status.InitContainerStatuses[0]
		if s.RestartCount == 1 && s.Ready && isReady(p) == "" && p.Status.Phase == corev1.PodRunning && p.Status.ContainerStatuses[0].State.Running != nil {
			return ""
		}
		return fmt.Sprintf("%s, sidecar %+v", p.Status.Phase, s)
	})
	c.must(c.client.CoreV1().Pods("native").Delete(c.Context(), "p", metav1.DeleteOptions{}))
	c.eventually(func() string {
		if _, err := c.client.CoreV1().Pods("native").Get(c.Context(), "p", metav1.GetOptions{}); apierrors.IsNotFound(err) {
			return ""
		}
		return "the pod has not ended"
	})

	_, err = c.client.BatchV1().Jobs("native").Create(c.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "job"},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy:  corev1.RestartPolicyNever,
			InitContainers: []corev1.Container{side},
			Containers:     []corev1.Container{{Name: "main", Image: "busybox"}},
		}}},
	}, metav1.CreateOptions{})
	c.must(err)
	c.eventually(func() string {
		job, err := c.client.BatchV1().Jobs("native").Get(c.Context(), "job", metav1.GetOptions{})
		c.must(err)
		if job.Status.Succeeded == 1 {
			return ""
		}
		return fmt.Sprintf("job %+v", job.Status)
	})
}

func testJob(c testCluster) {
	c.namespace("job")
	for name, image := range map[string]string{"simulated": "busybox", "real": "test/program"} {
		_, err := c.client.BatchV1().Jobs("job").Create(c.Context(), &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "main", Image: image, Args: []string{programCommand, "exit", "0"}}},
			}}},
		}, metav1.CreateOptions{})
		c.must(err)
		c.eventually(func() string {
			job, err := c.client.BatchV1().Jobs("job").Get(c.Context(), name, metav1.GetOptions{})
			c.must(err)
			if job.Status.Succeeded == 1 {
				return ""
			}
			return fmt.Sprintf("job %s: %+v", name, job.Status)
		})
	}
}

// testLives has a pod for each way in which simulated containers live and end.
func testLives(c testCluster) {
	c.namespace("lives")
	lasts := func(annotations ...string) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.Annotations = map[string]string{}
			for i := 0; i < len(annotations); i += 2 {
				p.Annotations["simulate.meshbench.dev/"+annotations[i]] = annotations[i+1]
			}
		}
	}
	policy := func(policy corev1.RestartPolicy) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Spec.RestartPolicy = policy }
	}
	never, onFailure := policy(corev1.RestartPolicyNever), policy(corev1.RestartPolicyOnFailure)
	for _, test := range []struct {
		name     string
		change   []func(*corev1.Pod)
		phase    corev1.PodPhase
		reason   string // of the pod
		exit     int32  // of its container, -1 while it has none
		restarts int32  // at least
	}{
		{"for-ever", []func(*corev1.Pod){never}, corev1.PodRunning, "", -1, 0},
		{"succeeds", []func(*corev1.Pod){never, lasts("lasts", "100ms")}, corev1.PodSucceeded, "", 0, 0},
		{"fails", []func(*corev1.Pod){never, lasts("lasts", "100ms", "exit-code", "3")}, corev1.PodFailed, "", 3, 0},
		{"by-name", []func(*corev1.Pod){never, lasts("lasts.main", "100ms", "exit-code.main", "4", "exit-code", "5")}, corev1.PodFailed, "", 4, 0},
		{"is-done", []func(*corev1.Pod){onFailure, lasts("lasts", "100ms")}, corev1.PodSucceeded, "", 0, 0},
		{"tries-again", []func(*corev1.Pod){onFailure, lasts("lasts", "100ms", "exit-code", "3")}, corev1.PodRunning, "", -1, 1},
		{"again-and-again", []func(*corev1.Pod){lasts("lasts", "100ms")}, corev1.PodRunning, "", -1, 1},
		{"refused", []func(*corev1.Pod){never, lasts("lasts", "soon")}, corev1.PodFailed, reasonRefused, -1, 0},
		{"deadline", []func(*corev1.Pod){never, func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = ptr.To[int64](1) }}, corev1.PodFailed, reasonDeadline, 0, 0},
		{"real-deadline", []func(*corev1.Pod){never, func(p *corev1.Pod) {
			p.Spec.ActiveDeadlineSeconds = ptr.To[int64](1)
			p.Spec.Containers[0].Image, p.Spec.Containers[0].Args = "test/program", []string{programCommand, "serve", "8080"}
		}}, corev1.PodFailed, reasonDeadline, 0, 0},
		{"init-fails", []func(*corev1.Pod){never, lasts("lasts.init", "100ms", "exit-code.init", "6"), func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "busybox"}}
		}}, corev1.PodFailed, "", -1, 0},
	} {
		p := testPod("lives", test.name, "busybox")
		for _, change := range test.change {
			change(p)
		}
		p = c.create(p, func(p *corev1.Pod) string {
			s := p.Status
			if s.Phase != test.phase || s.Reason != test.reason || len(s.ContainerStatuses) != 1 || s.ContainerStatuses[0].RestartCount < test.restarts {
				return fmt.Sprintf("%s is %s (%s)", p.Name, s.Phase, s.Reason)
			}
			if t := s.ContainerStatuses[0].State.Terminated; test.exit >= 0 && (t == nil || t.ExitCode != test.exit) {
				return fmt.Sprintf("%s ended as %+v, want %d", p.Name, t, test.exit)
			}
			return ""
		})
		// Its object stays, and goes when it is asked to.
		c.must(c.client.CoreV1().Pods("lives").Delete(c.Context(), p.Name, metav1.DeleteOptions{}))
		c.eventually(func() string {
			if _, err := c.client.CoreV1().Pods("lives").Get(c.Context(), p.Name, metav1.GetOptions{}); apierrors.IsNotFound(err) {
				return ""
			}
			return p.Name + " is not gone"
		})
	}
}

// testEnds: when the application of a Job has ended, its native sidecars are stopped one by
// one, the last one first, and those that follow in the Job are as real as the first.
func testEnds(c testCluster) {
	c.namespace("ends")
	always := corev1.ContainerRestartPolicyAlways
	side := func(name, image, port string) corev1.Container {
		return corev1.Container{Name: name, Image: image, Args: []string{programCommand, "serve", port}, RestartPolicy: &always}
	}
	slow := side("b", "test/program", "9091")
	slow.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sleep", "2"}}}}
	_, err := c.client.BatchV1().Jobs("ends").Create(c.Context(), &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "job"},
		Spec: batchv1.JobSpec{Completions: ptr.To[int32](3), Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy:  corev1.RestartPolicyNever,
			InitContainers: []corev1.Container{side("a", "test/sidecar:1", "9090"), slow, side("simulated", "busybox", "1")},
			Containers:     []corev1.Container{{Name: "main", Image: "busybox"}},
		}}},
	}, metav1.CreateOptions{})
	c.must(err)
	c.eventually(func() string {
		job, err := c.client.BatchV1().Jobs("ends").Get(c.Context(), "job", metav1.GetOptions{})
		c.must(err)
		if job.Status.Succeeded == 3 {
			return ""
		}
		return fmt.Sprintf("job %+v", job.Status)
	})
	pods, err := c.client.CoreV1().Pods("ends").List(c.Context(), metav1.ListOptions{})
	c.must(err)
	for _, p := range pods.Items {
		s := p.Status.InitContainerStatuses
		for i := range s {
			if s[i].State.Terminated == nil {
				c.Fatalf("%s of a completed pod: %+v", s[i].Name, s[i])
			}
		}
		main := p.Status.ContainerStatuses[0].State.Terminated
		if main == nil || p.Status.Phase != corev1.PodSucceeded {
			c.Fatalf("%s is %s, its application %+v", p.Name, p.Status.Phase, main)
		}
		if b := s[1].State.Terminated; b.FinishedAt.Sub(main.FinishedAt.Time) < time.Second || s[0].State.Terminated.FinishedAt.Before(&b.FinishedAt) {
			c.Errorf("main ended at %v, b at %v, a at %v", main.FinishedAt, b.FinishedAt, s[0].State.Terminated.FinishedAt)
		}
		if !strings.HasPrefix(s[0].ContainerID, ProcessScheme) || !strings.HasPrefix(s[2].ContainerID, cluster.SimulatedScheme) {
			c.Errorf("containers %s and %s", s[0].ContainerID, s[2].ContainerID)
		}
	}
}

// testAccess reads metrics, forwards a port and is refused.
func testAccess(c testCluster) {
	c.namespace("access")
	p := testPod("access", "p", "test/program", programCommand, "serve", "8080")
	p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "app", Image: "nginx"})
	p = c.create(p, isReady)

	metrics, err := c.client.CoreV1().RESTClient().Get().Resource("nodes").Name(p.Spec.NodeName).SubResource("proxy").Suffix("metrics/resource").DoRaw(c.Context())
	c.must(err)
	for _, want := range []string{
		`container_memory_working_set_bytes{container="main",namespace="access",pod="p"} `,
		`container_cpu_usage_seconds_total{container="main",namespace="access",pod="p"} `,
		`container_start_time_seconds{container="main",namespace="access",pod="p"} `,
		"node_memory_working_set_bytes ",
	} {
		if !bytes.Contains(metrics, []byte(want)) {
			c.Errorf("no %s in\n%s", want, metrics)
		}
	}
	if bytes.Contains(metrics, []byte(`container="app"`)) {
		c.Errorf("usage of a simulated container:\n%s", metrics)
	}
	stats, err := c.client.CoreV1().RESTClient().Get().Resource("nodes").Name(p.Spec.NodeName).SubResource("proxy").Suffix("stats/summary").DoRaw(c.Context())
	if err != nil || !bytes.Contains(stats, []byte(`"workingSetBytes"`)) {
		c.Errorf("stats: %s, %v", stats, err)
	}

	// kubectl port-forward
	transport, upgrader, err := spdy.RoundTripperFor(c.rest)
	c.must(err)
	url := c.client.CoreV1().RESTClient().Post().Resource("pods").Namespace("access").Name("p").SubResource("portforward").URL()
	stop, ready := make(chan struct{}), make(chan struct{})
	forwarder, err := portforward.New(spdy.NewDialer(upgrader, &http.Client{Transport: transport}, "POST", url), []string{"0:8080"}, stop, ready, io.Discard, io.Discard)
	c.must(err)
	done := make(chan error, 1)
	go func() { done <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-done:
		c.Fatal(err)
	}
	ports, err := forwarder.GetPorts()
	c.must(err)
	for range 3 {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/ready", ports[0].Local))
		c.must(err)
		body, err := io.ReadAll(response.Body)
		c.must(err)
		response.Body.Close()
		if string(body) != "hello from p" {
			c.Errorf("through the forwarded port: %q", body)
		}
	}
	close(stop)
	c.must(<-done)

	// Follow a log until its end.
	ctx, cancel := context.WithTimeout(c.Context(), time.Minute)
	defer cancel()
	stream, err := c.client.CoreV1().Pods("access").GetLogs("p", &corev1.PodLogOptions{Container: "main", Follow: true}).Stream(ctx)
	c.must(err)
	defer stream.Close()
	http.Get("http://" + p.Status.PodIP + ":8080/exit/0") // the answer does not arrive
	text, err := io.ReadAll(stream)
	if err != nil || string(text) != "started serve 8080\nexit 0\n" {
		c.Errorf("followed log: %q, %v", text, err)
	}

	// The kubelet API is not for strangers.
	node, err := c.client.CoreV1().Nodes().Get(c.Context(), p.Spec.NodeName, metav1.GetOptions{})
	c.must(err)
	stranger := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	c.must(c.createToken("nobody"))
	for token, want := range map[string]int{"": 401, "rubbish": 401, c.token("nobody"): 403} {
		request, err := http.NewRequest("GET", fmt.Sprintf("https://%s:%d/pods", node.Status.Addresses[0].Address, kubeletPort), nil)
		c.must(err)
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		response, err := stranger.Do(request)
		c.must(err)
		response.Body.Close()
		if response.StatusCode != want {
			c.Errorf("a stranger's request (token of %d bytes) is answered by %s, want %d", len(token), response.Status, want)
		}
	}
}

func (c testCluster) createToken(account string) error {
	_, err := c.client.CoreV1().ServiceAccounts("default").Create(c.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: account}}, metav1.CreateOptions{})
	return err
}

func (c testCluster) token(account string) string {
	c.Helper()
	status, err := c.manager.token(c.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}, Spec: corev1.PodSpec{ServiceAccountName: account}}, tokenSpec())
	c.must(err)
	return status.Token
}

// testEnd deletes a pod whose process ends at once when asked to, and one with a
// preStop hook.
func testEnd(c testCluster) {
	c.namespace("end")
	hooked := testPod("end", "hooked", "test/program", programCommand, "serve", "8080")
	hooked.Spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"sh", "-c", "echo bye > /proc/1/fd/1"}}}}
	for _, p := range []*corev1.Pod{testPod("end", "plain", "test/program", programCommand, "serve", "8080"), hooked} {
		p = c.create(p, isReady)
		begin := time.Now()
		c.must(c.client.CoreV1().Pods("end").Delete(c.Context(), p.Name, metav1.DeleteOptions{}))
		c.eventually(func() string {
			_, err := c.client.CoreV1().Pods("end").Get(c.Context(), p.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) {
				return ""
			}
			return fmt.Sprintf("pod is there: %v", err)
		})
		c.Logf("%s gone after %v", p.Name, time.Since(begin))
		log, err := os.ReadFile(filepath.Join(c.manager.config.Logs, "end_"+p.Name+"_"+string(p.UID), "main", "0.log"))
		c.must(err)
		if !bytes.Contains(log, []byte("terminated")) || p.Name == "hooked" && !bytes.Contains(log, []byte("bye")) {
			c.Errorf("%s's log:\n%s", p.Name, log)
		}
		if _, err := os.Stat(filepath.Join(c.manager.config.Dir, "pods", string(p.UID))); !os.IsNotExist(err) {
			c.Errorf("%s's folder stays: %v", p.Name, err)
		}
	}
}

func testFewerNodes(c testCluster) {
	c.namespace("fewer")
	_, err := c.client.AppsV1().Deployments("fewer").Create(c.Context(), deployment("fewer", "web", 12,
		corev1.Container{Name: "web", Image: "nginx"}), metav1.CreateOptions{})
	c.must(err)
	cordoned := "ip-10-0-1-12.ec2.internal"
	_, err = c.client.CoreV1().Nodes().Patch(c.Context(), cordoned, types.MergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{})
	c.must(err)
	c.eventually(func() string {
		if n, err := c.manager.factory.Core().Nodes().Lister().Get(cordoned); err == nil && n.Spec.Unschedulable {
			return ""
		}
		return "cordon not seen"
	})
	c.must(c.manager.SetNodes(c.Context(), []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 2}, {InstanceType: "c6i.2xlarge", Count: 1}}))
	nodes, err := c.client.CoreV1().Nodes().List(c.Context(), metav1.ListOptions{})
	c.must(err)
	var names []string
	for _, n := range nodes.Items {
		names = append(names, n.Name+" "+n.Labels[cluster.InstanceTypeLabel])
	}
	want := []string{"ip-10-0-1-11.ec2.internal m6i.large", "ip-10-0-1-13.ec2.internal m6i.large", "ip-10-0-1-15.ec2.internal c6i.2xlarge"}
	if !slices.Equal(names, want) {
		c.Errorf("nodes are %v, want %v", names, want)
	}
	c.eventually(func() string {
		pods, err := c.client.CoreV1().Pods("fewer").List(c.Context(), metav1.ListOptions{})
		c.must(err)
		ready := 0
		for _, p := range pods.Items {
			if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, p.Spec.NodeName+" ") }) && p.Spec.NodeName != "" {
				return "pod on a node that is gone"
			}
			if isReady(&p) == "" {
				ready++
			}
		}
		if ready != 12 || len(pods.Items) != 12 {
			return fmt.Sprintf("%d of %d pods ready", ready, len(pods.Items))
		}
		return ""
	})
}

func tokenSpec() authenticationv1.TokenRequestSpec { return authenticationv1.TokenRequestSpec{} }
