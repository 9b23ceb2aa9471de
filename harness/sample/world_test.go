package sample

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/kubelet/pkg/cri/streaming/portforward"
	metricsv1beta1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
)

// world is an API server with just what sampling asks for. Port-forwards are served
// by the kubelet's own code.
type world struct {
	*http.ServeMux // requests to the API server
	server         *httptest.Server
	forwards       sync.WaitGroup // port-forwards under way

	mu    sync.Mutex
	ports map[string]string // pod:port to the address of what listens there
}

func newWorld(t *testing.T) *world {
	w := &world{ServeMux: http.NewServeMux(), ports: map[string]string{}}
	w.HandleFunc("POST /api/v1/namespaces/{namespace}/pods/{pod}/portforward", func(rw http.ResponseWriter, req *http.Request) {
		w.forwards.Add(1)
		defer w.forwards.Done()
		name := req.PathValue("namespace") + "/" + req.PathValue("pod")
		portforward.ServePortForward(rw, req, w, name, "", nil, time.Minute, time.Minute, portforward.SupportedProtocols)
	})
	w.server = httptest.NewServer(w)
	t.Cleanup(func() {
		w.forwards.Wait() // hangs on a port-forward that was left open
		w.server.Close()
	})
	return w
}

// sampler returns one for this world, closed before the world ends.
func (w *world) sampler(t *testing.T) *Sampler {
	s, err := New(&rest.Config{Host: w.server.URL}, Scope{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// listen lets a handler answer at a port of a pod.
func (w *world) listen(t *testing.T, pod string, port int, handler http.Handler) {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ports[fmt.Sprintf("%s:%d", pod, port)] = server.Listener.Addr().String()
}

// PortForward is the kubelet's side of a forwarded connection.
func (w *world) PortForward(_ context.Context, pod string, _ types.UID, port int32, stream io.ReadWriteCloser) error {
	defer stream.Close()
	w.mu.Lock()
	addr, found := w.ports[fmt.Sprintf("%s:%d", pod, port)]
	w.mu.Unlock()
	if !found {
		return fmt.Errorf("dial tcp 127.0.0.1:%d: connect: connection refused", port)
	}
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	go func() {
		_, _ = io.Copy(conn, stream)
		conn.Close()
	}()
	_, _ = io.Copy(stream, conn)
	return nil
}

// answer serves one path with a value as JSON.
func (w *world) answer(path string, value any) {
	w.HandleFunc("GET "+path, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(value)
	})
}

// pods serves the list of pods, with the label selector for istiod obeyed.
func (w *world) pods(pods ...corev1.Pod) {
	w.HandleFunc("GET /api/v1/pods", func(rw http.ResponseWriter, req *http.Request) {
		list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}}
		key, want, _ := strings.Cut(req.URL.Query().Get("labelSelector"), "=")
		for _, p := range pods {
			if p.Labels[key] == want {
				list.Items = append(list.Items, p)
			}
		}
		rw.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(rw).Encode(list)
	})
}

// podOption changes a pod of newPod.
type podOption func(*corev1.Pod)

// newPod is a ready pod; containers are "name" or "name=containerID".
func newPod(namespace, name, node string, containers []string, options ...podOption) corev1.Pod {
	p := corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{}},
		Spec:       corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{
			Phase:      corev1.PodRunning,
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		},
	}
	for _, c := range containers {
		container, id, _ := strings.Cut(c, "=")
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: container})
		status := corev1.ContainerStatus{Name: container, ContainerID: id}
		if id != "" {
			status.State.Running = &corev1.ContainerStateRunning{}
		}
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, status)
	}
	for _, o := range options {
		o(&p)
	}
	return p
}

func ownedBy(kind, name string) podOption {
	return func(p *corev1.Pod) {
		controller := true
		p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Name: name, Controller: &controller}}
	}
}

func labelled(key, value string) podOption {
	return func(p *corev1.Pod) { p.Labels[key] = value }
}

// podMetrics is one pod of the metrics API; usage is container, memory, CPU by turns.
func podMetrics(namespace, name string, usage ...string) metricsv1beta1.PodMetrics {
	m := metricsv1beta1.PodMetrics{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Timestamp:  metav1.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC),
		Window:     metav1.Duration{Duration: 10 * time.Second},
	}
	for i := 0; i < len(usage); i += 3 {
		m.Containers = append(m.Containers, metricsv1beta1.ContainerMetrics{
			Name:  usage[i],
			Usage: corev1.ResourceList{corev1.ResourceMemory: quantity(usage[i+1]), corev1.ResourceCPU: quantity(usage[i+2])},
		})
	}
	return m
}
