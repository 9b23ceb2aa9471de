package signals

import (
	"os"
	"os/exec"
	"slices"
	"syscall"
	"testing"
)

// asked has this program print what it would listen to instead of testing.
const asked = "MESHBENCH_TEST_ENDING"

func TestMain(m *testing.M) {
	if os.Getenv(asked) == "" {
		os.Exit(m.Run())
	}
	if slices.Contains(Ending(), os.Signal(syscall.SIGHUP)) {
		os.Exit(3)
	}
}

// TestEnding starts a program with and without nohup, whatever this one was started with.
func TestEnding(t *testing.T) {
	for _, test := range []struct {
		name    string
		command []string
		want    int
	}{
		{"by a shell", []string{"env", "--default-signal=HUP"}, 3},
		{"by nohup", []string{"nohup"}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(test.command[0], append(test.command[1:], self)...)
			cmd.Env = append(os.Environ(), asked+"=1")
			out, err := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != test.want {
				t.Errorf("exit code %d, want %d: %v\n%s", got, test.want, err, out)
			}
		})
	}
}
