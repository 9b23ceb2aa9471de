package kind

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	kindcluster "sigs.k8s.io/kind/pkg/cluster"
	"sigs.k8s.io/kind/pkg/cluster/nodes"
)

// fakeMachine answers programs and files from tables: a program by its whole command line.
type fakeMachine struct {
	said  map[string]string
	fails map[string]string // what it says on standard error
	files map[string]string
	asked []string
}

var errNoProgram = errors.New("executable file not found in $PATH")

func (m *fakeMachine) run(_ context.Context, program string, args ...string) (string, error) {
	line := strings.Join(append([]string{program}, args...), " ")
	m.asked = append(m.asked, line)
	if text, ok := m.said[line]; ok {
		return text, nil
	}
	for start, text := range m.fails {
		if strings.HasPrefix(line, start) {
			return "", fmt.Errorf("exit status 1: %s", text)
		}
	}
	return "", errNoProgram
}

func (m *fakeMachine) read(path string) (string, error) {
	if text, ok := m.files[path]; ok {
		return text, nil
	}
	return "", os.ErrNotExist
}

const (
	dockerInfo = "docker info --format {{.Architecture}} {{.NCPU}} {{.MemTotal}} {{.CgroupVersion}} {{.ServerVersion}}"
	podmanInfo = "podman info --format {{.Host.Arch}} {{.Host.CPUs}} {{.Host.MemTotal}} {{.Host.CgroupsVersion}} {{.Version.Version}}"
)

// dockerMachine has docker and room for everything.
func dockerMachine() *fakeMachine {
	return &fakeMachine{
		said: map[string]string{
			"docker -v": "Docker version 28.2.2, build e6534b4",
			dockerInfo:  "x86_64 2 25180000000 1 28.2.2",
		},
		fails: map[string]string{},
		files: map[string]string{
			"/proc/meminfo": "MemTotal: 99 kB\nMemAvailable:   24000000 kB\nBuffers: 1 kB",
			"/proc/sys/fs/inotify/max_user_instances": "8192",
			"/proc/sys/fs/inotify/max_user_watches":   "524288",
		},
	}
}

// with gives docker an image.
func (m *fakeMachine) with(image, arch string) *fakeMachine {
	m.said["docker image inspect --format {{.Architecture}} "+image] = arch
	return m
}

// fakeRegistry has images by their canonical names.
type fakeRegistry []string

func (r fakeRegistry) has(_ context.Context, image, _ string) error {
	if slices.Contains(r, image) {
		return nil
	}
	return errors.New("no such host")
}

// fakeKinds is kind with clusters that are only names.
type fakeKinds struct {
	mu       sync.Mutex
	clusters []string
	done     []string
	// create, if set, is what making a cluster does, after its nodes are there.
	create func(k *fakeKinds, name string) error
	// deleted is closed by the first deletion of a cluster that is there.
	deleted chan struct{}
	// deleteErr fails deletions.
	deleteErr error
	// kubeconfig is that of every cluster; "" for none.
	kubeconfig string
}

func newFake(clusters ...string) *fakeKinds {
	return &fakeKinds{clusters: clusters, deleted: make(chan struct{})}
}

func (k *fakeKinds) note(format string, args ...any) {
	k.done = append(k.done, fmt.Sprintf(format, args...))
}

func (k *fakeKinds) Create(name string, _ ...kindcluster.CreateOption) error {
	k.mu.Lock()
	k.note("create %s", name)
	k.clusters = append(k.clusters, name)
	k.mu.Unlock()
	if k.create == nil {
		return nil
	}
	return k.create(k, name)
}

func (k *fakeKinds) Delete(name, _ string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.deleteErr != nil {
		return k.deleteErr
	}
	if i := slices.Index(k.clusters, name); i >= 0 {
		k.note("delete %s", name)
		k.clusters = slices.Delete(k.clusters, i, i+1)
		select {
		case <-k.deleted:
		default:
			close(k.deleted)
		}
	}
	return nil
}

func (k *fakeKinds) List() ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.clusters), nil
}

func (k *fakeKinds) ListInternalNodes(string) ([]nodes.Node, error) { return nil, nil }

func (k *fakeKinds) ExportKubeConfig(_, path string, _ bool) error {
	if k.kubeconfig == "" {
		return nil
	}
	return os.WriteFile(path, []byte(k.kubeconfig), 0o600)
}

func (k *fakeKinds) CollectLogs(name, dir string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.note("logs %s", name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "kubelet.log"), []byte("why"), 0o644)
}

func (k *fakeKinds) has(name string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Contains(k.clusters, name)
}

// world is a provider on fakes, with records of its own.
func world(t *testing.T, m *fakeMachine, r fakeRegistry, k *fakeKinds, o Options) *provider {
	t.Helper()
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	t.Setenv("KIND_EXPERIMENTAL_PROVIDER", "")
	p := New(o).(*provider)
	p.machine, p.registry, p.kinds = m, r, func(engine) kinds { return k }
	return p
}

// records are the names on record.
func records(t *testing.T) []string {
	t.Helper()
	all, err := List()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range all {
		names = append(names, r.Name)
	}
	return names
}

// wantWords fails unless err has all words.
func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error without %q: %v", w, err)
		}
	}
}
