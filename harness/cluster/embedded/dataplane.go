package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/shlex"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
	"github.com/meshbench/meshbench/internal/imagename"
	"github.com/meshbench/meshbench/scenarios"
)

// dataPlane are the flags about applications that run.
type dataPlane struct {
	mode                string
	programs, arguments []string
}

// Values of --data-plane.
const (
	dataPlaneAuto = "auto"
	dataPlaneOn   = "on"
	dataPlaneOff  = "off"
)

func (d *dataPlane) flags(f *pflag.FlagSet) {
	f.StringVar(&d.mode, "data-plane", dataPlaneAuto, "embedded: whether applications run and their traffic is redirected to their sidecars: auto (where a scenario sends requests), on or off")
	f.StringArrayVar(&d.programs, "program", nil, "embedded: run the program of this machine in containers of an image, `IMAGE=PATH` (repeatable)")
	f.StringArrayVar(&d.arguments, "program-args", nil, "embedded: arguments of that program in place of the container's, `IMAGE=ARGUMENTS` (repeatable)")
}

// applications are those that run on a cluster that is asked for with wanted; nil for none. An
// error is that of an option.
func (d *dataPlane) applications(wanted *cluster.Applications) (*cluster.Applications, []sandbox.Program, error) {
	programs, err := d.parse()
	switch {
	case err != nil:
	case !slices.Contains([]string{"", dataPlaneAuto, dataPlaneOn, dataPlaneOff}, d.mode):
		err = fmt.Errorf("--data-plane %s: known are auto, on and off", d.mode)
	case d.mode == dataPlaneOff && wanted != nil:
		err = errors.New("--data-plane off: the scenario sends requests, for which applications must run: leave the flag out")
	case wanted == nil && d.mode == dataPlaneOn:
		wanted = &cluster.Applications{}
	}
	if err == nil && wanted == nil && len(programs) > 0 {
		err = errors.New("--program: no application runs without a scenario that sends requests: add --data-plane on, or leave it out")
	}
	if err != nil {
		return nil, nil, &cluster.OptionError{Err: err}
	}
	return wanted, programs, nil
}

// parse reads the programs.
func (d *dataPlane) parse() ([]sandbox.Program, error) {
	var programs []sandbox.Program
	find := func(image string) int {
		return slices.IndexFunc(programs, func(p sandbox.Program) bool { return p.Image == image })
	}
	for _, text := range d.programs {
		image, path, ok := strings.Cut(text, "=")
		if !ok || image == "" || path == "" || strings.Contains(image, "@") {
			return nil, fmt.Errorf("--program %s: give IMAGE=PATH, the image without a digest, nginx=/usr/sbin/nginx", text)
		}
		if find(image) >= 0 {
			return nil, fmt.Errorf("--program %s: image %s has a program already", text, image)
		}
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("--program %s: %w", text, err)
		}
		info, err := os.Stat(absolute)
		if err != nil {
			return nil, fmt.Errorf("--program %s: %w", text, err)
		}
		if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			return nil, fmt.Errorf("--program %s: %s is no executable file", text, path)
		}
		programs = append(programs, sandbox.Program{Image: image, Path: absolute})
	}
	for _, text := range d.arguments {
		image, line, ok := strings.Cut(text, "=")
		i := find(image)
		if !ok || i < 0 {
			return nil, fmt.Errorf("--program-args %s: give IMAGE=ARGUMENTS with an image that --program names", text)
		}
		if programs[i].Args != nil {
			return nil, fmt.Errorf("--program-args %s: image %s has arguments already", text, image)
		}
		args, err := shlex.Split(line)
		if err != nil {
			return nil, fmt.Errorf("--program-args %s: read it as a shell would: %w", text, err)
		}
		programs[i].Args = append([]string{}, args...) // none are not the container's
	}
	return programs, nil
}

// Substitute implements [cluster.Substitutes].
func (s *Source) Substitute(image string) string {
	programs, err := s.dataPlane.parse()
	if err != nil {
		return "" // which is refused elsewhere
	}
	for _, p := range programs {
		if named(image, p.Image) {
			return p.Path + " of this machine"
		}
	}
	if scenarios.IsFortio(image) {
		return "Fortio, built from its module"
	}
	return ""
}

// named reports whether an image is of a repository that ends in name, and has its tag if name
// has one.
func named(image, name string) bool {
	repository, tag := imagename.Split(image)
	last, wanted := imagename.Split(name)
	return (wanted == "" || tag == wanted) && (repository == last || strings.HasSuffix(repository, "/"+last))
}
