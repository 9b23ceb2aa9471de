package manifests

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
)

// writeExport writes a list as kubectl exports it, of about size bytes: of a Deployment with
// its ReplicaSet and Pod, a Service with its slice, and managedFields on all of them.
func writeExport(t testing.TB, name string, size int, json bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	written := 0
	printf := func(format string, args ...any) {
		n, err := fmt.Fprintf(w, format, args...)
		if err != nil {
			t.Fatal(err)
		}
		written += n
	}
	if json {
		printf("{\n    \"apiVersion\": \"v1\",\n    \"items\": [")
	} else {
		printf("apiVersion: v1\nitems:\n")
	}
	kinds := []struct{ apiVersion, kind, spec string }{
		{"apps/v1", "Deployment", `{"replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx", "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}}`},
		{"v1", "Service", `{"clusterIP": "172.20.1.1", "clusterIPs": ["172.20.1.1"], "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 80}], "selector": {"app": "web"}, "sessionAffinity": "None", "type": "ClusterIP"}`},
		{"networking.istio.io/v1", "VirtualService", `{"hosts": ["web"], "http": [{"route": [{"destination": {"host": "web"}}]}]}`},
		{"v1", "ConfigMap", `{"text": "` + fmt.Sprintf("%1500s", "x") + `"}`},
	}
	for i := 0; written < size; i++ {
		k := kinds[i%len(kinds)]
		const managed = `[{"apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:metadata": {"f:annotations": {".": {}, "f:a": {}}, "f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:replicas": {}, "f:selector": {}, "f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}, "f:ports": {}}}}}}}, "manager": "kubectl", "operation": "Update", "time": "2026-01-01T00:00:00Z"}]`
		metadata := fmt.Sprintf(`{"name": "x%d", "namespace": "ns", "uid": "0b9a2c9e-0000-4000-8000-%012d", "resourceVersion": "%d", "labels": {"app": "web"}, "managedFields": %s}`, i, i, i, managed)
		switch {
		case json && i > 0:
			printf(",")
			fallthrough
		case json:
			printf("\n        {\n            \"apiVersion\": %q,\n            \"kind\": %q,\n            \"metadata\": %s,\n            \"spec\": %s\n        }", k.apiVersion, k.kind, metadata, k.spec)
		default:
			printf("- apiVersion: %s\n  kind: %s\n  metadata: %s\n  spec: %s\n", k.apiVersion, k.kind, metadata, k.spec)
		}
	}
	if json {
		printf("\n    ],\n    \"kind\": \"List\"\n}\n")
	} else {
		printf("kind: List\n")
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// watched is a reader that notes the most memory that the Go runtime had from the operating
// system at any of its reads.
type watched struct {
	io.ReadCloser
	most *uint64
}

func (w watched) Read(p []byte) (int, error) {
	*w.most = max(*w.most, resident())
	return w.ReadCloser.Read(p)
}

// resident is the memory that the Go runtime has and has not given back, in bytes.
func resident() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// loadWatched loads a manifest and returns how much more memory that took, in MiB.
func loadWatched(t testing.TB, path string) (m *Manifest, mebibytes uint64) {
	t.Helper()
	debug.FreeOSMemory()
	before := resident()
	most := before
	m, err := Load(Source{Name: path, Open: func() (io.ReadCloser, error) {
		f, err := os.Open(path)
		return watched{f, &most}, err
	}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	most = max(most, resident())
	runtime.KeepAlive(m)
	return m, (most - before) >> 20
}

// TestMemory holds that an export of 60 MB takes at most 400 MiB more. The figure of YAML,
// which takes longer, is the benchmark's.
func TestMemory(t *testing.T) {
	m, more := loadWatched(t, writeExport(t, "export.json", 60e6, true))
	t.Logf("%d objects of %d bytes of JSON take %d MiB", len(m.Objects), m.Size, more)
	if more > 400 || len(m.Objects) < 20_000 {
		t.Errorf("%d objects take %d MiB", len(m.Objects), more)
	}
}

// BenchmarkLoad measures what an export of 60 MB takes.
func BenchmarkLoad(b *testing.B) {
	for _, name := range []string{"export.json", "export.yaml"} {
		b.Run(name, func(b *testing.B) {
			path := writeExport(b, name, 60e6, name == "export.json")
			for b.Loop() {
				m, more := loadWatched(b, path)
				b.SetBytes(m.Size)
				b.ReportMetric(float64(more), "MiB-more")
			}
		})
	}
}
