package observations

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// second is a moment of the logs below.
func second(n float64) time.Time {
	return time.Unix(1000, 0).Add(time.Duration(n * float64(time.Second))).UTC()
}

// attempts are logs of runs with two steps that were interrupted.
func at(n float64, s int, r Record) Record {
	r.Time = second(n)
	if s >= 0 {
		r.Step = step(s)
	}
	return r
}

func twoSteps() []Record {
	return []Record{
		at(0, -1, Record{Run: &Run{Schema: Schema, ID: "r", Scenario: "x", Steps: []string{"one", "two"}}}),
		at(0, -1, Record{Provision: &Provision{Began: second(-5), Seconds: 5}}),
		at(1, 0, Record{Begin: &Begin{Name: "one"}}),
		at(2, 0, Record{Action: &Action{Name: "scale"}}),
		at(3, 0, Record{Measure: &Measure{}}),
		at(4, 1, Record{Begin: &Begin{Name: "two"}}),
		at(5, -1, Record{Series: &Series{Node: "n"}}),
		at(6, 1, Record{Action: &Action{Name: "restart"}}),
	}
}

func write(t *testing.T, records ...Record) string {
	t.Helper()
	var b bytes.Buffer
	for _, r := range records {
		if err := json.NewEncoder(&b).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func resume(after int, began, lost, paused float64) Record {
	return at(began+2, -1, Record{Resume: &Resume{After: after, Cluster: NewCluster, History: after >= 0, Began: second(began), LostSeconds: lost, PausedSeconds: paused}})
}

// What counts of a log ends with the last completed step where the run went on.
func TestReadResumed(t *testing.T) {
	begun := twoSteps()
	rest := []Record{at(100, 1, Record{Begin: &Begin{Name: "two"}}), at(101, 1, Record{Measure: &Measure{}}), at(102, -1, Record{End: &End{Outcome: Finished}})}
	for _, tt := range []struct {
		name string
		log  []Record
		want []Record
		err  string
	}{
		{"cut off in the second step", append(append(begun[:8:8], resume(0, 90, 3, 84)), rest...),
			append(append(begun[:5:5], resume(0, 90, 3, 84)), rest...), ""},
		{"twice in the same step, the second time after an end",
			append(append(begun[:8:8], resume(0, 20, 3, 14), at(25, 1, Record{Begin: &Begin{Name: "two"}}), at(26, -1, Record{End: &End{Outcome: Failed}}), resume(0, 90, 9, 78)), rest...),
			append(append(begun[:5:5], resume(0, 90, 9, 78)), rest...), ""},
		{"before the first step was measured", append(append(begun[:4:4], resume(-1, 90, 2, 88)), begun[2:]...),
			append(append(begun[:2:2], resume(-1, 90, 2, 88)), begun[2:]...), ""},
		{"before anything was written but what is run", []Record{begun[0], resume(-1, 90, 0, 90)}, []Record{begun[0], resume(-1, 90, 0, 90)}, ""},
		{"with all measured", append(append(begun[:5:5], rest[:2]...), at(103, -1, Record{End: &End{Outcome: Failed}}), resume(1, 200, 2, 97), rest[2]),
			append(append(begun[:5:5], rest[:2]...), resume(1, 200, 2, 97), rest[2]), ""},
		{"after a step that is not there", append(begun[:4:4], resume(0, 90, 2, 88)), nil, "line 5: the run goes on after step 1, whose measurement is not in the log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, cut, err := Read(strings.NewReader(write(t, tt.log...)))
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("error %v, want %s", err, tt.err)
				}
				return
			}
			if err != nil || cut {
				t.Fatal(cut, err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestContinue goes on with logs as interruptions leave them.
func TestContinue(t *testing.T) {
	whole := write(t, twoSteps()...)
	ended := write(t, append(twoSteps(), at(7, -1, Record{End: &End{Outcome: Interrupted, Error: "by signal"}}))...)
	again := write(t, append(twoSteps(), resume(0, 20, 3, 14), at(25, 1, Record{Begin: &Begin{Name: "two"}}))...)
	for _, tt := range []struct {
		name, log string
		kept      string // of the file once it is mended
		cut       int64
		want      Resume
		underWay  int
	}{
		{"whole lines", whole, whole, 0, Resume{After: 0, Interrupted: second(6), LostSeconds: 3, PausedSeconds: 94, LostRecords: 3}, 2},
		{"half a record", whole + `{"time":"2026`, whole, 13, Resume{After: 0, Interrupted: second(6), LostSeconds: 3, PausedSeconds: 94, LostRecords: 3}, 2},
		{"a record without the end of its line", strings.TrimSuffix(whole, "\n"), whole, 0, Resume{After: 0, Interrupted: second(6), LostSeconds: 3, PausedSeconds: 94, LostRecords: 3}, 2},
		{"an end", ended, ended, 0, Resume{After: 0, Interrupted: second(7), Outcome: Interrupted, Error: "by signal", LostSeconds: 4, PausedSeconds: 93, LostRecords: 4}, 2},
		{"a second time", again, again, 0, Resume{After: 0, History: true, Interrupted: second(25), LostSeconds: 8, PausedSeconds: 89, LostRecords: 5}, 1},
		{"without a completed step", write(t, twoSteps()[:4]...), write(t, twoSteps()[:4]...), 0, Resume{After: -1, Interrupted: second(2), LostSeconds: 2, PausedSeconds: 98, LostRecords: 2}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, LogName)
			if err := os.WriteFile(path, []byte(tt.log), 0o644); err != nil {
				t.Fatal(err)
			}
			log, contents, err := Continue(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer log.Close()
			if _, _, err := Continue(dir); !errors.Is(err, ErrUnderWay) {
				t.Errorf("a second one: %v", err)
			}
			if text, _ := os.ReadFile(path); string(text) != tt.log {
				t.Error("reading has changed the log")
			}
			tt.want.Began = second(100)
			got := contents.Resume(second(100))
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if n := len(contents.UnderWay()); n != tt.underWay {
				t.Errorf("%d records of the step under way, want %d", n, tt.underWay)
			}
			cut, err := log.Mend(contents)
			if err != nil || cut != tt.cut {
				t.Errorf("%d bytes removed, want %d (%v)", cut, tt.cut, err)
			}
			if text, _ := os.ReadFile(path); string(text) != tt.kept {
				t.Errorf("mended to %q", text)
			}
			got.Cluster = NewCluster
			if err := log.Append(Record{Time: second(101), Resume: &got}); err != nil {
				t.Fatal(err)
			}
			records, truncated, err := ReadFile(dir)
			if err != nil || truncated || records[len(records)-1].Resume == nil {
				t.Errorf("%d records, truncated %v, %v", len(records), truncated, err)
			}
			// All that came before is there, byte for byte.
			if text, _ := os.ReadFile(path); !strings.HasPrefix(string(text), tt.kept) {
				t.Error("lines of before were changed")
			}
		})
	}
}

func TestContinueRefuses(t *testing.T) {
	for _, tt := range []struct{ name, log, err string }{
		{"damaged in the middle", write(t, twoSteps()[0]) + "{\"time\":\n" + write(t, twoSteps()[1]), "line 2 is not a record"},
		{"no log of a run", "{}\n", "line 1 does not say what was run"},
		{"another format", `{"run":{"schema":7,"meshbench":"v9"}}` + "\n", "format version 7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, LogName), []byte(tt.log), 0o644); err != nil {
				t.Fatal(err)
			}
			if _, _, err := Continue(dir); err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %s", err, tt.err)
			}
			// Nothing holds the log.
			log, err := Create(filepath.Join(dir, "other"))
			if err != nil {
				t.Fatal(err)
			}
			log.Close()
		})
	}
	if _, _, err := Continue(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder without a log: %v", err)
	}
	dir := t.TempDir()
	log, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if err := log.Append(twoSteps()[0]); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Continue(dir); !errors.Is(err, ErrUnderWay) {
		t.Errorf("a run under way: %v", err)
	}
}

// The clock of a run does not count the time in which nobody worked.
func TestClock(t *testing.T) {
	records := append(twoSteps()[:5], resume(0, 90, 3, 84), at(100, 1, Record{Begin: &Begin{Name: "two"}}))
	clock := ClockOf(records)
	for moment, want := range map[float64]float64{0: 0, 3: 3, 90: 6, 92: 8, 100: 16} {
		if got := clock.At(second(moment)); got != want {
			t.Errorf("at %g s: %g, want %g", moment, got, want)
		}
	}
	if got := clock.From(second(-5)).At(second(90)); got != 11 {
		t.Errorf("from the run's begin: %g", got)
	}
}

// Only steps after an interruption that gave memory another past are marked.
func TestResumedSteps(t *testing.T) {
	records := append(twoSteps()[:5], resume(0, 90, 3, 84), at(100, 1, Record{Begin: &Begin{Name: "two"}}))
	if got := ResumedSteps(records); len(got) != 1 || !got[1] {
		t.Errorf("%v", got)
	}
	if got := ResumedSteps(WithResumed(records)); len(got) != 0 {
		t.Errorf("asked for: %v", got)
	}
	if !records[5].Resume.History {
		t.Error("the records that were given were changed")
	}
	if got := ResumedSteps(append(twoSteps()[:2], resume(-1, 90, 0, 90), at(100, 0, Record{Begin: &Begin{Name: "one"}}))); len(got) != 0 {
		t.Errorf("from the start: %v", got)
	}
}
