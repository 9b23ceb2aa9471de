package kubelet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/meshbench/meshbench/harness/cluster/embedded/runtime"
)

// tokens asks the API server for a token of the pod's service account.
type tokens interface {
	token(ctx context.Context, pod *corev1.Pod, spec authenticationv1.TokenRequestSpec) (authenticationv1.TokenRequestStatus, error)
}

// volumes are the folders of a pod's volumes on the host, one a volume, under dir.
// Their content is what a kubelet would put there. Volumes that would hold something of
// the node or of a disk (hostPath, claims) are empty folders. It is not safe for
// concurrent use.
type volumes struct {
	dir         string
	owner       func(volume string) int // user id of its files' owner; nil for 0
	allocatable corev1.ResourceList
	objects     objects
	tokens      tokens
	now         func() time.Time

	mu      sync.Mutex
	written map[string]map[string]file // what each volume holds, by its name
	cached  map[string]cachedToken     // by volume and path
}

type file struct {
	data []byte
	mode os.FileMode
}

type cachedToken struct {
	token   string
	renewal time.Time
}

// errNotReady is wrapped by errors that waiting may cure, e.g. a missing ConfigMap.
var errNotReady = errors.New("not ready")

// update makes the pod's volumes, or brings their content up to date.
func (v *volumes) update(ctx context.Context, pod *corev1.Pod) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.written == nil {
		v.written, v.cached = map[string]map[string]file{}, map[string]cachedToken{}
	}
	for _, volume := range pod.Spec.Volumes {
		if err := v.updateOne(ctx, pod, volume); err != nil {
			return fmt.Errorf("set up volume %s: %w", volume.Name, err)
		}
	}
	return nil
}

func (v *volumes) updateOne(ctx context.Context, pod *corev1.Pod, volume corev1.Volume) error {
	files, err := v.content(ctx, pod, volume)
	if err != nil {
		return err
	}
	dir := filepath.Join(v.dir, volume.Name)
	old, exists := v.written[volume.Name]
	if exists && maps.EqualFunc(old, files, func(a, b file) bool { return a.mode == b.mode && bytes.Equal(a.data, b.data) }) {
		return nil
	}
	if !exists {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		// A kubelet makes these 0777, whatever the umask.
		if err := os.Chmod(dir, 0o777); err != nil {
			return err
		}
	}
	if files != nil {
		uid := 0
		if v.owner != nil {
			uid = v.owner(volume.Name)
		}
		if err := replace(dir, files, uid); err != nil {
			return err
		}
	}
	v.written[volume.Name] = files
	return nil
}

// content is what the volume is to hold; nil if it is the container's own to fill.
func (v *volumes) content(ctx context.Context, pod *corev1.Pod, volume corev1.Volume) (map[string]file, error) {
	files := map[string]file{}
	switch {
	case volume.ConfigMap != nil:
		s := volume.ConfigMap
		return files, v.addConfigMap(files, pod.Namespace, s.Name, s.Items, s.Optional, mode(s.DefaultMode))
	case volume.Secret != nil:
		s := volume.Secret
		return files, v.addSecret(files, pod.Namespace, s.SecretName, s.Items, s.Optional, mode(s.DefaultMode))
	case volume.DownwardAPI != nil:
		s := volume.DownwardAPI
		return files, v.addFields(files, pod, s.Items, mode(s.DefaultMode))
	case volume.Projected == nil:
		return nil, nil
	}
	defaultMode := mode(volume.Projected.DefaultMode)
	for _, s := range volume.Projected.Sources {
		var err error
		switch {
		case s.ConfigMap != nil:
			err = v.addConfigMap(files, pod.Namespace, s.ConfigMap.Name, s.ConfigMap.Items, s.ConfigMap.Optional, defaultMode)
		case s.Secret != nil:
			err = v.addSecret(files, pod.Namespace, s.Secret.Name, s.Secret.Items, s.Secret.Optional, defaultMode)
		case s.DownwardAPI != nil:
			err = v.addFields(files, pod, s.DownwardAPI.Items, defaultMode)
		case s.ServiceAccountToken != nil:
			err = v.addToken(ctx, files, pod, volume.Name, s.ServiceAccountToken, defaultMode)
		default:
			err = errors.New("the embedded cluster does not know this kind of projection")
		}
		if err != nil {
			return nil, err
		}
	}
	return files, nil
}

func (v *volumes) addConfigMap(files map[string]file, namespace, name string, items []corev1.KeyToPath, optional *bool, mode os.FileMode) error {
	m, err := v.objects.configMap(namespace, name)
	if err != nil {
		return notReadyUnlessOptional(optional, err)
	}
	data := maps.Clone(m.BinaryData)
	if data == nil {
		data = map[string][]byte{}
	}
	for key, value := range m.Data {
		data[key] = []byte(value)
	}
	return addKeys(files, data, items, optional, mode, "ConfigMap", name)
}

func (v *volumes) addSecret(files map[string]file, namespace, name string, items []corev1.KeyToPath, optional *bool, mode os.FileMode) error {
	s, err := v.objects.secret(namespace, name)
	if err != nil {
		return notReadyUnlessOptional(optional, err)
	}
	return addKeys(files, s.Data, items, optional, mode, "Secret", name)
}

func notReadyUnlessOptional(optional *bool, err error) error {
	if err := unlessOptional(optional, err); err != nil {
		return fmt.Errorf("%w: %w", errNotReady, err)
	}
	return nil
}

func addKeys(files map[string]file, data map[string][]byte, items []corev1.KeyToPath, optional *bool, mode os.FileMode, kind, name string) error {
	if len(items) == 0 {
		for key, value := range data {
			files[key] = file{value, mode}
		}
		return nil
	}
	for _, item := range items {
		value, ok := data[item.Key]
		if err := missingKey(ok, optional, kind, name, item.Key); err != nil {
			return fmt.Errorf("%w: %w", errNotReady, err)
		}
		if ok {
			files[item.Path] = file{value, itemMode(item.Mode, mode)}
		}
	}
	return nil
}

func (v *volumes) addFields(files map[string]file, pod *corev1.Pod, items []corev1.DownwardAPIVolumeFile, mode os.FileMode) error {
	for _, item := range items {
		var text string
		var err error
		if item.FieldRef != nil {
			text, err = field(pod, item.FieldRef.FieldPath)
		} else if item.ResourceFieldRef != nil {
			text, err = resourceField(item.ResourceFieldRef, pod, nil, v.allocatable)
		}
		if err != nil {
			return fmt.Errorf("file %s: %w", item.Path, err)
		}
		files[item.Path] = file{[]byte(text), itemMode(item.Mode, mode)}
	}
	return nil
}

// addToken adds a service account token, renewed when a fifth of its lifetime
// is left or it is a day old, as a kubelet does.
func (v *volumes) addToken(ctx context.Context, files map[string]file, pod *corev1.Pod, volume string, projection *corev1.ServiceAccountTokenProjection, mode os.FileMode) error {
	key := filepath.Join(volume, projection.Path)
	cached, ok := v.cached[key]
	if now := v.now(); !ok || now.After(cached.renewal) {
		spec := authenticationv1.TokenRequestSpec{
			ExpirationSeconds: projection.ExpirationSeconds,
			BoundObjectRef:    &authenticationv1.BoundObjectReference{Kind: "Pod", APIVersion: "v1", Name: pod.Name, UID: pod.UID},
		}
		if projection.Audience != "" {
			spec.Audiences = []string{projection.Audience}
		}
		status, err := v.tokens.token(ctx, pod, spec)
		switch {
		case err == nil:
			cached = cachedToken{status.Token, now.Add(tokenAge(status, now))}
			v.cached[key] = cached
		case !ok: // else the old one is still good for a while
			return fmt.Errorf("%w: ask for a token of service account %s: %w", errNotReady, pod.Spec.ServiceAccountName, err)
		}
	}
	files[projection.Path] = file{[]byte(cached.token), mode}
	return nil
}

// tokenAge is the age at which a token is renewed.
func tokenAge(status authenticationv1.TokenRequestStatus, now time.Time) time.Duration {
	return min(status.ExpirationTimestamp.Sub(now)*4/5, 24*time.Hour)
}

func mode(m *int32) os.FileMode { return itemMode(m, 0o644) }

func itemMode(m *int32, or os.FileMode) os.FileMode {
	if m == nil {
		return or
	}
	return os.FileMode(*m)
}

// mounts are the container's volume mounts. A subPath that does not exist is made.
func (v *volumes) mounts(pod *corev1.Pod, container *corev1.Container, vars []string) ([]runtime.Mount, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var mounts []runtime.Mount
	for _, m := range container.VolumeMounts {
		n := slices.IndexFunc(pod.Spec.Volumes, func(volume corev1.Volume) bool { return volume.Name == m.Name })
		if n < 0 {
			return nil, fmt.Errorf("mount %s: no such volume", m.Name)
		}
		source := filepath.Join(v.dir, m.Name)
		subPath := m.SubPath
		if m.SubPathExpr != "" {
			subPath = expand(m.SubPathExpr, variables(vars))
		}
		if subPath != "" {
			if !filepath.IsLocal(subPath) {
				return nil, fmt.Errorf("mount %s: sub-path %q leaves the volume", m.Name, subPath)
			}
			source = filepath.Join(source, subPath)
			if _, err := os.Stat(source); errors.Is(err, os.ErrNotExist) {
				if err := os.MkdirAll(source, 0o777); err != nil {
					return nil, fmt.Errorf("mount %s: make sub-path: %w", m.Name, err)
				}
			}
			// The content's folder is replaced when it changes, so a file is bound by its
			// present place: as in a kubelet, it does not follow later changes.
			resolved, err := filepath.EvalSymlinks(source)
			if err != nil {
				return nil, fmt.Errorf("mount %s: find sub-path: %w", m.Name, err)
			}
			source = resolved
		}
		mounts = append(mounts, runtime.Mount{
			Source:   source,
			Target:   m.MountPath,
			ReadOnly: m.ReadOnly || v.written[m.Name] != nil,
		})
	}
	return mounts, v.makeNested(container, mounts)
}

// makeNested makes the folders in a volume of ours, which is mounted read-only, at which
// other volumes of the container are mounted, as a kubelet does.
func (v *volumes) makeNested(container *corev1.Container, mounts []runtime.Mount) error {
	for i, outer := range container.VolumeMounts {
		if v.written[outer.Name] == nil || outer.SubPath+outer.SubPathExpr != "" {
			continue
		}
		for _, inner := range mounts {
			below, err := filepath.Rel(outer.MountPath, inner.Target)
			if err != nil || below == "." || !filepath.IsLocal(below) {
				continue
			}
			if err := os.MkdirAll(filepath.Join(mounts[i].Source, below), 0o755); err != nil {
				return fmt.Errorf("mount %s: make the folder at which %s is mounted: %w", outer.Name, inner.Target, err)
			}
		}
	}
	return nil
}

func variables(env []string) map[string]string {
	vars := map[string]string{}
	for _, v := range env {
		name, value, _ := strings.Cut(v, "=")
		vars[name] = value
	}
	return vars
}

// replace makes files the content of dir at one stroke, with the layout of a kubelet,
// which programs that watch their files know: the content lies in a folder of its own,
// the symbolic link ..data points to that folder and is replaced atomically, and each
// visible name is a link through ..data. Folders are left: other volumes are mounted there.
func replace(dir string, files map[string]file, uid int) error {
	const link = "..data"
	content, err := os.MkdirTemp(dir, "..")
	if err != nil {
		return err
	}
	if err := os.Chmod(content, 0o755); err != nil {
		return err
	}
	names := map[string]bool{}
	for path, f := range files {
		if !filepath.IsLocal(path) {
			return fmt.Errorf("path %q leaves the volume", path)
		}
		full := filepath.Join(content, path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(full, f.data, 0o600); err != nil {
			return err
		}
		// Set apart from creation, because of the umask.
		if err := os.Chmod(full, f.mode); err != nil {
			return err
		}
		if uid != 0 {
			if err := os.Chown(full, uid, uid); err != nil {
				return err
			}
		}
		top, _, _ := strings.Cut(filepath.Clean(path), "/")
		names[top] = true
	}

	old, err := os.Readlink(filepath.Join(dir, link))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	temporary := filepath.Join(dir, link+"_tmp")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Symlink(filepath.Base(content), temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(dir, link)); err != nil {
		return err
	}

	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, "..") {
			continue
		}
		if !names[name] && !e.IsDir() {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
		delete(names, name)
	}
	for name := range names {
		if err := os.Symlink(filepath.Join(link, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	if old != "" {
		return os.RemoveAll(filepath.Join(dir, old))
	}
	return nil
}
