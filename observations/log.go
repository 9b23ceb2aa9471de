package observations

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	"github.com/meshbench/meshbench/internal/bounded"
)

// Log writes the log of a run. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	file *os.File
	err  error // what broke the log; nothing can be appended after it
}

// Create makes the run's folder, where it does not exist, and an empty log in it. A
// folder that holds a log already is refused: a log is never overwritten.
func Create(dir string) (*Log, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the run's folder: %w", err)
	}
	path := filepath.Join(dir, LogName)
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%s exists: it is the log of another run, choose another folder, or go on with an interrupted run by --resume: %w", path, os.ErrExist)
	}
	if err != nil {
		return nil, fmt.Errorf("make the log: %w", err)
	}
	if err := lock(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Log{file: file}, nil
}

// Append writes one record, with the present time where it has none. The record is in
// the file, as far as this process is concerned, when Append returns: nothing is kept
// in a buffer that a kill could lose. After a failed write the log ends in half a
// record, so every later Append returns the same error.
func (l *Log) Append(r Record) error {
	if n := r.kinds(); n != 1 {
		return fmt.Errorf("appending to the log: a record has exactly one kind, this one has %d", n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return l.err
	}
	if r.Time.IsZero() {
		// Taken under the lock, so that times rise with the lines.
		r.Time = time.Now().UTC()
	}
	var line bytes.Buffer
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("appending to the log: %w", err)
	}
	if _, err := l.file.Write(line.Bytes()); err != nil {
		l.err = fmt.Errorf("appending to the log: %w", err)
		return l.err
	}
	return nil
}

// Close makes the log durable on disk and closes it.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := errors.Join(l.file.Sync(), l.file.Close()); err != nil {
		return fmt.Errorf("close the log: %w", err)
	}
	return nil
}

// kinds counts the kinds that are set: all pointers but the step's index.
func (r *Record) kinds() int {
	n := 0
	fields := reflect.ValueOf(r).Elem()
	for i := range fields.NumField() {
		if f := fields.Field(i); f.Kind() == reflect.Pointer && !f.IsNil() {
			n++
		}
	}
	if r.Step != nil {
		n--
	}
	return n
}

// ReadFile reads a log from path, which is the log itself or the run's folder.
// Otherwise it is Read.
func ReadFile(path string) (records []Record, truncated bool, err error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, LogName)
	}
	file, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, false, fmt.Errorf("%s: there is no log here, so this is not the folder of a run: %w", path, os.ErrNotExist)
	}
	if err != nil {
		return nil, false, fmt.Errorf("read a log: %w", err)
	}
	defer file.Close()
	records, truncated, err = Read(bounded.Reader(file, bounded.Log))
	if err != nil {
		return nil, false, fmt.Errorf("%s: %w", path, err)
	}
	return records, truncated, nil
}

// Read reads the records of a log that count. A last line without an end, as a crash leaves
// it, is left out and truncated is true. Anything else that is not a record is an error that
// names the line, as is a log that does not begin with a Run of a schema this program knows.
// A log with nothing in it, or only half of its first record, gives no records. Namespaces
// have the scenario's names in them, whatever they were called on the cluster. Where the run
// was interrupted and went on ([Resume]), records of the step that was under way are left out.
func Read(r io.Reader) (records []Record, truncated bool, err error) {
	whole, err := readAll(r)
	if err != nil {
		return nil, false, err
	}
	return whole.Records, whole.Cut, nil
}

// readAll is Read, with what going on with the log takes.
func readAll(r io.Reader) (*Contents, error) {
	// Not bufio.Scanner, which has a longest line.
	in := bufio.NewReaderSize(r, 1<<16)
	c := &Contents{}
	for number := 1; ; number++ {
		line, err := bounded.Line(in, bounded.LongestLine)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if last && len(line) == 0 {
			return c, nil
		}
		var record Record
		if err := json.Unmarshal(line, &record); err != nil {
			var syntax *json.SyntaxError
			if last && errors.As(err, &syntax) {
				c.Cut = true
				return c, nil
			}
			return nil, fmt.Errorf("line %d is not a record: %w", number, err)
		}
		if number == 1 {
			if record.Run == nil {
				return nil, fmt.Errorf("line 1 does not say what was run: this is not the log of a run")
			}
			if record.Run.Schema != Schema {
				return nil, fmt.Errorf("the log has format version %d, this program reads version %d: "+
					"use the meshbench that wrote it (%s)", record.Run.Schema, Schema, record.Run.Meshbench)
			}
		}
		if number > 1 {
			c.Records[0].Run.inScenarioNames(&record)
		}
		if err := c.add(record, int64(len(line)), !last); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if last {
			return c, nil
		}
	}
}
