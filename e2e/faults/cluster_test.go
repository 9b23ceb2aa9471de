package faults

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
)

// guest is somebody's cluster, left by meshbench up, with a relay in front of its API server.
type guest struct {
	up         *program.Command
	own        string // kubeconfig that leads to the API server itself
	kubeconfig string // through the relay
	client     kubernetes.Interface
	relay      *relay
}

// visit makes a cluster and returns a user of it.
func visit() *guest {
	GinkgoHelper()
	name := fmt.Sprintf("f-%d", time.Now().UnixNano()%1e9)
	g := &guest{up: lab.Invoker.Run(5*time.Minute, "up", "--name", name, "--logs", filepath.Join(folder("up-"), "logs"), "--nodes", "m6i.8xlarge=2", "--real", "2")}
	DeferCleanup(func() { lab.Invoker.Run(time.Minute, "down", "--name", name).Succeeds() })
	g.own = strings.TrimSpace(g.up.Succeeds())
	config, err := clientcmd.BuildConfigFromFlags("", g.own)
	Expect(err).NotTo(HaveOccurred())
	g.client, err = kubernetes.NewForConfig(config)
	Expect(err).NotTo(HaveOccurred())
	server, err := url.Parse(config.Host)
	Expect(err).NotTo(HaveOccurred())
	g.relay = newRelay(server.Host)
	text, err := os.ReadFile(g.own)
	Expect(err).NotTo(HaveOccurred())
	g.kubeconfig = filepath.Join(folder("k-"), "kubeconfig")
	Expect(os.WriteFile(g.kubeconfig, []byte(strings.ReplaceAll(string(text), server.Host, g.relay.listener.Addr().String())), 0o600)).To(Succeed())
	return g
}

// relay hands on what comes to an API server, as long as it is let.
type relay struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	gone  bool          // connections are refused
	hung  chan struct{} // closed when what comes goes on; nil while it does
	conns map[net.Conn]bool
}

func newRelay(to string) *relay {
	GinkgoHelper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	Expect(err).NotTo(HaveOccurred())
	r := &relay{listener: listener, to: to, conns: map[net.Conn]bool{}}
	go r.serve()
	DeferCleanup(func() {
		r.goes()
		_ = listener.Close()
	})
	return r
}

func (r *relay) serve() {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			return
		}
		if !r.keep(in) {
			// With a reset, as if nobody listened.
			_ = in.(*net.TCPConn).SetLinger(0)
			_ = in.Close()
			continue
		}
		go r.hand(in)
	}
}

// keep notes a connection; false while the API server is gone.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone {
		return false
	}
	r.conns[c] = true
	return true
}

func (r *relay) forget(c net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.conns, c)
	_ = c.Close()
}

func (r *relay) hand(in net.Conn) {
	defer r.forget(in)
	out, err := net.Dial("tcp", r.to)
	if err != nil || !r.keep(out) {
		return
	}
	defer r.forget(out)
	done := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
		go func() {
			_, _ = io.Copy(pair[1], reader{r, pair[0]})
			done <- struct{}{}
		}()
	}
	<-done
}

// reader waits while the relay hangs.
type reader struct {
	relay *relay
	net.Conn
}

func (r reader) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	r.relay.mu.Lock()
	hung := r.relay.hung
	r.relay.mu.Unlock()
	if hung != nil {
		<-hung
	}
	return n, err
}

// goes breaks all connections and takes no more, and comes takes them again.
func (r *relay) goes() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = true
	for c := range r.conns {
		_ = c.Close()
	}
}

func (r *relay) comes() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = false
}

// hangs lets nothing through, without anybody being told, until the returned function is called.
func (r *relay) hangs() (on func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	hung := make(chan struct{})
	r.hung = hung
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.hung = nil
		close(hung)
	}
}

// visitor is the account that has credentials which end.
const visitor = "visitor"

// renew gives the kubeconfig a token of an account that may do everything, which is made.
func (g *guest) renew() {
	GinkgoHelper()
	ctx := context.Background()
	_, err := g.client.CoreV1().ServiceAccounts("default").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: visitor}}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	_, err = g.client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: visitor},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Name: visitor, Namespace: "default"}},
	}, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		Expect(err).NotTo(HaveOccurred())
	}
	token, err := g.client.CoreV1().ServiceAccounts("default").CreateToken(ctx, visitor, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	Expect(err).NotTo(HaveOccurred())
	config, err := clientcmd.LoadFromFile(g.kubeconfig)
	Expect(err).NotTo(HaveOccurred())
	for name := range config.AuthInfos {
		config.AuthInfos[name] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	}
	Expect(clientcmd.WriteToFile(*config, g.kubeconfig)).To(Succeed())
}

var _ = Describe("somebody's cluster", func() {
	var g *guest // of the spec that runs
	// on is a fault on a cluster that is there.
	on := func(name string, fault func(r *Run) string, f Fault) Fault {
		f.Name, f.Kind = name, ofCluster
		// Records of visits are in a folder that goes with the spec.
		f.Who = func() *program.Identity { return with(wrapped(lab.Invoker, ""), "XDG_STATE_HOME="+folder("s-")) }
		before := f.Before
		f.Before = func(r *Run) {
			g = visit()
			r.More = []string{"--cluster", "existing", "--use-installed-istio", "--kubeconfig", g.kubeconfig}
			if before != nil {
				before(r)
			}
		}
		f.Make = fault
		after := f.After
		f.After = func(r *Run) {
			if after != nil {
				after(r)
			}
			Eventually(func() ([]string, error) { return visited(g.client) }, 30*time.Second, time.Second).Should(BeEmpty(), "namespaces of the run")
		}
		return f
	}
	const minute = time.Minute
	each(
		on("existing: the API server is gone for a minute", func(*Run) string {
			g.relay.goes()
			time.Sleep(minute)
			g.relay.comes()
			return "a relay to the API server took no connections for a minute"
		}, Fault{Ends: marked, Limit: 6 * minute, Says: []string{"outage: the API server did not answer for at least"}}),
		on("existing: the API server is gone for two minutes while a step is measured", func(*Run) string {
			g.relay.goes()
			time.Sleep(2 * minute)
			g.relay.comes()
			return "a relay to the API server took no connections for two minutes"
		}, Fault{
			At: func(r *Run) Stage { return measuring(2 + r.Random.Intn(2)) }, Ends: marked, Limit: 8 * minute,
			Says: []string{"outage: the API server did not answer for at least 2m"},
		}),
		on("existing: the API server does not answer for a minute", func(*Run) string {
			goOn := g.relay.hangs()
			time.Sleep(minute)
			goOn()
			return "a relay to the API server let nothing through for a minute"
		}, Fault{Ends: marked, Limit: 6 * minute}),
		on("existing: the API server is gone for four minutes", func(*Run) string {
			g.relay.goes()
			time.AfterFunc(4*minute, g.relay.comes) // so that the run can clean up in the end
			return "a relay to the API server took no connections for four minutes, more than a run waits"
		}, Fault{Ends: fails, Limit: 10 * minute, Says: []string{"the cluster failed: the API server ", "has not answered for", "which was met as: "}}),
		on("existing: a node goes", func(*Run) string {
			Expect(sandbox.NewClient(filepath.Dir(g.own)).SetNodes(context.Background(), []cluster.NodeGroup{{InstanceType: "m6i.8xlarge", Count: 1}})).To(Succeed())
			return "one of two nodes was taken away"
		}, Fault{At: while, Ends: marked, Limit: 6 * minute, Says: []string{"was taken away, with its pods"}}),
		on("existing: a pod is evicted", func(r *Run) string {
			names, err := visited(g.client)
			Expect(err).NotTo(HaveOccurred())
			Expect(names).To(HaveLen(1))
			return r.evict(g.client, names[0])
		}, Fault{At: while, Ends: marked, Limit: 6 * minute, Says: []string{"was taken away: EvictionByEvictionAPI"}}),
		on("existing: credentials that end", func(*Run) string {
			Expect(g.client.CoreV1().ServiceAccounts("default").Delete(context.Background(), visitor, metav1.DeleteOptions{})).To(Succeed())
			return "the account of the kubeconfig's token was deleted, so that the API server takes it for none, as it does one that has expired"
		}, Fault{
			Ends: fails, Limit: 8 * minute, Final: true,
			Before: func(*Run) { g.renew() },
			Says:   []string{"does not accept the credentials of user", "meshbench down --name "},
			After: func(r *Run) {
				// With new credentials the run can be cleaned up after, as it says.
				_, id, _ := cutLast(r.Both.String(), "meshbench down --name ")
				id, _, _ = strings.Cut(strings.Fields(id)[0], "`")
				g.renew()
				r.Who.Run(5*minute, "down", "--name", id).Succeeds()
			},
		}),
	)
})

// visited are the namespaces of runs.
func visited(client kubernetes.Interface) (names []string, err error) {
	found, err := client.CoreV1().Namespaces().List(context.Background(), metav1.ListOptions{LabelSelector: cluster.RunLabel})
	if err != nil {
		return nil, err
	}
	for _, n := range found.Items {
		names = append(names, n.Name)
	}
	return names, nil
}
