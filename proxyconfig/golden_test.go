package proxyconfig

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig/proxyconfigtest"
)

// unzip reads one of the answers in testdata.
func unzip(tb testing.TB, name, answer string) []byte {
	tb.Helper()
	return proxyconfigtest.Recorded(tb, "testdata", name, answer)
}

// printed are the rows that istioctl prints of the answers in testdata.
func printed(tb testing.TB) map[string]observations.Counts {
	tb.Helper()
	text, err := os.ReadFile("testdata/istioctl.json")
	if err != nil {
		tb.Fatal(err)
	}
	var rows map[string]observations.Counts
	if err := json.Unmarshal(text, &rows); err != nil {
		tb.Fatal(err)
	}
	return rows
}

// TestRows compares with the rows that istioctl prints of the same answers.
func TestRows(t *testing.T) {
	all := printed(t)
	dumps, err := filepath.Glob("testdata/*.config_dump.json.gz")
	if err != nil || len(dumps) != len(all) {
		t.Errorf("%d dumps for %d rows of istioctl, %v", len(dumps), len(all), err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			rows, objects, err := Count(unzip(t, name, "config_dump"), unzip(t, name, "clusters"))
			if err != nil {
				t.Fatal(err)
			}
			if rows != all[name] {
				t.Errorf("rows %+v, istioctl prints %+v", rows, all[name])
			}
			if hosts, err := decodedHosts(unzip(t, name, "clusters")); err != nil || hosts != rows.Endpoint {
				t.Errorf("%d endpoints, by decoding %d, %v", rows.Endpoint, hosts, err)
			}
			if objects.VirtualHosts < objects.RouteConfigs || objects.Endpoints == 0 {
				t.Errorf("objects %+v", objects)
			}
		})
	}
}

func BenchmarkCount(b *testing.B) {
	for _, name := range slices.Sorted(maps.Keys(printed(b))) {
		b.Run(name, func(b *testing.B) {
			dump, clusters := unzip(b, name, "config_dump"), unzip(b, name, "clusters")
			b.SetBytes(int64(len(dump) + len(clusters)))
			for b.Loop() {
				if _, _, err := Count(dump, clusters); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
