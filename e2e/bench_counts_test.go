package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/harness/sample"
)

// countedPods are the real sidecars of BenchmarkCounts; each stands for ten of a hundred.
const countedPods = 10

// BenchmarkCounts reads all four counts of 100 proxies, as a measurement does and as
// somebody does with istioctl: four tables a proxy. Both go through the API server to ten
// real sidecars. meshbench reads each ten times; istioctl is asked for -bench.istioctl
// proxies, which is scaled to 100, since each of its calls is a process of its own.
func BenchmarkCounts(b *testing.B) {
	programs, _ := meshbench(b, "components", "kubectl", "istioctl")
	path := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(programs)), "\n") {
		if fields := strings.Fields(line); len(fields) == 3 {
			path[fields[0]] = fields[2]
		}
	}
	name := fmt.Sprintf("bench-%d", time.Now().UnixNano())
	out, _ := meshbench(b, "up", "--name", name, "--nodes", "m6i.8xlarge=1", "--logs", filepath.Join(b.TempDir(), "logs"))
	b.Cleanup(func() { meshbench(b, "down", "--name", name) })
	kubeconfig := strings.TrimSpace(string(out))
	kubectl := func(args ...string) {
		b.Helper()
		execute(b, path["kubectl"], append([]string{"--kubeconfig", kubeconfig}, args...)...)
	}
	kubectl("create", "namespace", "ns1")
	kubectl("label", "namespace", "ns1", "istio-injection=enabled")
	kubectl("-n", "ns1", "create", "deployment", "test", "--image=nginx", fmt.Sprintf("--replicas=%d", countedPods))
	kubectl("-n", "ns1", "rollout", "status", "deployment", "test", "--timeout=3m")

	ctx := context.Background()
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		b.Fatal(err)
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		b.Fatal(err)
	}
	list, err := client.CoreV1().Pods("ns1").List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != countedPods {
		b.Fatalf("%d pods, want %d: %v", len(list.Items), countedPods, err)
	}
	sampler, err := sample.New(cfg, sample.Scope{})
	if err != nil {
		b.Fatal(err)
	}
	defer sampler.Close()
	var pods []sample.Pod
	for i := range list.Items {
		pods = append(pods, sample.PodFrom(&list.Items[i]))
	}
	dir := b.TempDir()
	rows := map[string]int{} // cluster rows by pod, for both to agree on
	for b.Loop() {
		proxies := proxyCPU(b, sampler, pods)
		begun, cpu := time.Now(), ownCPU(b)
		for range 100 / countedPods {
			read, err := sampler.Witnesses(ctx, pods, dir, "dumps")
			if err != nil {
				b.Fatal(err)
			}
			for _, proxy := range read {
				rows[proxy.Pod] = proxy.Rows.Cluster
			}
		}
		ours := spent{time.Since(begun), ownCPU(b) - cpu}
		answering := proxyCPU(b, sampler, pods) - proxies
		var theirs spent
		for i := range *benchIstio {
			pod := list.Items[i%countedPods].Name
			for _, kind := range []string{"cluster", "listener", "route", "endpoint"} {
				table, took := execute(b, path["istioctl"], "--kubeconfig", kubeconfig, "proxy-config", kind, pod+".ns1")
				theirs.add(took)
				if lines := strings.Count(strings.TrimSpace(string(table)), "\n"); kind == "cluster" && lines != rows[pod] {
					b.Fatalf("istioctl prints %d clusters of %s, meshbench counts %d", lines, pod, rows[pod])
				}
			}
		}
		scale := 100 / float64(*benchIstio)
		b.ReportMetric(ours.wall.Seconds(), "meshbench-s")
		b.ReportMetric(ours.cpu.Seconds(), "meshbench-cpu-s")
		b.ReportMetric(answering, "proxies-cpu-s")
		b.ReportMetric(theirs.wall.Seconds()*scale, "istioctl-s")
		b.ReportMetric(theirs.cpu.Seconds()*scale, "istioctl-cpu-s")
		b.ReportMetric(theirs.wall.Seconds()*scale/ours.wall.Seconds(), "x")
		b.ReportMetric(theirs.cpu.Seconds()*scale/ours.cpu.Seconds(), "x-cpu")
		b.ReportMetric(float64(*benchIstio), "istioctl-proxies")
	}
}

// proxyCPU is the CPU time of the pods' proxies so far, in seconds.
func proxyCPU(tb testing.TB, sampler *sample.Sampler, pods []sample.Pod) (seconds float64) {
	tb.Helper()
	used, err := sampler.CPU(context.Background(), pods)
	if err != nil || len(used) != len(pods) {
		tb.Fatalf("the CPU time of %d of %d proxies: %v", len(used), len(pods), err)
	}
	for _, c := range used {
		seconds += c.Seconds
	}
	return seconds
}

// ownCPU is the CPU time of this process so far.
func ownCPU(tb testing.TB) time.Duration {
	tb.Helper()
	cost, err := sample.SelfCost()
	if err != nil {
		tb.Fatal(err)
	}
	return time.Duration(cost.CPUSeconds * float64(time.Second))
}
