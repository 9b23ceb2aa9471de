package existing

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/kubeconfig/kubeconfigtest"
)

func TestVisit(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string // of the suffix; ID for the run's
	}{
		{nil, "ID"},
		{[]string{"--namespace-suffix", ""}, ""},
		{[]string{"--namespace-suffix=ci"}, "-ci"},
		{[]string{"--namespace-suffix=-ci"}, "-ci"},
	} {
		s := &Source{}
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		s.Flags(flags)
		// As commands do it: the flags are added to others.
		all := pflag.NewFlagSet("", pflag.ContinueOnError)
		all.AddFlagSet(flags)
		if err := all.Parse(tt.args); err != nil {
			t.Fatal(err)
		}
		a, b := s.Visit(), s.Visit()
		if want := strings.Replace(tt.want, "ID", "-"+a.ID, 1); a.Suffix != want || len(a.ID) != idLength || a.ID == b.ID {
			t.Errorf("%q: %+v and %+v", tt.args, a, b)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Setenv("KUBECONFIG", kubeconfigtest.Write(t, "https://127.0.0.1:1", "ours", ""))
	visit := cluster.Request{Spec: cluster.Spec{Visit: &cluster.Visit{}}, Charts: "somewhere"}
	for name, tt := range map[string]struct {
		source  *Source
		request cluster.Request
		want    string
	}{
		"a revision of no installed mesh": {&Source{revision: "a"}, visit, "--revision names an installed Istio: add --use-installed-istio"},
		"a cluster to be left up":         {&Source{}, cluster.Request{}, "leaves nothing up"},
		"an unknown context":              {&Source{context: "none"}, visit, "has no context none"},
		"all is well":                     {&Source{}, visit, ""},
	} {
		t.Run(name, func(t *testing.T) {
			err := tt.source.Check(t.Context(), tt.request)
			var option *cluster.OptionError
			if tt.want == "" && err != nil || tt.want != "" && (!errors.As(err, &option) || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestChooseMesh(t *testing.T) {
	one := found{Revision: "default", Version: "1.23.2", Namespace: "istio-system"}
	two := found{Revision: "1-22", Version: "1.22.3", Namespace: "istio-system", tags: "old stable"}
	for name, tt := range map[string]struct {
		all      []found
		use      bool
		revision string
		want     *found
		err      string
	}{
		"none, to be installed":   {},
		"one, to be installed":    {all: []found{one}, err: "Istio 1.23.2 (revision default, namespace istio-system) is installed already"},
		"one, as it is":           {all: []found{one}, use: true, want: &one},
		"none, as it is":          {use: true, err: "no Istio is installed"},
		"two, unnamed":            {all: []found{two, one}, use: true, err: "choose one with --revision (1-22, default)"},
		"two, one named":          {all: []found{two, one}, use: true, revision: "1-22", want: &two},
		"two, one named default":  {all: []found{two, one}, use: true, revision: "default", want: &one},
		"two, one named by a tag": {all: []found{two, one}, use: true, revision: "stable", want: &two},
		"another one named":       {all: []found{two, one}, use: true, revision: "x", err: "--revision x: there is no such control plane"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := chooseMesh(tt.all, cluster.Visit{UseInstalled: tt.use}, tt.revision)
			if tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) || tt.err == "" && err != nil {
				t.Fatalf("got %v, want %q", err, tt.err)
			}
			if (got == nil) != (tt.want == nil) || got != nil && *got != *tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestDetect(t *testing.T) {
	node := func(name, label string) []corev1.Node {
		return []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{label: "x"}}}}
	}
	for _, tt := range []struct {
		version string
		nodes   []corev1.Node
		groups  []string
		want    string
	}{
		{"v1.31.4", node("a", "kubernetes.io/hostname"), []string{"apps"}, ""},
		{"v1.31.4-eks-aeac579", nil, nil, "EKS"},
		{"v1.31.4", node("ip-10-0-0-1", "eks.amazonaws.com/nodegroup"), nil, "EKS"},
		{"v1.31.4-gke.100", node("gke-a", "cloud.google.com/gke-nodepool"), nil, "GKE"},
		{"v1.31.4-gke.100", node("gk3-a", "cloud.google.com/gke-nodepool"), nil, "GKE Autopilot"},
		{"v1.31.4", node("aks-a", "kubernetes.azure.com/cluster"), nil, "AKS"},
		{"v1.31.4", node("a", "kubernetes.azure.com/cluster"), []string{"config.openshift.io"}, "OpenShift"},
	} {
		got := ""
		if s := detect(tt.version, tt.nodes, tt.groups); s != nil {
			got = s.name
			if len(s.restricts) == 0 {
				t.Errorf("nothing is said of %s", got)
			}
		}
		if got != tt.want {
			t.Errorf("%+v: %q, want %q", tt, got, tt.want)
		}
	}
}

// Room is what is allocatable, less what pods on ready nodes that take any have asked for.
func TestRoom(t *testing.T) {
	list := func(cpu, memory, pods string) corev1.ResourceList {
		l := corev1.ResourceList{}
		for name, text := range map[corev1.ResourceName]string{"cpu": cpu, "memory": memory, "pods": pods} {
			if text != "" {
				l[name] = resource.MustParse(text)
			}
		}
		return l
	}
	node := func(name string, change func(*corev1.Node)) corev1.Node {
		n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
		n.Status.Allocatable = list("2", "4Gi", "10")
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		change(&n)
		return n
	}
	always := corev1.ContainerRestartPolicyAlways
	nodes := []corev1.Node{
		node("a", func(*corev1.Node) {}),
		node("b", func(n *corev1.Node) { n.Status.Allocatable = list("1", "8Gi", "10") }),
		node("cordoned", func(n *corev1.Node) { n.Spec.Unschedulable = true }),
		node("tainted", func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Effect: corev1.TaintEffectNoSchedule}} }),
		node("gone", func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionUnknown }),
	}
	pods := []corev1.Pod{{Spec: corev1.PodSpec{NodeName: "a",
		InitContainers: []corev1.Container{
			{Resources: corev1.ResourceRequirements{Requests: list("50m", "3Gi", "")}},
			{RestartPolicy: &always, Resources: corev1.ResourceRequirements{Requests: list("100m", "128Mi", "")}},
		},
		Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: list("400m", "512Mi", "")}}},
	}}, {Spec: corev1.PodSpec{NodeName: "cordoned"}}}
	room := left(nodes, pods)
	if want := (free{pods: 9, milliCPU: 1500, bytes: 1 << 30}); len(room) != 2 || room["a"] != want {
		t.Fatalf("%+v, want a with %+v", room, want)
	}
	need := cluster.Room{Pods: 12, CPU: resource.MustParse("100m"), Memory: resource.MustParse("128Mi"),
		MeshCPU: resource.MustParse("500m"), MeshMemory: resource.MustParse("2Gi")}
	// a has room for 8 (its memory), b for 5 beside istiod (its CPU).
	if pods, mesh := fits(left(nodes, pods), need); pods != 13 || !mesh {
		t.Errorf("%d pods, istiod %t", pods, mesh)
	}
	need.MeshCPU = resource.MustParse("4")
	if _, mesh := fits(left(nodes, pods), need); mesh {
		t.Error("istiod fits nowhere")
	}
}

func TestRefusals(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	forbidden := func(why string) error { return apierrors.NewForbidden(pods, "x", errors.New(why)) }
	for name, tt := range map[string]struct {
		err        error
		want, note string
	}{
		"none":          {},
		"no right":      {err: forbidden(`User "alice" cannot create resource "pods" in API group "" in the namespace "default"`)},
		"Pod Security":  {err: forbidden(`violates PodSecurity "baseline:latest": non-default capabilities`), want: "Pod Security would refuse a pod of ns1/web: give the scenario's namespaces the label"},
		"a policy":      {err: forbidden(`admission webhook "validate.kyverno.svc-fail" denied the request: no`), want: "the cluster would refuse a pod of ns1/web"},
		"a quota":       {err: forbidden(`exceeded quota: q`), note: "is not known: it cannot be tried in namespace default"},
		"no dry runs":   {err: apierrors.NewBadRequest(`admission webhook "x" does not support dry run`), note: "a webhook takes no dry runs"},
		"a bad webhook": {err: apierrors.NewInternalError(errors.New("failed calling webhook")), want: "a webhook fails, so that the API server would take no pod of ns1/web"},
	} {
		t.Run(name, func(t *testing.T) {
			note := ""
			p := &provider{note: func(line string) { note = line }}
			err := p.refusal("a pod of ns1/web", tt.err)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if tt.note == "" && note != "" || !strings.Contains(note, tt.note) {
				t.Errorf("said %q, want %q", note, tt.note)
			}
		})
	}
}

// A pod is tried as the injector would make it.
func TestTrial(t *testing.T) {
	first := cluster.FirstPod{Workload: "ns1/web", Injected: true, Pod: corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}}}}
	names := func(list []corev1.Container) (names []string) {
		for _, c := range list {
			names = append(names, c.Name)
		}
		return names
	}
	p := &provider{}
	pod := p.trial(first, nil)
	if !slices.Equal(names(pod.Spec.InitContainers), []string{"istio-init"}) || !slices.Equal(names(pod.Spec.Containers), []string{"app", "istio-proxy"}) {
		t.Errorf("%+v", pod.Spec)
	}
	p.visit.CNI = true
	if pod := p.trial(first, nil); pod.Spec.InitContainers != nil {
		t.Errorf("with the CNI plugin: %+v", pod.Spec)
	}
	pod = p.trial(first, &found{Revision: "1-22"})
	if len(pod.Spec.Containers) != 1 || pod.Labels["sidecar.istio.io/inject"] != "true" || pod.Labels["istio.io/rev"] != "1-22" {
		t.Errorf("with an injector: %+v", pod)
	}
	if d := deploymentOf(pod); d.Spec.Template.Labels["meshbench.dev/trial"] != "true" || d.Spec.Template.Labels["istio.io/rev"] != "1-22" || first.Pod.Labels != nil {
		t.Errorf("%+v of %+v", d, first.Pod)
	}
	first.Injected = false
	if pod := p.trial(first, nil); len(pod.Spec.Containers) != 1 {
		t.Errorf("without a sidecar: %+v", pod.Spec)
	}
}

// Only namespaces with the run's own label go.
func TestDelete(t *testing.T) {
	namespace := func(name, run string) *corev1.Namespace {
		n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
		if run != "" {
			n.Labels = map[string]string{cluster.RunLabel: run}
		}
		return n
	}
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	client := fake.NewClientset(namespace("ns1-abcde", "abcde"), namespace("ns2-abcde", "other"), namespace("ns3-abcde", ""), namespace("default", ""))
	s, err := claim(record{ID: "abcde", Server: "https://x", Namespaces: []string{"ns1-abcde", "ns2-abcde", "ns3-abcde", "never-made"}})
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{client: client, visit: cluster.Visit{ID: "abcde", UseInstalled: true, Namespaces: []string{"ns1-abcde", "ns2-abcde", "ns3-abcde", "never-made"}}, status: func(string) {}, state: s}
	for range 2 {
		if err := c.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	list, err := client.CoreV1().Namespaces().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range list.Items {
		names = append(names, n.Name)
	}
	slices.Sort(names)
	if want := []string{"default", "ns2-abcde", "ns3-abcde"}; !slices.Equal(names, want) {
		t.Errorf("left %q, want %q", names, want)
	}
	if left, err := (&Source{}).List(t.Context()); err != nil || len(left) != 0 {
		t.Errorf("records of %q are left, %v", left, err)
	}
	if err := c.SetNodes(t.Context(), nil); !errors.Is(err, cluster.ErrFixedNodes) {
		t.Errorf("%v", err)
	}
}

// A run that lives is left alone, one that was killed is cleaned up, and what cannot be is
// said and kept.
func TestRecords(t *testing.T) {
	state := t.TempDir()
	t.Setenv("XDG_STATE_HOME", state)
	source := &Source{}
	if err := source.Delete(t.Context(), "abcde"); !errors.Is(err, cluster.ErrNoCluster) {
		t.Errorf("%v", err)
	}
	if err := source.Delete(t.Context(), "../../abcde"); !errors.Is(err, cluster.ErrNoCluster) {
		t.Errorf("%v", err)
	}
	file := kubeconfigtest.Write(t, "http://127.0.0.1:1", "ours", "")
	s, err := claim(record{ID: "abcde", Created: time.Now(), Files: []string{file}, Context: "ours", Server: "http://127.0.0.1:1", Namespaces: []string{"ns1-abcde"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claim(record{ID: "abcde"}); err == nil {
		t.Error("two runs have one record")
	}
	if err := source.Sweep(t.Context()); err != nil {
		t.Errorf("a run that lives: %v", err)
	}
	if err := source.Delete(t.Context(), "abcde"); err == nil || !strings.Contains(err.Error(), "is on its way") {
		t.Errorf("%v", err)
	}
	if names, err := source.List(t.Context()); err != nil || !slices.Equal(names, []string{"abcde"}) {
		t.Errorf("%q, %v", names, err)
	}
	if err := s.release(); err != nil { // its process is gone
		t.Fatal(err)
	}
	if err := source.Sweep(t.Context()); err == nil || !strings.Contains(err.Error(), "remove what run abcde left on http://127.0.0.1:1: ") || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("%v", err)
	}
	path := filepath.Join(state, "meshbench", "existing", "abcde.json")
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the record is gone though nothing was cleaned: %v", err)
	}
	// A record that was cut off is of a run that had made nothing.
	if err := os.WriteFile(path, []byte(`{"id": "ab`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := source.Sweep(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(state); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

// A namespace that is there is refused before anything is made.
func TestTakenNamespaces(t *testing.T) {
	client := fake.NewClientset(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns1"}})
	p := &provider{client: &kube.Client{Interface: client}, visit: cluster.Visit{Namespaces: []string{"ns1", "ns2"}}}
	err := p.checkNamespaces(t.Context())
	if err == nil || !strings.Contains(err.Error(), "these namespaces exist already, and a run makes its own: ns1; choose") {
		t.Errorf("%v", err)
	}
}
