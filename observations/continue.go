package observations

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrUnderWay says that the run of a log is still being done: its process holds the log's lock.
var ErrUnderWay = errors.New("the run is still under way")

// Contents are what a log holds.
type Contents struct {
	// Records are those that count.
	Records []Record
	// Cut says that the log ends in half a record.
	Cut bool

	completed int   // steps that were measured one after another from the first one
	whole     int64 // bytes of whole records
	unended   bool  // the last whole one has no end of line
	last      time.Time
	end       *End          // of the last attempt; nil where it was cut off
	since     time.Time     // the last completed step's end; zero before
	attempted time.Time     // the begin of the last attempt after that
	lost      time.Duration // of attempts before it, since then
	dropped   int           // records since then
	begun     []Record      // of the step under way, since the last attempt began
	history   bool          // an attempt since then has given memory another past
}

// add takes in the next record, which is that many bytes long.
func (c *Contents) add(r Record, size int64, ended bool) error {
	c.whole += size
	c.unended = !ended
	if r.Resume != nil {
		kept, err := counting(c.Records, r.Resume)
		if err != nil {
			return err
		}
		c.Records, c.completed = kept, r.Resume.After+1
		c.lost += c.last.Sub(c.attempted)
		c.attempted, c.begun = r.Resume.Began, nil
		c.history = c.history || r.Resume.History
	}
	if len(c.Records) == 0 {
		c.attempted, c.since = r.Time, r.Time
	}
	c.last, c.end = r.Time, r.End
	c.Records = append(c.Records, r)
	c.dropped++
	switch {
	case r.Run != nil || r.Provision != nil && len(c.Records) == 2:
		c.dropped = 0
	case r.Measure != nil && r.Step != nil && *r.Step == c.completed:
		c.completed++
		c.since, c.attempted, c.lost, c.dropped, c.begun, c.history = r.Time, r.Time, 0, 0, nil, false
	case r.Step != nil:
		c.begun = append(c.begun, r)
	}
	return nil
}

// Resume is the record of going on at a moment, after the last completed step, with what the
// log says of the interruption. The caller fills in the rest.
func (c *Contents) Resume(began time.Time) Resume {
	r := Resume{After: c.completed - 1, History: c.history, Interrupted: c.last, Began: began, LostRecords: c.dropped}
	if c.end != nil {
		r.Outcome, r.Error = c.end.Outcome, c.end.Error
	}
	lost := c.lost + c.last.Sub(c.attempted)
	r.LostSeconds = lost.Seconds()
	r.PausedSeconds = max(0, began.Sub(c.since)-lost).Seconds()
	return r
}

// Completed is the number of steps that were measured one after another from the first one.
func (c *Contents) Completed() int { return c.completed }

// UnderWay are the records of the step that had begun when the run was interrupted; none where
// it had not.
func (c *Contents) UnderWay() []Record { return c.begun }

// Ended tells how the last attempt ended; nil where it was cut off.
func (c *Contents) Ended() *End { return c.end }

// Continue opens the log of an interrupted run, to go on with it, and reads it. It changes
// nothing: [Log.Mend] does. Until the log is closed nobody else can continue it. A run that is
// still being done is [ErrUnderWay].
func Continue(dir string) (*Log, *Contents, error) {
	path := filepath.Join(dir, LogName)
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s: there is no log here, so this is not the folder of a run: %w", path, os.ErrNotExist)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open the log: %w", err)
	}
	if err := lock(file); err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	contents, err := readAll(file)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("%s: %w", path, err), file.Close())
	}
	return &Log{file: file}, contents, nil
}

// Mend makes the log end with the last whole record, so that others can follow: it removes half
// a record, and says how many bytes that were.
func (l *Log) Mend(c *Contents) (cut int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size, err := l.file.Seek(0, io.SeekEnd)
	if err == nil && size > c.whole {
		cut = size - c.whole
		err = l.file.Truncate(c.whole)
	}
	if err == nil && c.unended {
		_, err = l.file.Write([]byte("\n"))
	}
	if err != nil {
		return 0, fmt.Errorf("mend the log's end: %w", err)
	}
	return cut, nil
}

// Release gives the log up as it is.
func (l *Log) Release() error { return l.file.Close() }

// lock takes the log's lock, which ends with the process, however that ends. A file system
// without locks has none.
func lock(file *os.File) error {
	err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("%s is locked: %w", file.Name(), ErrUnderWay)
	case errors.Is(err, syscall.ENOTSUP), errors.Is(err, syscall.ENOSYS), errors.Is(err, syscall.ENOLCK):
		return nil
	case err != nil:
		return fmt.Errorf("lock the log: %w", err)
	}
	return nil
}
