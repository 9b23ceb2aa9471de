package faults

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/observations"
)

const (
	// kindArchive names a file with the images of Istio and metrics-server, which
	// `meshbench images build` makes.
	kindArchive = "MESHBENCH_KIND_ARCHIVE"
	// kindNode is the node image, of e2e/kind/node-image.sh.
	kindNode = "localhost/kind-node:v1.31.4"
)

// needsEngine is why no kind cluster can be made.
func needsEngine() string {
	if os.Getenv(kindArchive) == "" {
		return "kind takes a container engine, a node image and images: set " + kindArchive + " to a file of these, as docs/kind.md says"
	}
	for _, image := range []string{kindNode, "nginx"} {
		if out, err := exec.Command("docker", "image", "inspect", image).CombinedOutput(); err != nil {
			return fmt.Sprintf("docker has no image %s: %s", image, program.Tail(string(out), 1))
		}
	}
	return ""
}

// engine asks docker.
func engine(args ...string) string {
	GinkgoHelper()
	return program.Ask("docker", args...)
}

// joinNodes makes the network of all of kind's clusters, which the first of them makes otherwise, and
// nobody removes.
func joinNodes() {
	GinkgoHelper()
	if exec.Command("docker", "network", "inspect", "kind").Run() != nil {
		engine("network", "create", "kind")
	}
}

// held are the containers and volumes that there are.
func held() []string {
	GinkgoHelper()
	return program.Held("docker")
}

// node is the container of one of the run's nodes, by its role.
func (r *Run) node(role string) string {
	GinkgoHelper()
	for _, name := range strings.Fields(engine("ps", "--format", "{{.Names}}", "--filter", "label=io.x-k8s.kind.role="+role)) {
		if !slices.Contains(r.Held, "container/"+name) {
			return name
		}
	}
	Fail("the run has no node of role " + role)
	return ""
}

// evict evicts a random pod of the run's.
func (r *Run) evict(client kubernetes.Interface, namespace string) string {
	GinkgoHelper()
	pods, err := client.CoreV1().Pods(namespace).List(context.Background(), metav1.ListOptions{})
	Expect(err).NotTo(HaveOccurred())
	running := slices.DeleteFunc(pods.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
	Expect(running).NotTo(BeEmpty())
	pod := running[r.Random.Intn(len(running))]
	Expect(client.PolicyV1().Evictions(pod.Namespace).Evict(context.Background(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}})).To(Succeed())
	return fmt.Sprintf("pod %s was evicted", pod.Name)
}

var _ = Describe("a kind cluster", func() {
	const minute = time.Minute
	on := func(name string, fault func(r *Run) string, f Fault) Fault {
		f.Name, f.Kind, f.Make, f.NotHere, f.Limit = name, ofCluster, fault, needsEngine, 12*minute
		f.Alone = true // an engine makes mounts and interfaces of the machine
		f.Who = func() *program.Identity {
			return with(wrapped(lab.Invoker, ""), "XDG_STATE_HOME="+folder("s-"), "HOME="+os.Getenv("HOME")) // where the engine has its settings
		}
		f.Before = func(r *Run) {
			r.Held = held()
			// A spec that fails kills its run, which cannot remove its nodes then.
			DeferCleanup(func() {
				for _, name := range held() {
					if container, ok := strings.CutPrefix(name, "container/"); ok && !slices.Contains(r.Held, name) {
						engine("rm", "-f", "-v", container)
					}
				}
			})
			r.More = []string{"--cluster", "kind", "--node-image", kindNode, "--image-archive", os.Getenv(kindArchive), "--load-image", "nginx"}
		}
		f.After = func(r *Run) {
			Eventually(held, 30*time.Second, time.Second).Should(Equal(r.Held), "containers and volumes")
		}
		return f
	}
	paused := func(role string) func(*Run) string {
		return func(r *Run) string {
			node := r.node(role)
			engine("pause", node)
			time.Sleep(minute)
			engine("unpause", node)
			return "the container " + node + " was paused for a minute"
		}
	}
	each(
		on("kind: the API server is gone for a minute", func(r *Run) string {
			// The kubelet ends what has no manifest any more.
			const manifest, elsewhere = "/etc/kubernetes/manifests/kube-apiserver.yaml", "/kube-apiserver.yaml"
			plane := r.node("control-plane")
			engine("exec", plane, "mv", manifest, elsewhere)
			time.Sleep(minute)
			engine("exec", plane, "mv", elsewhere, manifest)
			return "the API server's manifest was taken away for a minute, so that its node ended it"
		}, Fault{Ends: marked, Says: []string{"outage: the API server did not answer for at least"}}),
		on("kind: the node of the control plane does nothing for a minute", paused("control-plane"), Fault{Ends: marked}),
		on("kind: a node does nothing for a minute", paused("worker"), Fault{At: while, Ends: marked}),
		on("kind: a node goes", func(r *Run) string {
			worker := r.node("worker")
			engine("kill", worker)
			return "the container " + worker + " was killed"
		}, Fault{At: while, Ends: fails, Says: []string{"; node ", "-worker is not ready: NodeStatusUnknown"}}),
		on("kind: a pod is evicted", func(r *Run) string {
			config, err := clientcmd.BuildConfigFromFlags("", filepath.Join(r.Cluster(), "kubeconfig"))
			Expect(err).NotTo(HaveOccurred())
			client, err := kubernetes.NewForConfig(config)
			Expect(err).NotTo(HaveOccurred())
			return r.evict(client, "ns1")
		}, Fault{At: while, Ends: marked, Says: []string{observations.Disrupted + ": ns1/test-", "was taken away: EvictionByEvictionAPI"}}),
		Fault{
			Name: "kind: credentials that end", Kind: ofCluster, Ends: fails, Make: func(*Run) string { return "" },
			NotHere: func() string { return "a kind cluster's only credentials are a certificate that is valid for a year" },
		},
	)
})
