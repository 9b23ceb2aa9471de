package runtime

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// maxLine is the longest line kept in one piece, as container engines do; longer
	// ones are cut into pieces that readers put together again.
	maxLine = 16 << 10
	// maxLog is the size at which a log is put aside, under its name and ".1", and
	// begun again. The one before is dropped.
	maxLog = 64 << 20
	// followInterval is how often a followed log is looked at. It is not watched: each
	// watch would take of the user's inotify instances, which the sidecars need.
	followInterval = 200 * time.Millisecond
)

// logFile writes a container's streams as the Container Runtime Interface lays down:
// each line with its time (RFC 3339, UTC), its stream and F, or P for a piece of a
// line that goes on.
type logFile struct {
	mu      sync.Mutex
	path    string
	file    *os.File
	size    int64
	streams []*logStream
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the log's folder: %w", err)
	}
	return l, l.open()
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open a container's log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(err, file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

// stream is a writer for one stream.
func (l *logFile) stream(name string) io.Writer {
	s := &logStream{log: l, name: name}
	l.streams = append(l.streams, s)
	return s
}

// Close writes what is left of lines without an end, and closes the file.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for _, s := range l.streams {
		if len(s.rest) > 0 {
			errs = append(errs, l.write(s.name, "F", s.rest))
		}
	}
	return errors.Join(append(errs, l.file.Close())...)
}

func (l *logFile) write(stream, tag string, content []byte) error {
	if l.size >= maxLog {
		if err := errors.Join(l.file.Close(), os.Rename(l.path, l.path+".1"), l.open()); err != nil {
			return fmt.Errorf("put a log aside: %w", err)
		}
	}
	line := make([]byte, 0, len(content)+48)
	line = time.Now().UTC().AppendFormat(line, time.RFC3339Nano)
	line = append(line, ' ')
	line = append(line, stream...)
	line = append(line, ' ')
	line = append(line, tag...)
	line = append(line, ' ')
	line = append(line, content...)
	line = append(line, '\n')
	n, err := l.file.Write(line)
	l.size += int64(n)
	return err
}

// logStream cuts one stream into lines.
type logStream struct {
	log  *logFile
	name string
	rest []byte // the beginning of a line whose end has not come
}

// Write never fails: a program must not die because its log cannot be written.
func (s *logStream) Write(data []byte) (int, error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	s.rest = append(s.rest, data...)
	for {
		end := bytes.IndexByte(s.rest, '\n')
		switch {
		case end >= 0 && end <= maxLine:
			// A full disk must not stop the container: the line is lost.
			_ = s.log.write(s.name, "F", s.rest[:end])
			s.rest = s.rest[end+1:]
		case len(s.rest) > maxLine:
			_ = s.log.write(s.name, "P", s.rest[:maxLine])
			s.rest = s.rest[maxLine:]
		default:
			s.rest = bytes.Clone(s.rest) // let go of what is written
			return len(data), nil
		}
	}
}

// LogOptions select lines of a log, with the meaning of v1.PodLogOptions.
type LogOptions struct {
	Tail       int       // last lines only; negative for all
	Since      time.Time // lines at or after; zero for all
	Follow     bool      // wait for more until Done is closed or ctx is done
	Timestamps bool      // put the time before each line
	LimitBytes int64     // 0 for no limit
	// Done ends following once the rest is read: the container's Done.
	Done <-chan struct{}
}

// ReadLogs reads a container's log file, both streams. Close the reader to end
// following.
func ReadLogs(ctx context.Context, path string, options LogOptions) (io.ReadCloser, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read a container's log: %w", err)
	}
	if options.Tail >= 0 {
		if err := seekTail(file, options.Tail); err != nil {
			return nil, errors.Join(fmt.Errorf("find the last lines of %s: %w", path, err), file.Close())
		}
	}
	reader, writer := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		r := &logReader{path: path, file: file, options: options, output: writer, left: options.LimitBytes}
		err := r.run(ctx)
		r.file.Close()
		writer.CloseWithError(err) // nil is io.EOF
	}()
	return &followed{PipeReader: reader, cancel: cancel}, nil
}

// followed is the reading end of a log.
type followed struct {
	*io.PipeReader
	cancel context.CancelFunc
}

func (f *followed) Close() error {
	f.cancel()
	return f.PipeReader.Close()
}

// seekTail goes to the beginning of the last n lines, counted as the file has them.
func seekTail(file *os.File, n int) error {
	position, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	block := make([]byte, 64<<10)
	for ends := 0; position > 0; {
		size := min(position, int64(len(block)))
		position -= size
		if _, err := file.ReadAt(block[:size], position); err != nil {
			return err
		}
		for i := size - 1; i >= 0; i-- {
			if block[i] != '\n' {
				continue
			}
			if ends++; ends > n { // the end of the line before the first one wanted
				_, err := file.Seek(position+i+1, io.SeekStart)
				return err
			}
		}
	}
	_, err = file.Seek(0, io.SeekStart)
	return err
}

// logReader copies the chosen lines of a log.
type logReader struct {
	path    string
	file    *os.File
	options LogOptions
	output  io.Writer
	left    int64 // of LimitBytes
	partial bool  // the last piece was not the end of a line
}

// errLimit ends a log at LimitBytes.
var errLimit = errors.New("limit reached")

func (r *logReader) run(ctx context.Context) error {
	input := bufio.NewReader(r.file)
	var line []byte
	ended := !r.options.Follow
	for {
		piece, err := input.ReadSlice('\n')
		line = append(line, piece...)
		switch {
		case err == nil:
			if err := r.emit(line); errors.Is(err, errLimit) {
				return nil
			} else if err != nil {
				return err
			}
			line = line[:0]
			continue
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != io.EOF:
			return fmt.Errorf("read a container's log: %w", err)
		case ended:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-r.options.Done:
			ended = true // the rest is in the file now: read it once more
		case <-time.After(followInterval):
		}
		if next, err := r.successor(); err != nil {
			return err
		} else if next != nil {
			r.file.Close()
			r.file, line = next, line[:0]
			input.Reset(next)
		}
	}
}

// successor reopens the log when the one being read was put aside and is read to
// its end.
func (r *logReader) successor() (*os.File, error) {
	mine, err := r.file.Stat()
	if err != nil {
		return nil, err
	}
	offset, err := r.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, err
	}
	current, err := os.Stat(r.path)
	if err != nil || os.SameFile(mine, current) || offset < mine.Size() {
		return nil, ignoreGone(err)
	}
	return os.Open(r.path)
}

// emit writes a line of the file as the reader wants it.
func (r *logReader) emit(line []byte) error {
	when, content, partial, err := parseLogLine(line)
	if err != nil {
		return err
	}
	if when.Before(r.options.Since) {
		return nil
	}
	var out []byte
	if r.options.Timestamps && !r.partial {
		out = append(when.AppendFormat(nil, time.RFC3339Nano), ' ')
	}
	out = append(out, content...)
	if !partial {
		out = append(out, '\n')
	}
	r.partial = partial
	limited := r.options.LimitBytes > 0
	if limited && int64(len(out)) > r.left {
		out = out[:r.left]
	}
	r.left -= int64(len(out))
	if _, err := r.output.Write(out); err != nil {
		return err
	}
	if limited && r.left == 0 {
		return errLimit
	}
	return nil
}

// parseLogLine reads one line of a log file, with its end.
func parseLogLine(line []byte) (when time.Time, content []byte, partial bool, err error) {
	fields := bytes.SplitN(bytes.TrimSuffix(line, []byte("\n")), []byte(" "), 4)
	if len(fields) != 4 {
		return when, nil, false, fmt.Errorf("log line %.40q is not of a container", line)
	}
	if when, err = time.Parse(time.RFC3339Nano, string(fields[0])); err != nil {
		return when, nil, false, fmt.Errorf("log line %.40q is not of a container: %w", line, err)
	}
	return when, fields[3], string(fields[2]) == "P", nil
}
