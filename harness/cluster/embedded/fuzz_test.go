package embedded

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// FuzzRecord reads what a state folder says of its cluster: what is read is written and read
// again as the same.
func FuzzRecord(f *testing.F) {
	f.Add([]byte(`{"Name":"a","Created":"2026-11-30T20:00:00Z","Detached":true,"PID":7,"Start":9}`))
	f.Add([]byte(`{"PID":-1}`))
	f.Add([]byte(`{"Name":`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, recordName), text, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := readRecord(dir)
		if err != nil {
			if !reflect.DeepEqual(r, Record{}) {
				t.Errorf("%+v beside %v", r, err)
			}
			return
		}
		if _, err := r.Created.MarshalJSON(); err != nil {
			return // a year that cannot be written
		}
		if err := writeRecord(dir, r); err != nil {
			t.Fatal(err)
		}
		again, err := readRecord(dir)
		if err != nil || !again.Created.Equal(r.Created) {
			t.Fatalf("%+v, %v", again, err)
		}
		again.Created = r.Created
		if !reflect.DeepEqual(again, r) {
			t.Errorf("read %+v, and again %+v", r, again)
		}
	})
}
