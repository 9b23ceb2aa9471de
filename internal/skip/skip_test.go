package skip_test

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/internal/skip"
)

// teller is a test that prints what becomes of it.
type teller struct{ said []string }

func (*teller) Helper()             {}
func (*teller) Name() string        { return "TestPage/in a browser" }
func (t *teller) Skip(args ...any)  { t.said = append(t.said, "skip: "+fmt.Sprint(args...)) }
func (t *teller) Fatal(args ...any) { t.said = append(t.said, "fail: "+fmt.Sprint(args...)) }

func Example() {
	_ = func(t *testing.T) {
		if os.Getuid() != 0 {
			skip.NotHere(t, "mounting a disk takes root")
		}
		browser, err := exec.LookPath("chromium")
		if err != nil {
			skip.Missing(t, "no Chromium is installed (Debian: apt-get install chromium)")
		}
		_ = browser // … the test
	}
}

func TestSkips(t *testing.T) {
	for _, tt := range []struct {
		name    string
		call    func(skip.T, string, ...any)
		require string
		want    string
		listed  bool
	}{
		{"missing", skip.Missing, "", "skip: no moon", true},
		{"missing, not required", skip.Missing, "0", "skip: no moon", true},
		{"missing, required", skip.Missing, "1", "fail: no moon\nthis would be a skip without MESHBENCH_REQUIRE", false},
		{"not here", skip.NotHere, "", "skip: no moon", true},
		{"not here, required", skip.NotHere, "1", "skip: no moon", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "skips")
			t.Setenv(skip.RequireEnv, tt.require)
			t.Setenv(skip.ListEnv, file)
			told := &teller{}
			tt.call(told, "no %s", "moon")
			if got := strings.Join(told.said, "|"); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			var want string
			if tt.listed {
				want = "internal/skip_test\tTestPage/in a browser\tno moon\n"
			}
			if got, _ := os.ReadFile(file); string(got) != want {
				t.Errorf("the list holds %q, want %q", got, want)
			}
		})
	}
}

// A list that cannot be written would be a skip that nobody sees.
func TestListThatCannotBeWritten(t *testing.T) {
	t.Setenv(skip.ListEnv, filepath.Join(t.TempDir(), "nowhere", "skips"))
	told := &teller{}
	skip.NotHere(told, "no moon")
	if got := strings.Join(told.said, "|"); !strings.HasPrefix(got, "fail: cannot list a skipped test: ") {
		t.Errorf("got %q", got)
	}
}

// TestNoOtherSkips holds all tests of the module to this package.
func TestNoOtherSkips(t *testing.T) {
	own := regexp.MustCompile(`(^|[^\w.])Skip\(|\.Skip(f|Now)?\(`)
	seen := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "runs" || d.Name() == "bin" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, "_test.go") || filepath.Dir(path) == filepath.FromSlash("../../internal/skip") {
			return nil
		}
		seen++
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(text), "\n") {
			if own.MatchString(line) {
				t.Errorf("%s:%d skips by itself: use skip.Missing or skip.NotHere", path, i+1)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 50 {
		t.Errorf("only %d files with tests were found", seen)
	}
}
