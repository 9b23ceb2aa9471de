package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/meshbench/meshbench/internal/vitals"
)

// Files in the folder.
const (
	samplesFile = "samples.jsonl"
	endedFile   = "ended.jsonl"
)

// sampled is a line of samples: values by name, PART.QUANTITY.
type sampled struct {
	Time   time.Time          `json:"time"`
	Values map[string]float64 `json:"values"`
}

// sample writes samples until the time is over, or something that lives long ends.
func (w *work) sample(ctx context.Context, out io.Writer, o options) (err error) {
	w.counted = counted{}
	ctx, cancel := context.WithTimeout(ctx, o.length)
	defer cancel()
	go w.measure(ctx)
	samples, err := os.Create(filepath.Join(w.dir, samplesFile))
	if err != nil {
		return fmt.Errorf("keep samples: %w", err)
	}
	defer func() { err = errors.Join(err, samples.Close()) }()
	runs, err := os.Create(filepath.Join(w.dir, endedFile))
	if err != nil {
		return fmt.Errorf("keep what ended: %w", err)
	}
	defer func() { err = errors.Join(err, runs.Close()) }()
	cgroups := ours{}
	said := time.Now()
	for {
		done := w.taken()
		for _, part := range []string{partRuns, partGuest} {
			more, err := w.count(part)
			if err != nil {
				return err
			}
			done = append(done, more...)
		}
		for _, e := range done {
			if err := line(runs, e); err != nil {
				return err
			}
			fmt.Fprintf(out, "%s: %s of %s: %s after %.0f s%s\n", e.At.Format(time.TimeOnly), e.Run, e.Part, e.Outcome, e.Seconds, e.Error)
		}
		s, err := w.look(ctx, cgroups)
		if err != nil {
			return err
		}
		if err := line(samples, s); err != nil {
			return err
		}
		if time.Since(said) > 5*time.Minute {
			said = time.Now()
			fmt.Fprintf(out, "%s: %s\n", said.Format(time.TimeOnly), s)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.programs[partRuns].ended:
			return nil // end says so
		case <-w.programs[partGuest].ended:
			return nil
		case <-time.After(o.every):
		}
	}
}

func line(to io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err == nil {
		_, err = to.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("keep a line: %w", err)
	}
	return nil
}

func (s sampled) String() string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(s.Values)) {
		parts = append(parts, name+" "+strconv.FormatFloat(s.Values[name], 'f', -1, 64))
	}
	return strings.Join(parts, ", ")
}

// look takes one line of samples.
func (w *work) look(ctx context.Context, cgroups ours) (sampled, error) {
	s := sampled{time.Now().UTC(), map[string]float64{}}
	processes := readProcesses()
	var roots []int
	for part, p := range w.programs {
		pid := p.cmd.Process.Pid
		roots = append(roots, pid)
		s.process(part, pid)
		if v, err := lastVitals(w.vitals(part)); err == nil {
			s.vitals(part, v)
		}
	}
	for _, c := range w.clusters() {
		roots = append(roots, c.pid)
		if c.name != "soak" {
			continue // it does not live long
		}
		s.process(partUp, c.pid)
		if v, err := c.vitals(ctx); err == nil {
			s.vitals(partUp, v)
		}
	}
	below := processes.below(roots)
	s.Values["machine.processes"] = float64(len(below))
	s.Values["machine.cgroups"] = float64(cgroups.count(below))
	for name, dir := range map[string]string{"tmp": w.tmp, "logs": filepath.Join(w.dir, partUp)} {
		bytes, files, err := size(dir)
		if err != nil {
			return s, err
		}
		s.Values[name+".bytes"], s.Values[name+".files"] = float64(bytes), float64(files)
	}
	return s, nil
}

// process samples what the kernel says of a process; nothing where it has ended.
func (s sampled) process(part string, pid int) {
	dir := "/proc/" + strconv.Itoa(pid)
	status, err := os.Open(dir + "/status")
	if err != nil {
		return
	}
	defer status.Close()
	for lines := bufio.NewScanner(status); lines.Scan(); {
		name, text, _ := strings.Cut(lines.Text(), ":")
		n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(text), " kB"), 64)
		switch {
		case err != nil:
		case name == "VmRSS":
			s.Values[part+".rss"] = n * 1024
		case name == "Threads":
			s.Values[part+".threads"] = n
		}
	}
	if files, err := os.ReadDir(dir + "/fd"); err == nil {
		s.Values[part+".fds"] = float64(len(files))
	}
}

// vitals samples what a process says of itself.
func (s sampled) vitals(part string, v vitals.Vitals) {
	s.Values[part+".goroutines"] = float64(v.Goroutines)
	if v.LiveBytes > 0 {
		s.Values[part+".heap"] = float64(v.LiveBytes)
	}
}

// lastVitals are the newest in a file.
func lastVitals(path string) (v vitals.Vitals, err error) {
	file, err := os.Open(path)
	if err != nil {
		return v, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return v, err
	}
	end := make([]byte, min(info.Size(), 4096))
	if _, err := file.ReadAt(end, info.Size()-int64(len(end))); err != nil {
		return v, err
	}
	lines := bytes.Split(bytes.TrimSpace(end), []byte("\n"))
	return v, json.Unmarshal(lines[len(lines)-1], &v)
}

// standing is a cluster that stands.
type standing struct {
	name, dir string
	pid       int
}

// clusters are those that have a state folder in the temporary folder.
func (w *work) clusters() []standing {
	records, _ := filepath.Glob(filepath.Join(w.tmp, "meshbench-*", "*", "cluster.json"))
	var all []standing
	for _, path := range records {
		var r struct {
			Name string
			PID  int
		}
		// Gone meanwhile, or not written yet.
		if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &r) == nil && r.PID > 0 {
			all = append(all, standing{r.Name, filepath.Dir(path), r.PID})
		}
	}
	return all
}

// vitals asks the sandbox at its control socket.
func (c standing) vitals(ctx context.Context) (v vitals.Vitals, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(c.dir, "control.sock"))
	}}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://sandbox/vitals", nil)
	if err != nil {
		return v, err
	}
	response, err := client.Do(request)
	if err != nil {
		return v, err
	}
	defer response.Body.Close()
	return v, json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&v)
}
