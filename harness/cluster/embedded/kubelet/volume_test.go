package kubelet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
)

// fakeTokens numbers the tokens that it gives out, for an hour each.
type fakeTokens struct {
	now   *time.Time
	specs []authenticationv1.TokenRequestSpec
	err   error
}

func (f *fakeTokens) token(_ context.Context, _ *corev1.Pod, spec authenticationv1.TokenRequestSpec) (authenticationv1.TokenRequestStatus, error) {
	if f.err != nil {
		return authenticationv1.TokenRequestStatus{}, f.err
	}
	f.specs = append(f.specs, spec)
	return authenticationv1.TokenRequestStatus{Token: fmt.Sprintf("token%d", len(f.specs)), ExpirationTimestamp: metav1.NewTime(f.now.Add(time.Hour))}, nil
}

func configMapVolume(name string, optional bool, items ...corev1.KeyToPath) corev1.VolumeSource {
	return corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: name}, Items: items, Optional: &optional, DefaultMode: ptr.To[int32](0o640)}}
}

func projected(sources ...corev1.VolumeProjection) corev1.VolumeSource {
	return corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: sources}}
}

func fieldItem(path, field string) corev1.DownwardAPIVolumeFile {
	return corev1.DownwardAPIVolumeFile{Path: path, FieldRef: &corev1.ObjectFieldSelector{FieldPath: field}}
}

func testVolumes(t *testing.T, from fakeObjects) (*volumes, *fakeTokens, *time.Time) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tokens := &fakeTokens{now: &now}
	return &volumes{
		dir: t.TempDir(), objects: from, tokens: tokens, allocatable: nodeAllocatable,
		now: func() time.Time { return now },
	}, tokens, &now
}

// tree is what a program sees in a folder: paths, contents and modes.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	seen := map[string]string{}
	var walk func(string)
	walk = func(path string) {
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		if !info.IsDir() {
			data, err := os.ReadFile(filepath.Join(dir, path))
			if err != nil {
				t.Fatal(err)
			}
			seen[path] = fmt.Sprintf("%o %s", info.Mode().Perm(), data)
			return
		}
		entries, err := os.ReadDir(filepath.Join(dir, path))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), "..") {
				walk(filepath.Join(path, e.Name()))
			}
		}
	}
	walk("")
	return seen
}

func TestVolumes(t *testing.T) {
	from := fakeObjects{
		configMaps: map[string]map[string]string{"settings": {"colour": "green", "size": "big"}, "istio-ca-root-cert": {"root-cert.pem": "cert"}},
		secrets:    map[string]map[string]string{"keys": {"key": "secret"}},
	}
	for _, test := range []struct {
		name   string
		source corev1.VolumeSource
		want   map[string]string
		err    string
	}{
		{"emptyDir", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory}}, map[string]string{}, ""},
		{"hostPath", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/etc"}}, map[string]string{}, ""},
		{"configMap", configMapVolume("settings", false), map[string]string{"colour": "640 green", "size": "640 big"}, ""},
		{"items", configMapVolume("settings", false, corev1.KeyToPath{Key: "colour", Path: "a/b/colour", Mode: ptr.To[int32](0o400)}), map[string]string{"a/b/colour": "400 green"}, ""},
		{"missing key", configMapVolume("settings", false, corev1.KeyToPath{Key: "absent", Path: "x"}), nil, "ConfigMap settings has no key absent"},
		{"missing optional key", configMapVolume("settings", true, corev1.KeyToPath{Key: "absent", Path: "x"}), map[string]string{}, ""},
		{"missing", configMapVolume("absent", false), nil, `"absent" not found`},
		{"missing optional", configMapVolume("absent", true), map[string]string{}, ""},
		{"secret", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "keys"}}, map[string]string{"key": "644 secret"}, ""},
		{"missing secret", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "absent"}}, nil, `"absent" not found`},
		{"downwardAPI", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			fieldItem("labels", "metadata.labels"), fieldItem("annotations", "metadata.annotations"),
			{Path: "cpu", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "main", Resource: "limits.cpu"}},
		}}}, map[string]string{"labels": "644 app=\"web\"\nversion=\"v1\"", "annotations": `644 note="a \"b\""`, "cpu": "644 2"}, ""},
		{"resource of no container", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
			{Path: "cpu", ResourceFieldRef: &corev1.ResourceFieldSelector{Resource: "limits.cpu"}}}}}, nil, "no container"},
		{"projected", projected(
			corev1.VolumeProjection{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "istio-token", Audience: "istio-ca"}},
			corev1.VolumeProjection{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "istio-ca-root-cert"}}},
			corev1.VolumeProjection{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}}},
			corev1.VolumeProjection{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{fieldItem("namespace", "metadata.namespace")}}},
		), map[string]string{"istio-token": "644 token1", "root-cert.pem": "644 cert", "key": "644 secret", "namespace": "644 ns"}, ""},
		{"unknown projection", projected(corev1.VolumeProjection{}), nil, "does not know"},
	} {
		t.Run(test.name, func(t *testing.T) {
			v, _, _ := testVolumes(t, from)
			pod := envPod()
			pod.Spec.Containers = []corev1.Container{{Name: "main"}}
			pod.Spec.Volumes = []corev1.Volume{{Name: "v", VolumeSource: test.source}}
			err := v.update(t.Context(), pod)
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), "volume v") {
					t.Fatalf("error is %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := tree(t, filepath.Join(v.dir, "v")); !maps.Equal(got, test.want) {
				t.Errorf("holds %q, want %q", got, test.want)
			}
		})
	}
}

// A volume changes at one stroke, and only if its content does.
func TestVolumeChanges(t *testing.T) {
	from := fakeObjects{configMaps: map[string]map[string]string{"settings": {"colour": "green", "old": "1"}}}
	v, _, _ := testVolumes(t, from)
	pod := envPod()
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "settings", VolumeSource: configMapVolume("settings", false)},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	update := func() string {
		t.Helper()
		if err := v.update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		link, err := os.Readlink(filepath.Join(v.dir, "settings", "..data"))
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	first := update()
	if err := os.WriteFile(filepath.Join(v.dir, "scratch", "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if again := update(); again != first {
		t.Errorf("content was written again though nothing changed: %s, %s", first, again)
	}
	from.configMaps["settings"] = map[string]string{"colour": "red", "new": "2"}
	if second := update(); second == first {
		t.Error("content was changed in place")
	}
	if got, want := tree(t, filepath.Join(v.dir, "settings")), map[string]string{"colour": "640 red", "new": "640 2"}; !maps.Equal(got, want) {
		t.Errorf("holds %q, want %q", got, want)
	}
	entries, err := os.ReadDir(filepath.Join(v.dir, "settings"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 4 { // colour, new, ..data and the folder it points to
		t.Errorf("entries are %v", entries)
	}
	if _, err := os.Stat(filepath.Join(v.dir, "scratch", "mine")); err != nil {
		t.Errorf("a file in an emptyDir: %v", err)
	}
	// An object that goes away leaves the content as it is.
	delete(from.configMaps, "settings")
	if err := v.update(t.Context(), pod); !errors.Is(err, errNotReady) {
		t.Errorf("error is %v", err)
	}
	if got := tree(t, filepath.Join(v.dir, "settings"))["colour"]; got != "640 red" {
		t.Errorf("colour is %q", got)
	}
}

func TestTokenRenewal(t *testing.T) {
	v, tokens, now := testVolumes(t, fakeObjects{})
	pod := envPod()
	pod.Spec.Volumes = []corev1.Volume{{Name: "token", VolumeSource: projected(corev1.VolumeProjection{
		ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "istio-token", Audience: "istio-ca", ExpirationSeconds: ptr.To[int64](3600)}})}}
	for _, step := range []struct {
		after time.Duration
		err   error
		want  string
	}{
		{0, nil, "token1"},
		{47 * time.Minute, nil, "token1"},
		{48*time.Minute + time.Second, errors.New("API server away"), "token1"}, // still good
		{49 * time.Minute, nil, "token2"},
		{(49 + 47) * time.Minute, nil, "token2"},
		{(49 + 49) * time.Minute, nil, "token3"},
	} {
		*now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(step.after)
		tokens.err = step.err
		if err := v.update(t.Context(), pod); err != nil {
			t.Fatal(err)
		}
		if got := tree(t, filepath.Join(v.dir, "token"))["istio-token"]; got != "644 "+step.want {
			t.Errorf("after %v: %q, want %q", step.after, got, step.want)
		}
	}
	spec := tokens.specs[0]
	if !slices.Equal(spec.Audiences, []string{"istio-ca"}) || *spec.ExpirationSeconds != 3600 || spec.BoundObjectRef.UID != pod.UID || spec.BoundObjectRef.Name != pod.Name {
		t.Errorf("asked for %+v", spec)
	}
}

func TestFirstTokenIsNeeded(t *testing.T) {
	v, tokens, _ := testVolumes(t, fakeObjects{})
	tokens.err = errors.New("API server away")
	pod := envPod()
	pod.Spec.Volumes = []corev1.Volume{{Name: "token", VolumeSource: projected(corev1.VolumeProjection{
		ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "t"}})}}
	if err := v.update(t.Context(), pod); !errors.Is(err, errNotReady) || !errors.Is(err, tokens.err) {
		t.Errorf("error is %v", err)
	}
}

func TestMounts(t *testing.T) {
	v, _, _ := testVolumes(t, fakeObjects{configMaps: map[string]map[string]string{"settings": {"colour": "green"}}})
	pod := envPod()
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "settings", VolumeSource: configMapVolume("settings", false)},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	if err := v.update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	content, err := os.Readlink(filepath.Join(v.dir, "settings", "..data"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		mount corev1.VolumeMount
		want  runtime.Mount
		err   string
	}{
		{"content is read-only", corev1.VolumeMount{Name: "settings", MountPath: "/etc/settings"}, runtime.Mount{Source: "settings", Target: "/etc/settings", ReadOnly: true}, ""},
		{"one file", corev1.VolumeMount{Name: "settings", MountPath: "/colour", SubPath: "colour"}, runtime.Mount{Source: "settings/" + content + "/colour", Target: "/colour", ReadOnly: true}, ""},
		{"writable", corev1.VolumeMount{Name: "scratch", MountPath: "/s"}, runtime.Mount{Source: "scratch", Target: "/s"}, ""},
		{"read-only", corev1.VolumeMount{Name: "scratch", MountPath: "/s", ReadOnly: true}, runtime.Mount{Source: "scratch", Target: "/s", ReadOnly: true}, ""},
		{"new sub-path", corev1.VolumeMount{Name: "scratch", MountPath: "/s", SubPath: "a/b"}, runtime.Mount{Source: "scratch/a/b", Target: "/s"}, ""},
		{"expanded sub-path", corev1.VolumeMount{Name: "scratch", MountPath: "/s", SubPathExpr: "$(POD)/x"}, runtime.Mount{Source: "scratch/p/x", Target: "/s"}, ""},
		{"leaves", corev1.VolumeMount{Name: "scratch", MountPath: "/s", SubPathExpr: "../$(POD)"}, runtime.Mount{}, "leaves the volume"},
		{"no such volume", corev1.VolumeMount{Name: "absent", MountPath: "/s"}, runtime.Mount{}, "no such volume"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := v.mounts(pod, &corev1.Container{VolumeMounts: []corev1.VolumeMount{test.mount}}, []string{"POD=p"})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error is %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			test.want.Source = filepath.Join(v.dir, test.want.Source)
			if len(got) != 1 || got[0] != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// TestNestedMounts: one volume mounted inside another that is read-only, as Istio does with
// its list of revoked certificates.
func TestNestedMounts(t *testing.T) {
	settings := map[string]string{"colour": "green"}
	v, _, _ := testVolumes(t, fakeObjects{configMaps: map[string]map[string]string{"settings": settings}})
	pod := envPod()
	pod.Spec.Volumes = []corev1.Volume{
		{Name: "settings", VolumeSource: configMapVolume("settings", false)},
		{Name: "absent", VolumeSource: configMapVolume("absent", true)},
		{Name: "scratch", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
	}
	if err := v.update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	c := &corev1.Container{VolumeMounts: []corev1.VolumeMount{
		{Name: "absent", MountPath: "/etc/settings/more/of-it"},
		{Name: "settings", MountPath: "/etc/settings"},
		{Name: "scratch", MountPath: "/etc/settings2"},
	}}
	for range 2 { // a second start
		if _, err := v.mounts(pod, c, nil); err != nil {
			t.Fatal(err)
		}
	}
	// A change of the content leaves what others are mounted on.
	settings["size"] = "large"
	if err := v.update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
	got := tree(t, filepath.Join(v.dir, "settings"))
	if info, err := os.Stat(filepath.Join(v.dir, "settings/more/of-it")); err != nil || !info.IsDir() || got["colour"] == "" || got["size"] == "" {
		t.Errorf("%v, %v, %v", info, err, got)
	}
	if left, err := os.ReadDir(filepath.Join(v.dir, "scratch")); err != nil || len(left) > 0 {
		t.Errorf("in scratch: %v, %v", left, err)
	}
	// In the way of a mount is a file.
	c.VolumeMounts[0].MountPath = "/etc/settings/colour"
	if _, err := v.mounts(pod, c, nil); err == nil {
		t.Error("a volume is mounted over a file")
	}
}
