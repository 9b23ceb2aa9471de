package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/reports/metrics"
)

// ErrCut says that a store ends in the middle of a record, as a full disk or a kill leaves
// it. What came before can be relied on.
var ErrCut = errors.New("the store ends in the middle of a record")

// ReadFile reads a store. See Read.
func ReadFile(path string) ([]Record, error) {
	file, err := bounded.Open(path, bounded.Store)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: there is no such store: %w", path, os.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("read a store: %w", err)
	}
	defer file.Close()
	records, err := Read(file)
	if err != nil {
		return records, fmt.Errorf("cannot read store %s: %w", path, err)
	}
	return records, nil
}

// Read reads records. With a last line that was cut off it returns those before it and
// ErrCut, which the caller refuses or reports. Anything else that is not a record is an
// error that names the line, without records. Metrics get the names of today.
func Read(r io.Reader) ([]Record, error) {
	var records []Record
	// Not bufio.Scanner, which has a longest line.
	in := bufio.NewReaderSize(r, 1<<16)
	for number := 1; ; number++ {
		line, err := bounded.Line(in, bounded.LongestLine)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if last && len(line) == 0 {
			return records, nil
		}
		// Even if it is whole: the next one would be appended to the same line.
		if last {
			return records, fmt.Errorf("line %d: %w", number, ErrCut)
		}
		var record Record
		if err := json.Unmarshal(line, &record); err != nil {
			return nil, fmt.Errorf("line %d is not a record: %w", number, err)
		}
		if err := record.check(); err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		for i := range record.Steps {
			record.Steps[i].Values = metrics.Current(record.Steps[i].Values)
		}
		records = append(records, record)
	}
}

// Append adds records at the end of a store, which it makes where there is none. They are
// on disk when it returns; where they do not fit, none is added. A store that was cut off is
// refused; see Mend.
func Append(path string, records ...*Record) (err error) {
	var lines bytes.Buffer
	for _, r := range records {
		if err := r.check(); err != nil {
			return fmt.Errorf("cannot store run %s: %w", r.Run, err)
		}
		text, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("cannot store run %s: %w", r.Run, err)
		}
		lines.Write(append(text, '\n'))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make the store's folder: %w", err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	if size := info.Size(); size > 0 {
		end := make([]byte, 1)
		if _, err := file.ReadAt(end, size-1); err != nil {
			return fmt.Errorf("read the store's end: %w", err)
		}
		if end[0] != '\n' {
			return fmt.Errorf("cannot append to %s: %w", path, ErrCut)
		}
	}
	if _, err := file.Write(lines.Bytes()); err != nil {
		// All of them or none: half a record would be in the way of the next.
		return errors.Join(fmt.Errorf("append to %s: %w", path, err), file.Truncate(info.Size()))
	}
	if err := file.Sync(); err != nil {
		return fmt.Errorf("append to %s: %w", path, err)
	}
	return nil
}

// Mend removes the half of a record that a store which was cut off ends with, and says how
// many bytes that was: 0 for a store that is whole.
func Mend(path string) (removed int64, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, fmt.Errorf("mend a store: %w", err)
	}
	whole := int64(bytes.LastIndexByte(text, '\n') + 1)
	removed = int64(len(text)) - whole
	if removed == 0 {
		return 0, nil
	}
	if err := os.Truncate(path, whole); err != nil {
		return 0, fmt.Errorf("mend a store: %w", err)
	}
	return removed, nil
}
