package actions

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// Executor runs a command in a container and returns when it has ended; see [kube.Executor].
type Executor interface {
	Exec(ctx context.Context, pod types.NamespacedName, container string, command []string, stdout, stderr io.Writer) error
}

const (
	// fortioProgram is where the image fortio/fortio has it.
	fortioProgram = "/usr/bin/fortio"
	// fortioResolution is that of latencies, in seconds.
	fortioResolution = 0.00001
	// requestTimeout is when a request without an answer has failed.
	requestTimeout = 10 * time.Second
	// mostOutput bounds what is kept of the program's output, in bytes; its histogram has some
	// hundred lines.
	mostOutput = 4 << 20
)

// fortioCommand is the command that sends a load. Its own -t ends it, whatever becomes of the
// connection by which it was started.
func fortioCommand(t *scenarios.Traffic) []string {
	command := []string{
		fortioProgram, "load", "-quiet", "-log-errors=false", "-json", "-",
		"-qps", strconv.Itoa(t.QPS), "-c", strconv.Itoa(t.Connections), "-t", t.Duration.String(),
		"-p", "50,90,99,99.9", "-r", fmt.Sprint(fortioResolution), "-timeout", requestTimeout.String(),
		// Connections send one after another, not all at the same moment.
		"-uniform",
		// A load of which the first requests fail is a load, too: what was expected is judged
		// by what was answered.
		"-allow-initial-errors",
	}
	if t.Payload > 0 {
		command = append(command, "-payload-size", strconv.Itoa(t.Payload))
	}
	for _, name := range slices.Sorted(maps.Keys(t.Headers)) {
		command = append(command, "-H", name+": "+t.Headers[name])
	}
	switch t.Protocol {
	case scenarios.GRPC:
		return append(command, "-grpc", "-ping", t.To)
	case scenarios.TCP:
		return append(command, "tcp://"+t.To)
	}
	return append(command, t.URL())
}

// fortio sends the load and reads what the program says of it.
func (l *sending) fortio(ctx context.Context) (*fortioResult, error) {
	out, log := &bounded{most: mostOutput}, &bounded{most: 64 << 10, keepLast: true}
	err := l.on.Exec.Exec(ctx, kube.Name(l.pod), l.container, fortioCommand(l.Traffic), out, log)
	var failed *kube.ExitError
	if errors.As(err, &failed) {
		return nil, fmt.Errorf("fortio in pod %s has failed (%w)%s", kube.Name(l.pod), err, lastWords(log.Bytes()))
	}
	if err != nil {
		return nil, fmt.Errorf("send with fortio in pod %s: %w", kube.Name(l.pod), err)
	}
	result, err := parseFortio(out.Bytes())
	if err != nil {
		return nil, fmt.Errorf("read what fortio in pod %s says: %w%s", kube.Name(l.pod), err, lastWords(log.Bytes()))
	}
	return result, nil
}

// lastWords are the last lines of a log, for an error.
func lastWords(log []byte) string {
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	lines = lines[max(0, len(lines)-3):]
	if text := strings.Join(lines, " | "); text != "" {
		return ": " + text
	}
	return ""
}

// bounded keeps the first bytes that are written, or with keepLast the last ones.
type bounded struct {
	bytes.Buffer
	most     int
	keepLast bool
}

// Write takes all, and keeps what there is room for.
func (b *bounded) Write(p []byte) (int, error) {
	n := len(p)
	if b.keepLast {
		b.Buffer.Write(p)
		b.Next(max(0, b.Len()-b.most))
		return n, nil
	}
	b.Buffer.Write(p[:min(n, b.most-b.Len())])
	return n, nil
}

// fortioResult is what fortio's JSON says of a load.
type fortioResult struct {
	Version        string    `json:"Version"`
	StartTime      time.Time `json:"StartTime"`
	ActualQPS      float64   `json:"ActualQPS"`
	ActualDuration int64     `json:"ActualDuration"` // in nanoseconds
	Histogram      struct {
		Count       int64   `json:"Count"`
		Max         float64 `json:"Max"`
		Avg         float64 `json:"Avg"`
		Percentiles []struct {
			Percentile float64 `json:"Percentile"`
			Value      float64 `json:"Value"`
		} `json:"Percentiles"`
	} `json:"DurationHistogram"`
	RetCodes      map[string]int64 `json:"RetCodes"`
	SocketCount   int64            `json:"SocketCount"`
	BytesSent     int64            `json:"BytesSent"`
	BytesReceived int64            `json:"BytesReceived"`
	// Sizes are those of HTTP's answers, with their headers.
	Sizes struct {
		Sum float64 `json:"Sum"`
	} `json:"Sizes"`
}

// parseFortio reads the output of a load, whose JSON may stand between other lines.
func parseFortio(output []byte) (*fortioResult, error) {
	begin := bytes.IndexByte(output, '{')
	if begin < 0 {
		return nil, errors.New("there is no JSON in its output")
	}
	result := &fortioResult{}
	if err := json.NewDecoder(bytes.NewReader(output[begin:])).Decode(result); err != nil {
		return nil, err
	}
	if result.Version == "" || result.ActualDuration <= 0 {
		return nil, errors.New("its JSON is of no load")
	}
	return result, nil
}

// span is when the load was sent, by this machine's clock: between begin and end, which hold
// the program's start and end, too.
func (r *fortioResult) span(begin, end time.Time) (first, last time.Time) {
	took := time.Duration(r.ActualDuration)
	if slack := end.Sub(begin) - took; slack > 0 {
		// It starts in milliseconds, and is done once the last answer is there.
		start := r.StartTime
		if start.Before(begin) || start.After(begin.Add(slack)) { // another clock
			start = begin.Add(slack / 2)
		}
		return start, start.Add(took)
	}
	return begin, end
}

// fill adds the result to a record.
func (r *fortioResult) fill(record *observations.Traffic, protocol string) {
	record.Program = "fortio " + r.Version
	record.Seconds = time.Duration(r.ActualDuration).Seconds()
	record.Requests, record.Rate = r.Histogram.Count, r.ActualQPS
	record.Statuses = map[string]int64{}
	for code, n := range r.RetCodes {
		record.Statuses[status(code, protocol)] += n
	}
	record.Sockets, record.SentBytes, record.ReceivedBytes = r.SocketCount, r.BytesSent, max(r.BytesReceived, int64(r.Sizes.Sum))
	if r.Histogram.Count == 0 {
		return
	}
	latency := &observations.Latency{Max: r.Histogram.Max, Mean: r.Histogram.Avg}
	for _, p := range r.Histogram.Percentiles {
		switch p.Percentile {
		case 50:
			latency.P50 = p.Value
		case 90:
			latency.P90 = p.Value
		case 99:
			latency.P99 = p.Value
		case 99.9:
			latency.P999 = p.Value
		}
	}
	record.Latency = latency
}

// status is fortio's word for an answer in the log's words. A socket's error is -1, or for TCP
// its text.
func status(code, protocol string) string {
	if protocol == scenarios.HTTP {
		if n, err := strconv.Atoi(code); err == nil && n >= 100 && n <= 599 {
			return code
		}
		return scenarios.AnswerError
	}
	if code == "OK" || code == "SERVING" {
		return scenarios.AnswerOK
	}
	return scenarios.AnswerError
}
