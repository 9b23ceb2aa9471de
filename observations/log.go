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
	"github.com/meshbench/meshbench/internal/plain"
	"github.com/meshbench/meshbench/internal/redact"
)

// Log writes the log of a run. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	file *os.File
	err  error // the first write that failed; but for the run's end nothing is appended after it
	cut  bool  // the log ends in half a record, which could not be taken back
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
// in a buffer that a kill could lose. Secrets in it are taken out before (package redact). A write that fails, as on a full disk, is taken back,
// so that the log ends in a whole record. As that one is missing, every later Append returns
// the same error; only the run's end is still tried, for it says why.
func (l *Log) Append(r Record) error {
	if n := r.kinds(); n != 1 {
		return fmt.Errorf("appending to the log: a record has exactly one kind, this one has %d", n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil && (r.End == nil || l.cut) {
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
	// Errors quote manifests, refusals quote configuration, values have credentials in them.
	if n, err := l.file.Write(redact.JSON(line.Bytes())); err != nil {
		err = errors.Join(fmt.Errorf("appending to the log: %w", err), l.takeBack(n))
		if l.err == nil {
			l.err = err
		}
		return err
	}
	return nil
}

// takeBack removes the n bytes of a record that could not be written as a whole.
func (l *Log) takeBack(n int) error {
	if n == 0 {
		return nil
	}
	info, err := l.file.Stat()
	if err == nil {
		err = l.file.Truncate(info.Size() - int64(n))
	}
	if err != nil {
		l.cut = true
		return fmt.Errorf("take half a record back: %w", err)
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
// Control characters in texts, which a terminal would obey, stand as \x1b: a report of a log has
// none, in any format.
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
		if strange(line) {
			clean(reflect.ValueOf(&record).Elem())
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

// strange reports whether a line may have texts that are not plain.
func strange(line []byte) bool {
	for _, escape := range []string{`\u`, `\b`, `\f`, `\r`} {
		if bytes.Contains(line, []byte(escape)) {
			return true
		}
	}
	return !plain.Is(string(line))
}

// clean makes all texts below a value plain.
func clean(v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		v.SetString(plain.Text(v.String()))
	case reflect.Pointer:
		if !v.IsNil() {
			clean(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Field(i); f.CanSet() {
				clean(f)
			}
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			clean(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			k, e := reflect.New(key.Type()).Elem(), reflect.New(v.Type().Elem()).Elem()
			k.Set(key)
			e.Set(v.MapIndex(key))
			v.SetMapIndex(key, reflect.Value{})
			clean(k)
			clean(e)
			v.SetMapIndex(k, e)
		}
	}
}
