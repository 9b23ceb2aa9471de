package mesh

import (
	"slices"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/meshbench/meshbench/observations"
)

func TestDifferences(t *testing.T) {
	istiod := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "discovery", Env: []corev1.EnvVar{{Name: "A", Value: "true"}}}}}}}}
	running := ControlPlane{Revision: "default", Versions: []string{"1.22.3"}, Installer: "Helm release istiod", deployment: istiod,
		MeshConfig: "accessLogFile: /dev/stdout\ndefaultConfig:\n  drainDuration: 45s\n"}
	withRelease := running
	withRelease.Release = &HelmRelease{Name: "istiod", Values: map[string]any{"pilot": map[string]any{"cpu": "x"}}, chart: &chart.Chart{
		Values: map[string]any{"defaults": map[string]any{"global": map[string]any{"proxy": map[string]any{"cpu": "100m"}}, "pilot": map[string]any{"replicaCount": float64(1)}}}}}
	flat := running
	flat.Release = &HelmRelease{chart: &chart.Chart{Values: map[string]any{"replicaCount": float64(2)}}}
	for name, test := range map[string]struct {
		plane  ControlPlane
		wanted Wanted
		want   []string
	}{
		"nothing asked": {running, Wanted{}, nil},
		"as asked": {withRelease, Wanted{Istio: "1.22.3", Values: map[string]any{
			"pilot":      map[string]any{"env": map[string]any{"A": true}, "replicaCount": 1},
			"meshConfig": map[string]any{"accessLogFile": "/dev/stdout", "defaultConfig": map[string]any{"drain_duration": "45s"}},
			"global":     map[string]any{"proxy": map[string]any{"cpu": "100m"}},
			"revision":   "", "revisionTags": []any{},
		}}, nil},
		"version": {running, Wanted{Istio: "1.23.2"}, []string{"The scenario asks for Istio 1.23.2, 1.22.3 runs"}},
		"values": {withRelease, Wanted{Values: map[string]any{
			"pilot":      map[string]any{"env": map[string]any{"A": false, "B": "x"}},
			"meshConfig": map[string]any{"accessLogFile": ""},
			"global":     map[string]any{"proxy": map[string]any{"cpu": "2"}},
		}}, []string{
			"The scenario asks for the value global.proxy.cpu: 2, the mesh has 100m",
			"The scenario asks for the value meshConfig.accessLogFile: none, the mesh has /dev/stdout",
			"The scenario asks for the value pilot.env.A: false, the mesh has true",
			"The scenario asks for the value pilot.env.B: x, the mesh has none",
		}},
		"since 1.24": {flat, Wanted{Values: map[string]any{"pilot": map[string]any{"replicaCount": 2}}}, nil},
		"not readable": {running, Wanted{Values: map[string]any{"global": map[string]any{"proxy": map[string]any{"cpu": "2"}}}},
			[]string{"Whether the mesh has the scenario's values is not known of global.proxy.cpu: it was installed by Helm release istiod"}},
		"version not known": {ControlPlane{deployment: istiod}, Wanted{Istio: "1.23.2"},
			[]string{"The scenario asks for Istio 1.23.2, and which version runs cannot be told from istiod's image and labels"}},
	} {
		t.Run(name, func(t *testing.T) {
			u := &Used{wanted: test.wanted, plane: test.plane}
			if got := u.Differences(); !slices.Equal(got, test.want) {
				t.Errorf("got  %q\nwant %q", got, test.want)
			}
		})
	}
}

// A mesh that is used is asked for a pod by a dry run, and nothing else is written.
func TestUseChangesNothing(t *testing.T) {
	d, pod, c, m, v := installed()
	client := fake.NewClientset(d, pod, c, m, v, ownNamespace())
	inject(client, corev1.Container{Name: observations.SidecarContainer, Env: []corev1.EnvVar{{Name: "ISTIO_DELTA_XDS", Value: "false"}}})
	u := &Used{mesh: meshOn(client, 0), plane: ControlPlane{Revision: "default", Namespace: DefaultNamespace, Versions: []string{"1.23.2"}, deployment: d}}
	u.mesh.options.fill()
	injected, err := u.await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	facts, err := u.facts(injected)
	if err != nil || facts.Istio != "1.23.2" || facts.XDS != "sotw" {
		t.Errorf("facts %+v, %v", facts, err)
	}
	for _, a := range client.Actions() {
		create, isCreate := a.(interface{ GetCreateOptions() metav1.CreateOptions })
		switch {
		case a.GetVerb() == "get", a.GetVerb() == "list":
		case !isCreate || len(create.GetCreateOptions().DryRun) == 0:
			t.Errorf("the cluster was changed: %s %s", a.GetVerb(), a.GetResource().Resource)
		}
	}
}

// Where no pod can be asked for, the mesh configuration says what proxies do.
func TestUseWithoutDryRun(t *testing.T) {
	u := &Used{plane: ControlPlane{Versions: []string{"1.23.2"}, MeshConfig: "defaultConfig:\n  proxyMetadata:\n    ISTIO_DELTA_XDS: \"false\"\n"}}
	if got := u.xds("1.23.2", nil); got != "sotw" {
		t.Errorf("got %s", got)
	}
	u.plane.MeshConfig = ""
	if got := u.xds("1.23.2", nil); got != "delta" {
		t.Errorf("got %s", got)
	}
}
