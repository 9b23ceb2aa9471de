package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// Key is what tells runs apart: folders of repeats share their names, and begin at other
// times.
type Key struct {
	Run  string
	Date time.Time
}

// Key is the record's.
func (r *Record) Key() Key { return Key{r.Run, r.Date.UTC()} }

// AppendOnce appends those records whose runs the store does not have, each once, and says
// how many that were. Several programs may do so at a time: each holds a lock on the store
// while it looks and writes. A store that was cut off is refused; see Mend.
func AppendOnce(path string, records ...*Record) (added int, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, fmt.Errorf("make the store's folder: %w", err)
	}
	lock := flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY), flock.SetPermissions(0o644))
	if err := lock.Lock(); err != nil {
		return 0, fmt.Errorf("lock the store: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	there, err := ReadFile(path)
	if err != nil {
		return 0, err
	}
	seen := map[Key]bool{}
	for i := range there {
		seen[there[i].Key()] = true
	}
	var fresh []*Record
	for _, r := range records {
		if !seen[r.Key()] {
			seen[r.Key()] = true
			fresh = append(fresh, r)
		}
	}
	if len(fresh) == 0 {
		return 0, nil
	}
	return len(fresh), Append(path, fresh...)
}
