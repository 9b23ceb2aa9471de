package action

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v3"
)

const root = "../.."

// definition is what is read of action.yml.
type definition struct {
	Name        string
	Description string
	Inputs      map[string]struct {
		Description string
		Required    bool
		Default     *string
	}
	Outputs map[string]struct{ Description, Value string }
	Runs    struct {
		Using string
		Steps []struct {
			ID    string
			Uses  string
			Shell string
			Run   string
			Env   map[string]string
			With  map[string]any
		}
	}
}

func read(t *testing.T) (text string, d definition) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	return string(data), d
}

// TestDefinition holds what action.yml declares against what it uses.
func TestDefinition(t *testing.T) {
	text, d := read(t)
	if d.Runs.Using != "composite" || d.Name == "" || d.Description == "" {
		t.Errorf("using %q, name %q, description %q", d.Runs.Using, d.Name, d.Description)
	}
	same(t, "inputs", names(text, `inputs\.([\w-]+)`), slices.Collect(maps.Keys(d.Inputs)))
	for name, input := range d.Inputs {
		if input.Description == "" || input.Required == (input.Default != nil) {
			t.Errorf("input %s: want a description, and either required or a default", name)
		}
	}

	outputs := map[string][]string{} // by step
	for name, output := range d.Outputs {
		m := regexp.MustCompile(`^\$\{\{ steps\.(\w+)\.outputs\.([\w-]+) \}\}$`).FindStringSubmatch(output.Value)
		if output.Description == "" || m == nil {
			t.Errorf("output %s: value %q, description %q", name, output.Value, output.Description)
			continue
		}
		outputs[m[1]] = append(outputs[m[1]], m[2])
	}
	for _, step := range d.Runs.Steps {
		for _, value := range step.With {
			for _, m := range regexp.MustCompile(`steps\.(\w+)\.outputs\.([\w-]+)`).FindAllStringSubmatch(fmt.Sprint(value), -1) {
				outputs[m[1]] = append(outputs[m[1]], m[2])
			}
		}
	}
	for _, step := range d.Runs.Steps {
		if step.Run == "" {
			if !regexp.MustCompile(`^[\w-]+/[\w-]+@v\d`).MatchString(step.Uses) {
				t.Errorf("step uses %q, want an action with its version", step.Uses)
			}
			continue
		}
		if step.Shell != "bash" {
			t.Errorf("step %s: shell %q, want bash", step.ID, step.Shell)
		}
		// What a user gives must not become a part of a script.
		if strings.Contains(step.Run, "${{") {
			t.Errorf("step %s has an expression in its script: pass it by env: %s", step.ID, step.Run)
		}
		script := script(t, step.Run)
		same(t, "variables of "+step.ID, names(script, `\$\{(VERSION|ACTION_REF|SCENARIO|ARGUMENTS|OUT|BASELINE|GATE_ARGUMENTS)\b`), slices.Collect(maps.Keys(step.Env)))
		same(t, "outputs of "+step.ID, names(script, `echo "([a-z-]+)=`), outputs[step.ID])
	}
}

// TestReadme holds the use that the README shows against the inputs. Actionlint does so for
// our own workflows.
func TestReadme(t *testing.T) {
	_, d := read(t)
	data, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```yaml\n(- uses: meshbench/meshbench@.*?)```").FindSubmatch(data)
	if m == nil {
		t.Fatal("the README shows no use of the action")
	}
	var steps []struct{ With map[string]string }
	if err := yaml.Unmarshal(m[1], &steps); err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		for name := range step.With {
			if _, declared := d.Inputs[name]; !declared {
				t.Errorf("the README gives the input %s, which action.yml does not declare", name)
			}
		}
		for name, input := range d.Inputs {
			if input.Required && step.With[name] == "" {
				t.Errorf("the README does not give the required input %s", name)
			}
		}
	}
}

// script reads the file that a step runs.
func script(t *testing.T, run string) string {
	t.Helper()
	m := regexp.MustCompile(`^bash "\$GITHUB_ACTION_PATH/([\w./-]+)"$`).FindStringSubmatch(run)
	if m == nil {
		t.Fatalf("a step runs %q, want a file of the action", run)
	}
	data, err := os.ReadFile(filepath.Join(root, m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// names are the first groups of all matches.
func names(text, pattern string) []string {
	var all []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		all = append(all, m[1])
	}
	return all
}

// same compares two sets of names.
func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	set := func(all []string) []string { return slices.Compact(slices.Sorted(slices.Values(all))) }
	if got, want := set(got), set(want); !slices.Equal(got, want) {
		t.Errorf("%s: used or written %q, declared or wanted %q", what, got, want)
	}
}

// stub stands for meshbench run: it notes its arguments, leaves a run's folder that the real
// report is made of, and ends with a given code. All else is the real program's.
const stub = `#!/bin/sh
printf '%s\n' "$@" >>"$STUB_CALLS"
[ "$1" = run ] || exec "$STUB_REAL" "$@"
while [ $# -gt 1 ]; do
  [ "$1" = --out ] && out=$2
  shift
done
[ -z "$STUB_LOG" ] && exit "$STUB_CODE"
mkdir -p "$out"
cp "$STUB_LOG" "$out/observations.jsonl"
"$STUB_REAL" report "$out"
exit "$STUB_CODE"
`

// TestRun runs the script of the last step as the action does, with the real gate.
func TestRun(t *testing.T) {
	real := filepath.Join(t.TempDir(), "meshbench")
	command(t, nil, "go", "build", "-o", real, root+"/cmd/meshbench")
	archive, err := txtar.ParseFile(filepath.Join(root, "cmd/meshbench/testdata/script/gate.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	runs := map[string]string{} // logs by name
	for _, name := range []string{"a", "b"} {
		i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == name+"/observations.jsonl" })
		if i < 0 {
			t.Fatalf("gate.txtar has no run %s", name)
		}
		runs[name] = write(t, filepath.Join(dir, name, "observations.jsonl"), archive.Files[i].Data)
	}
	text, err := os.ReadFile(runs["b"])
	if err != nil {
		t.Fatal(err)
	}
	worse := strings.Replace(string(text), `"virtualHosts":12`, `"virtualHosts":13`, 1)
	runs["worse"] = write(t, filepath.Join(dir, "worse", "observations.jsonl"), []byte(worse))
	baseline := filepath.Join(dir, "base line.json") // a path is one word
	command(t, nil, real, "gate", "--baseline", baseline, "--accept", "--why", "test", filepath.Dir(runs["a"]))

	for _, test := range []struct {
		name string
		env  map[string]string
		log  string // which run the stub leaves; "" for none
		ends string // the stub's exit code
		want string // the script's
		// calls are the arguments of run and gate, one a line, OUT for the run's folder.
		calls   string
		outputs map[string]string
		summary []string
	}{
		{
			name:    "no gate",
			env:     map[string]string{"SCENARIO": "headless", "ARGUMENTS": "--set replicas=30\n--real 5 --mesh-set 'a=b c' --set x=$HOME"},
			log:     "b",
			ends:    "0",
			want:    "0",
			calls:   "run headless --set replicas=30 --real 5 --mesh-set|a=b c|--set x=$HOME --out OUT",
			outputs: map[string]string{"exit-code": "0", "gate-exit-code": ""},
			summary: []string{"## meshbench: headless", "- run: passed (exit code 0)", "| step | nodes/pods/svc |", "| headless |"},
		},
		{
			name:    "passes",
			env:     map[string]string{"SCENARIO": "./my own.yaml", "BASELINE": baseline},
			log:     "b",
			ends:    "0",
			want:    "0",
			calls:   "run|./my own.yaml|--out OUT gate --baseline|BASELINE|--markdown OUT/gate.md --html OUT/gate.html OUT",
			outputs: map[string]string{"exit-code": "0", "gate-exit-code": "0"},
			summary: []string{"## meshbench: my own", "- gate: passed (exit code 0)", "PASS: nothing changed"},
		},
		{
			name:    "regression",
			env:     map[string]string{"SCENARIO": "headless", "BASELINE": baseline, "GATE_ARGUMENTS": "--limit memory=off --limit istiod.memory=off"},
			log:     "worse",
			ends:    "0",
			want:    "5",
			calls:   "run headless --out OUT gate --baseline|BASELINE|--limit memory=off --limit istiod.memory=off --markdown OUT/gate.md --html OUT/gate.html OUT",
			outputs: map[string]string{"exit-code": "0", "gate-exit-code": "5"},
			summary: []string{"- run: passed (exit code 0)", "- gate: a regression (exit code 5)", "FAIL: 1 regression"},
		},
		{
			name:    "missed, and a regression",
			env:     map[string]string{"SCENARIO": "headless", "BASELINE": baseline},
			log:     "worse",
			ends:    "3",
			want:    "3",
			calls:   "run headless --out OUT gate --baseline|BASELINE|--markdown OUT/gate.md --html OUT/gate.html OUT",
			outputs: map[string]string{"exit-code": "3", "gate-exit-code": "5"},
			summary: []string{"- run: an expectation was missed (exit code 3)", "- gate: a regression (exit code 5)"},
		},
		{
			name:    "refused",
			env:     map[string]string{"SCENARIO": "headless", "BASELINE": filepath.Join(dir, "none.json")},
			log:     "b",
			ends:    "0",
			want:    "1",
			calls:   "run headless --out OUT gate --baseline|" + filepath.Join(dir, "none.json") + "|--markdown OUT/gate.md --html OUT/gate.html OUT",
			outputs: map[string]string{"exit-code": "0", "gate-exit-code": "1"},
			summary: []string{"- gate: failed (exit code 1)", "none.json: "},
		},
		{
			name:    "time-out",
			env:     map[string]string{"SCENARIO": "headless", "BASELINE": baseline},
			log:     "b",
			ends:    "4",
			want:    "4",
			calls:   "run headless --out OUT",
			outputs: map[string]string{"exit-code": "4", "gate-exit-code": ""},
			summary: []string{"the time limit was hit", "- gate: not done", "| headless |"},
		},
		{
			name:    "nothing ran",
			env:     map[string]string{"SCENARIO": "hedless"},
			ends:    "2",
			want:    "2",
			calls:   "run hedless --out OUT",
			outputs: map[string]string{"exit-code": "2", "gate-exit-code": ""},
			summary: []string{"- run: bad usage, or a bad scenario file (exit code 2)"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			here := t.TempDir()
			out := filepath.Join(here, "runs", "one")
			bin := filepath.Dir(write(t, filepath.Join(here, "bin", "meshbench"), []byte(stub)))
			env := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "STUB_CALLS="+filepath.Join(here, "calls"),
				"STUB_REAL="+real, "STUB_LOG="+runs[test.log], "STUB_CODE="+test.ends, "OUT="+out,
				"GITHUB_STEP_SUMMARY="+filepath.Join(here, "summary"), "GITHUB_OUTPUT="+filepath.Join(here, "outputs"))
			for name, value := range test.env {
				env = append(env, name+"="+value)
			}
			if got := command(t, env, "bash", root+"/.github/action/run.sh"); got != test.want {
				t.Errorf("exit code %s, want %s", got, test.want)
			}

			// Words are set apart by spaces, or by bars where they hold spaces.
			var want []string
			for _, words := range strings.Split(test.calls, "|") {
				if strings.HasSuffix(words, ".yaml") || words == "a=b c" || strings.HasPrefix(words, dir) {
					want = append(want, words)
					continue
				}
				want = append(want, strings.Fields(words)...)
			}
			for i := range want {
				want[i] = strings.NewReplacer("OUT", out, "BASELINE", baseline).Replace(want[i])
			}
			if got := strings.Split(strings.TrimSpace(content(t, here, "calls")), "\n"); !slices.Equal(got, want) {
				t.Errorf("called with %q, want %q", got, want)
			}

			test.outputs["run"], test.outputs["summary"] = out, filepath.Join(out, "summary.md")
			got := map[string]string{}
			for line := range strings.Lines(content(t, here, "outputs")) {
				name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
				got[name] = value
			}
			if !maps.Equal(got, test.outputs) {
				t.Errorf("outputs %v, want %v", got, test.outputs)
			}

			summary := content(t, here, "summary")
			for _, part := range test.summary {
				if !strings.Contains(summary, part) {
					t.Errorf("the summary lacks %q:\n%s", part, summary)
				}
			}
			if content(t, out, "summary.md") != summary {
				t.Error("summary.md is not what the job summary got")
			}
		})
	}

	t.Run("unbalanced quotes", func(t *testing.T) {
		bin := filepath.Dir(write(t, filepath.Join(t.TempDir(), "meshbench"), []byte("#!/bin/sh\nexit 99\n")))
		env := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "SCENARIO=headless", "ARGUMENTS=--set 'x", "OUT="+t.TempDir())
		if got := command(t, env, "bash", root+"/.github/action/run.sh"); got != "2" {
			t.Errorf("exit code %s, want 2", got)
		}
	})
}

// TestSetup builds the program as the action's first step does, from a path that is not the
// working folder, and reads what it tells the other steps.
func TestSetup(t *testing.T) {
	path, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	here := t.TempDir()
	// A sudo that must not change this machine.
	bin := filepath.Dir(write(t, filepath.Join(here, "bin", "sudo"), []byte("#!/bin/sh\nexit 1\n")))
	env := append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "RUNNER_TEMP="+here, "GITHUB_ACTION_PATH="+path,
		"GITHUB_PATH="+filepath.Join(here, "path"), "GITHUB_OUTPUT="+filepath.Join(here, "outputs"),
		"ACTION_REF=v0.7.0", "VERSION=", "SCENARIO=headless", "ARGUMENTS=--istio 1.24.0", "MESHBENCH_CACHE="+filepath.Join(here, "cache"))
	if got := command(t, env, "bash", filepath.Join(path, ".github/action/setup.sh")); got != "0" {
		t.Fatalf("exit code %s", got)
	}
	program := filepath.Join(strings.TrimSpace(content(t, here, "path")), "meshbench")
	version, err := exec.CommandContext(t.Context(), program, "--version").Output()
	if err != nil || string(version) != "meshbench version v0.7.0\n" {
		t.Errorf("the program that was built says %q (%v), want the action's ref as its version", version, err)
	}
	want := regexp.MustCompile(`^cache=` + regexp.QuoteMeta(filepath.Join(here, "cache")) + `\npins=[0-9a-f]{16}\nwishes=[0-9a-f]{16}\n$`)
	if got := content(t, here, "outputs"); !want.MatchString(got) {
		t.Errorf("outputs:\n%s", got)
	}
}

// command runs a command and returns its exit code; what it prints goes into the test's log.
func command(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	t.Logf("%s %q:\n%s", name, args, out)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && env != nil:
		return fmt.Sprint(exit.ExitCode())
	case err != nil:
		t.Fatalf("%s: %v", name, err)
	}
	return "0"
}

// write makes an executable file, with its folder, and returns its path.
func write(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

func content(t *testing.T, dir, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
