package embedded

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/embedded/sandbox"
)

func TestDataPlaneFlags(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for name, mode := range map[string]os.FileMode{"server": 0o755, "text": 0o644} {
		if err := os.WriteFile(name, nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	server := filepath.Join(dir, "server")
	wanted := &cluster.Applications{StandIns: []cluster.StandIn{{Namespace: "ns1", Workload: "web"}}}
	for _, tt := range []struct {
		args     []string
		wanted   *cluster.Applications
		got      *cluster.Applications
		programs []sandbox.Program
		err      string
	}{
		{},
		{wanted: wanted, got: wanted},
		{args: []string{"--data-plane", "on"}, got: &cluster.Applications{}},
		{args: []string{"--data-plane", "on"}, wanted: wanted, got: wanted},
		{args: []string{"--data-plane", "off"}},
		{args: []string{"--data-plane", "off"}, wanted: wanted, err: "the scenario sends requests"},
		{args: []string{"--data-plane", "some"}, err: "known are auto, on and off"},
		{args: []string{"--program", "nginx=server"}, err: "add --data-plane on"},
		{args: []string{"--program", "nginx=server"}, wanted: wanted, got: wanted, programs: []sandbox.Program{{Image: "nginx", Path: server}}},
		{
			args:   []string{"--program", "a/nginx:1.27=./server", "--program", "app=" + server, "--program-args", `app=-p 80 "two words"`},
			wanted: wanted, got: wanted,
			programs: []sandbox.Program{{Image: "a/nginx:1.27", Path: server}, {Image: "app", Path: server, Args: []string{"-p", "80", "two words"}}},
		},
		{
			args: []string{"--program", "app=server", "--program-args", "app="}, wanted: wanted, got: wanted,
			programs: []sandbox.Program{{Image: "app", Path: server, Args: []string{}}},
		},
		{args: []string{"--program", "nginx"}, wanted: wanted, err: "--program nginx: give IMAGE=PATH"},
		{args: []string{"--program", "=server"}, wanted: wanted, err: "give IMAGE=PATH"},
		{args: []string{"--program", "nginx@sha256:abc=server"}, wanted: wanted, err: "without a digest"},
		{args: []string{"--program", "nginx=none"}, wanted: wanted, err: "no such file"},
		{args: []string{"--program", "nginx=text"}, wanted: wanted, err: "text is no executable file"},
		{args: []string{"--program", "nginx=."}, wanted: wanted, err: "is no executable file"},
		{args: []string{"--program", "nginx=server", "--program", "nginx=server"}, wanted: wanted, err: "image nginx has a program already"},
		{args: []string{"--program-args", "nginx=-p 80"}, wanted: wanted, err: "with an image that --program names"},
		{args: []string{"--program", "a=server", "--program-args", "a=x", "--program-args", "a=y"}, wanted: wanted, err: "image a has arguments already"},
		{args: []string{"--program", "a=server", "--program-args", `a="x`}, wanted: wanted, err: "read it as a shell would"},
	} {
		g := NewWithT(t)
		var s Source
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		s.Flags(flags)
		g.Expect(flags.Parse(tt.args)).To(Succeed())
		request, programs, err := s.withApplications(cluster.Request{Spec: cluster.Spec{Applications: tt.wanted}})
		if tt.err != "" {
			var option *cluster.OptionError
			g.Expect(err).To(MatchError(ContainSubstring(tt.err)), "%q", tt.args)
			g.Expect(err).To(BeAssignableToTypeOf(option))
			continue
		}
		g.Expect(err).NotTo(HaveOccurred(), "%q", tt.args)
		g.Expect(request.Spec.Applications).To(Equal(tt.got), "%q", tt.args)
		g.Expect(programs).To(Equal(tt.programs), "%q", tt.args)
	}
}
