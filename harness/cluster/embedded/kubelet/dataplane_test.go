package kubelet

import (
	"cmp"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/nftables"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
	"github.com/meshbench/meshbench/internal/standin"
)

func TestApplicationMatch(t *testing.T) {
	app := Image{Repository: "fortio/fortio", Program: "/opt/fortio", Application: true, Default: []string{"server"}}
	given := app
	given.Given = []string{}
	for _, tt := range []struct {
		image         Image
		command, args []string
		want          []string
	}{
		{app, nil, nil, []string{"server"}},
		{app, nil, []string{"load", "-qps", "1"}, []string{"load", "-qps", "1"}},
		{app, []string{"/usr/bin/other", "server"}, []string{"-http-port", "80"}, []string{"server", "-http-port", "80"}},
		{app, []string{"/bin/sh"}, nil, []string{}},
		{given, []string{"/bin/sh"}, []string{"-c", "true"}, []string{}},
	} {
		g := NewWithT(t)
		got, ok := tt.image.match(corev1.Container{Image: "docker.io/fortio/fortio:1.69.5", Command: tt.command, Args: tt.args})
		g.Expect(ok).To(BeTrue())
		g.Expect(append([]string{}, got...)).To(Equal(tt.want))
	}
}

// ownedPod is a pod of a workload, with a sidecar and applications that listen on 80, and on
// 8080 and 9090.
func ownedPod(kind, owner string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "ns1", Name: "pod", Labels: map[string]string{"pod-template-hash": "abc"},
			OwnerReferences: []metav1.OwnerReference{{Kind: kind, Name: owner, Controller: ptr.To(true)}},
		},
		Spec: corev1.PodSpec{
			InitContainers: []corev1.Container{{Name: "istio-init", Image: "istio/proxyv2"}, {Name: "prepare", Image: "busybox"}},
			Containers: []corev1.Container{
				{Name: "istio-proxy", Image: "docker.io/istio/proxyv2:1.23.2"},
				{Name: "web", Image: "nginx", Ports: []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 53, Protocol: corev1.ProtocolUDP}}},
				{Name: "api", Image: "api", Ports: []corev1.ContainerPort{{ContainerPort: 8080}, {ContainerPort: 9090}, {Name: "again", ContainerPort: 8080}}},
			},
		},
	}
}

func TestStandIns(t *testing.T) {
	plane := &DataPlane{
		StandIn: Image{Program: "/opt/meshbench", Given: []string{"stand-in"}},
		Workloads: []cluster.StandIn{
			{Namespace: "ns1", Workload: "web", Ports: []int{80, 9090, 7070}},
			{Namespace: "ns2", Workload: "other"},
		},
	}
	for _, tt := range []struct {
		name        string
		plane       *DataPlane
		kind, owner string
		annotation  *string
		found       map[string]program
		web, api    []int // ports; nil for no stand-in
		status      int   // 200 for 0
		err         string
	}{
		{name: "nothing asked for", plane: plane, kind: "ReplicaSet", owner: "db-abc"},
		{name: "no data plane", kind: "ReplicaSet", owner: "web-abc"},
		{name: "another Deployment that begins so", plane: plane, kind: "ReplicaSet", owner: "web-more-abc"},
		{name: "another kind", plane: plane, kind: "Job", owner: "web"},
		{name: "another namespace", plane: plane, kind: "StatefulSet", owner: "other"},
		{
			name: "of a Deployment", plane: plane, kind: "ReplicaSet", owner: "web-abc",
			web: []int{80, 7070}, api: []int{8080, 9090},
		},
		{
			name: "of a StatefulSet, where one container has a program", plane: plane, kind: "StatefulSet", owner: "web",
			found: map[string]program{"web": {}},
			api:   []int{8080, 9090, 7070},
		},
		{
			name: "annotated", plane: plane, kind: "ReplicaSet", owner: "db-abc", annotation: ptr.To("delay: 5ms\nstatus: 503"),
			web: []int{80}, api: []int{8080, 9090}, status: 503,
		},
		{
			name: "annotated with nothing", plane: plane, kind: "ReplicaSet", owner: "db-abc", annotation: ptr.To(""),
			web: []int{80}, api: []int{8080, 9090},
		},
		{name: "no YAML", plane: plane, kind: "ReplicaSet", owner: "web-abc", annotation: ptr.To("a: [b"), err: "annotation meshbench.dev/stand-in: "},
		{name: "an unknown field", plane: plane, kind: "ReplicaSet", owner: "web-abc", annotation: ptr.To("latency: 5ms"), err: "unknown field latency"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := NewWithT(t)
			pod := ownedPod(tt.kind, tt.owner)
			if tt.annotation != nil {
				pod.Annotations = map[string]string{standin.Annotation: *tt.annotation}
			}
			found := tt.found
			if found == nil {
				found = map[string]program{}
			}
			had := len(found)
			err := tt.plane.addStandIns(pod, found)
			if tt.err != "" {
				g.Expect(err).To(MatchError(ContainSubstring(tt.err)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			want := had
			for name, ports := range map[string][]int{"web": tt.web, "api": tt.api} {
				if ports == nil {
					continue
				}
				want++
				g.Expect(found[name].args).To(Equal([]string{"stand-in"}))
				g.Expect(found[name].Application).To(BeTrue())
				env := variables(found[name].Env)
				c, self, got, err := standin.FromEnvironment(func(name string) string { return env[name] }, "host")
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(got).To(Equal(ports))
				g.Expect(c.Status).To(Equal(cmp.Or(tt.status, 200)))
				g.Expect(self).To(Equal(standin.Self{Namespace: "ns1", Pod: "pod", Workload: strings.TrimSuffix(tt.owner, "-abc"), Labels: pod.Labels}))
			}
			g.Expect(found).To(HaveLen(want))
		})
	}
}

// Applications are real with their sidecar, all of them without one.
func TestChooserOfApplications(t *testing.T) {
	var (
		app     = program{Image: Image{Application: true}}
		initial = program{Image: Image{Limited: true, Redirects: true}}
		sidecar = program{Image: Image{Limited: true}, args: []string{"proxy", "sidecar"}}
	)
	for _, tt := range []struct {
		name     string
		programs map[string]program
		real     []bool // of three pods of an owner, of which one may be real
	}{
		{"an application alone", map[string]program{"app": app}, []bool{true, true, true}},
		{"with a sidecar", map[string]program{"app": app, "init": initial, "proxy": sidecar}, []bool{true, false, false}},
		{"an application that runs the proxy's arguments", map[string]program{"app": {Image: Image{Application: true}, args: []string{"proxy", "router"}}, "proxy": sidecar}, []bool{true, false, false}},
		{"an init container whose proxy is somebody else's", map[string]program{"init": initial}, []bool{false, false, false}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := newChooser(1)
			for i, want := range tt.real {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: types.UID(strconv.Itoa(i))}}
				pod.OwnerReferences = []metav1.OwnerReference{{UID: "rs", Controller: ptr.To(true)}}
				real, _ := c.choose(pod, tt.programs)
				NewWithT(t).Expect(real).To(Equal(want), "pod %d", i)
			}
		})
	}
}

// ordinarySandbox is the sandbox of a pod whose processes are all one user's.
type ordinarySandbox struct{ user int }

func (s ordinarySandbox) UserID() int { return s.user }
func (ordinarySandbox) Start(context.Context, runtime.ContainerConfig) (Process, error) {
	return nil, io.EOF
}
func (ordinarySandbox) Nftables() (*nftables.Conn, error)                      { return nil, io.EOF }
func (ordinarySandbox) Remove(context.Context) error                           { return nil }
func (ordinarySandbox) Dial(context.Context, string, string) (net.Conn, error) { return nil, io.EOF }

func TestUsers(t *testing.T) {
	g := NewWithT(t)
	app, proxy := program{Image: Image{Application: true}}, program{args: []string{"proxy", "sidecar"}}
	for user, want := range map[int][2]int{0: {-1, -1}, 200007: {1200007, -1}} {
		p := &pod{sandbox: ordinarySandbox{user}, containers: map[string]*container{}}
		mount := func(volumes ...string) (mounts []corev1.VolumeMount) {
			for _, v := range volumes {
				mounts = append(mounts, corev1.VolumeMount{Name: v})
			}
			return mounts
		}
		p.containers["app"] = &container{pod: p, program: app, spec: corev1.Container{VolumeMounts: mount("own", "shared")}}
		p.containers["proxy"] = &container{pod: p, program: proxy, spec: corev1.Container{VolumeMounts: mount("token", "shared")}}
		g.Expect([2]int{p.containers["app"].user(), p.containers["proxy"].user()}).To(Equal(want))
		owner := p.owner(user)
		for volume, application := range map[string]bool{"own": true, "shared": false, "token": false, "nobody": false} {
			id := user
			if application && user != 0 {
				id += applicationUsers
			}
			g.Expect(owner(volume)).To(Equal(id), volume)
		}
	}
}

// Only a proxy whose traffic is redirected and whose user tells nothing marks its sockets.
func TestMark(t *testing.T) {
	proxy, initial := program{args: []string{"proxy", "sidecar"}}, program{Image: Image{Redirects: true}}
	for _, tt := range []struct {
		name     string
		user     int
		programs map[string]program
		env      []string
		marked   bool
		err      string
	}{
		{"an ordinary user's", 0, map[string]program{"proxy": proxy, "init": initial}, []string{"A=b", "ISTIO_BOOTSTRAP_OVERRIDE="}, true, ""},
		{"with users", 200000, map[string]program{"proxy": proxy, "init": initial}, []string{"A=b"}, false, ""},
		{"nothing is redirected", 0, map[string]program{"proxy": proxy}, []string{"A=b"}, false, ""},
		{"an override of its own", 0, map[string]program{"proxy": proxy, "init": initial}, []string{"ISTIO_BOOTSTRAP_OVERRIDE=/etc/x.json"}, false, "annotation sidecar.istio.io/bootstrapOverride"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := NewWithT(t)
			p := &pod{sandbox: ordinarySandbox{tt.user}, programs: tt.programs, dir: t.TempDir()}
			mounts, env, err := (&container{pod: p, program: proxy}).mark(tt.env)
			if tt.err != "" {
				g.Expect(err).To(MatchError(ContainSubstring(tt.err)))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			if !tt.marked {
				g.Expect(mounts).To(BeEmpty())
				g.Expect(env).To(Equal(tt.env))
				return
			}
			g.Expect(env).To(Equal([]string{"A=b", "ISTIO_BOOTSTRAP_OVERRIDE=" + overridePath}))
			g.Expect(mounts).To(Equal([]runtime.Mount{{Source: filepath.Join(p.dir, "bootstrap.json"), Target: overridePath, ReadOnly: true}}))
			text, err := os.ReadFile(mounts[0].Source)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(text)).To(MatchJSON(`{"cluster_manager": {"upstream_bind_config": {"socket_options": [
				{"description": "the proxy's own traffic", "level": 1, "name": 36, "int_value": 1337, "state": "STATE_PREBIND"}]}}}`))
		})
	}
}

// saidProcess remembers the last command.
type saidProcess struct {
	Process
	said *[]string
}

func (p saidProcess) Exec(_ context.Context, cmd []string, _ io.Reader, _, _ io.Writer, _ bool, _ <-chan runtime.TerminalSize) (int, error) {
	*p.said = cmd
	return 0, nil
}

func TestRenamed(t *testing.T) {
	for _, tt := range []struct{ cmd, want []string }{
		{[]string{"/usr/bin/fortio", "load"}, []string{"/usr/local/bin/fortio", "load"}},
		{[]string{"/bin/sh", "/usr/bin/fortio"}, []string{"/bin/sh", "/usr/bin/fortio"}},
		{nil, nil},
	} {
		var said []string
		_, err := renamed{saidProcess{said: &said}, "/usr/bin/fortio", "/usr/local/bin/fortio"}.Exec(t.Context(), tt.cmd, nil, nil, nil, false, nil)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		NewWithT(t).Expect(said).To(Equal(tt.want))
	}
}
