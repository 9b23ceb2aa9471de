package kubelet

import (
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/internal/annotations"
	"github.com/meshbench/meshbench/internal/simulate"
)

// TestNewPod: what a pod says of its containers reaches it, whether they run or are only said
// to.
func TestNewPod(t *testing.T) {
	yes := true
	job := []metav1.OwnerReference{{Kind: "Job", Name: "j", UID: "j", Controller: &yes}}
	for name, c := range map[string]struct {
		annotations map[string]string
		owner       []metav1.OwnerReference
		app         simulate.Life // of the container that is simulated
		real, fails bool
	}{
		"nothing said":         {app: simulate.Life{}, real: true},
		"of a Job":             {owner: job, app: simulate.Life{Lasts: simulate.JobLasts}, real: true},
		"told how long":        {annotations: map[string]string{simulate.Lasts: "5s", simulate.ExitCode: "3"}, app: simulate.Life{Lasts: 5 * time.Second, ExitCode: 3}, real: true},
		"told what is no time": {annotations: map[string]string{simulate.Lasts: "later"}, real: true, fails: true},
		"not to run":           {annotations: map[string]string{annotations.Real: "0"}},
	} {
		t.Run(name, func(t *testing.T) {
			n := &virtualNode{manager: &Manager{
				config:  Config{Images: []Image{{Repository: "proxyv2", Args: []string{"proxy"}, Program: "/opt/pilot-agent", Limited: true}}, Dir: t.TempDir()},
				chooser: newChooser(-1),
				podIPs:  newAddresses(Range{netip.MustParseAddr("10.0.16.0"), netip.MustParseAddr("10.0.16.9")}),
			}}
			p, err := newPod(n, &corev1.Pod{
				ObjectMeta: metav1.ObjectMeta{Namespace: "ns1", Name: "p", UID: "u", Annotations: c.annotations, OwnerReferences: c.owner},
				Spec: corev1.PodSpec{Containers: []corev1.Container{
					{Name: "c", Image: "nginx"}, {Name: "istio-proxy", Image: "istio/proxyv2:1", Args: []string{"proxy", "sidecar"}},
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			if p.isReal() != c.real || (p.failure != nil) != c.fails {
				t.Errorf("real %v, failure %v", p.isReal(), p.failure)
			}
			if c.fails {
				return
			}
			if life, known := p.lives["c"]; !known || life != c.app {
				t.Errorf("the application lives %+v (known: %v), want %+v", life, known, c.app)
			}
			if _, known := p.lives["istio-proxy"]; known == c.real {
				t.Errorf("the proxy is simulated: %v", known)
			}
			if _, runs := p.containers["istio-proxy"]; runs != c.real {
				t.Errorf("the proxy runs: %v", runs)
			}
		})
	}
}
