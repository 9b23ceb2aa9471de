package proxyconfig

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"sync"
	"testing"
	"time"
)

// BenchmarkDump counts configuration dumps in files, made of the objects of a recorded one,
// beside the decoding of the same file by encoding/json into no more than what is counted.
// peak-held-B is by how much the heap grew at most.
//
//	go test ./proxyconfig -run '^$' -bench Dump
func BenchmarkDump(b *testing.B) {
	for _, mb := range []int{2, 30, 100} {
		path := filepath.Join(b.TempDir(), "config_dump.json")
		size := writeDump(b, path, mb*1_000_000)
		for _, by := range []struct {
			name  string
			count func() (rows, objects any, err error)
		}{
			{"meshbench", func() (any, any, error) {
				file, err := os.Open(path)
				if err != nil {
					return nil, nil, err
				}
				defer file.Close()
				return three(countDump(file))
			}},
			{"encoding-json", func() (any, any, error) {
				text, err := os.ReadFile(path)
				if err != nil {
					return nil, nil, err
				}
				return three(decodedDump(text))
			}},
		} {
			b.Run(fmt.Sprintf("size=%dMB/by=%s", mb, by.name), func(b *testing.B) {
				b.SetBytes(size)
				b.ReportAllocs()
				held := watchHeap()
				for b.Loop() {
					if _, _, err := by.count(); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(held(), "peak-held-B")
			})
		}
	}
}

func three[A, B any](a A, b B, err error) (any, any, error) { return a, b, err }

// BenchmarkAttribution takes dumps apart, of as many namespaces as the size asks for.
//
//	go test ./proxyconfig -run '^$' -bench Attribution
func BenchmarkAttribution(b *testing.B) {
	for _, mb := range []int{2, 30} {
		path := filepath.Join(b.TempDir(), "config_dump.json")
		size := writeDump(b, path, mb*1_000_000)
		b.Run(fmt.Sprintf("size=%dMB", mb), func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			held := watchHeap()
			services := 0
			for b.Loop() {
				file, err := os.Open(path)
				if err != nil {
					b.Fatal(err)
				}
				a, err := Attribute(file, nil)
				file.Close()
				if err != nil {
					b.Fatal(err)
				}
				services = len(a.Services)
			}
			b.ReportMetric(held(), "peak-held-B")
			b.ReportMetric(float64(services), "services")
		})
	}
}

// watchHeap begins to look at the heap; the function that it returns ends that and returns
// by how many bytes objects on the heap grew at most.
func watchHeap() func() float64 {
	read := func() uint64 {
		s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	runtime.GC()
	before := read()
	most := before
	stop := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			most = max(most, read())
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	return func() float64 {
		close(stop)
		ended.Wait()
		return float64(most - before)
	}
}

// writeDump writes a dump of at least size bytes: the sections of a recorded one, their
// lists of clusters, listeners and so on again and again, each time with its namespaces under
// other names. It returns its size.
func writeDump(tb testing.TB, path string, size int) int64 {
	tb.Helper()
	recorded := unzip(tb, "draining", "config_dump")
	var answer struct{ Configs []map[string]json.RawMessage }
	if err := json.Unmarshal(recorded, &answer); err != nil {
		tb.Fatal(err)
	}
	file, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	w := bufio.NewWriter(file)
	times := size/len(recorded) + 1
	w.WriteString(`{"configs":[`)
	for i, section := range answer.Configs {
		if i > 0 {
			w.WriteString(",")
		}
		fmt.Fprintf(w, `{"@type":%s`, section["@type"])
		delete(section, "@type")
		for name, value := range section {
			fmt.Fprintf(w, ",%q:", name)
			if value[0] != '[' || len(value) < 4 {
				w.Write(value)
				continue
			}
			w.WriteString("[")
			for n := range times {
				if n > 0 {
					w.WriteString(",")
				}
				w.Write(bytes.ReplaceAll(value[1:len(value)-1], []byte(".ns1."), fmt.Appendf(nil, ".ns%d.", n+1)))
			}
			w.WriteString("]")
		}
		w.WriteString("}")
	}
	w.WriteString("]}")
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		tb.Fatal(err)
	}
	if err := file.Close(); err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}
