package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/meshbench/meshbench/harness/kube/kubeconfig"
	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/reports/explanation"
)

// explainSource is where configurations come from.
type explainSource struct {
	clusters            []string
	step, workload      string
	pod                 string
	kubeconfig, context string
	yes                 bool
	keep                string
}

// subject is a configuration that is explained.
type subject = explanation.Subject

func (s *explainSource) flags(f *pflag.FlagSet) {
	f.StringArrayVar(&s.clusters, "clusters", nil, "`file` with Envoy's answer to /clusters, as JSON or text, of a DUMP (repeatable, in the order of the DUMPs)")
	f.StringVar(&s.step, "step", "", "`step` of a RUN (default: the last that has a dump)")
	f.StringVar(&s.workload, "workload", "", "`NAMESPACE/NAME` of the witness of a RUN (default: all)")
	f.StringVar(&s.pod, "pod", "", "read the proxy of this `NAMESPACE/POD`, which makes its Envoy grow until it is restarted")
	f.StringVar(&s.kubeconfig, "kubeconfig", "", "`file` that says where the cluster of --pod is (default: as kubectl finds it)")
	f.StringVar(&s.context, "context", "", "`context` of the kubeconfig (default: its own)")
	f.BoolVar(&s.yes, "yes", false, "read the proxy of --pod without asking")
	f.StringVar(&s.keep, "keep", "", "keep the answers of the proxy of --pod in this `folder`")
}

// compares says whether two configurations are compared.
func (s *explainSource) compares(args []string) bool { return len(args)+s.pods() == 2 }

func (s *explainSource) pods() int {
	if s.pod == "" {
		return 0
	}
	return 1
}

// check says what is wrong with the flags.
func (s *explainSource) check(args []string) error {
	files := 0
	for _, path := range args {
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			files++
		}
	}
	namespace, name, ok := strings.Cut(s.pod, "/")
	switch n := len(args) + s.pods(); {
	case n == 0:
		return errors.New("name what to explain: a DUMP, a RUN, or a pod with --pod NAMESPACE/POD")
	case n > 2:
		return errors.New("give one configuration, or two to compare")
	case s.pod != "" && (!ok || namespace == "" || name == "" || strings.Contains(name, "/")):
		return fmt.Errorf("--pod %s: give NAMESPACE/POD", s.pod)
	case len(s.clusters) > files:
		return fmt.Errorf("--clusters %s: it is of a DUMP, of which there are %d; runs keep theirs", s.clusters[len(s.clusters)-1], files)
	case s.pod == "" && (s.kubeconfig != "" || s.context != "" || s.yes || s.keep != ""):
		return errors.New("--kubeconfig, --context, --yes and --keep are for --pod")
	case (s.step != "" || s.workload != "") && files == len(args):
		return errors.New("--step and --workload are of a RUN: give its folder")
	}
	if namespace, name, ok := strings.Cut(s.workload, "/"); s.workload != "" && (!ok || namespace == "" || name == "") {
		return fmt.Errorf("--workload %s: give NAMESPACE/NAME", s.workload)
	}
	return nil
}

// read reads the configurations, the pod's last.
func (s *explainSource) read(cmd *cobra.Command, args []string) ([]subject, error) {
	var list []subject
	clusters := s.clusters
	for _, path := range args {
		info, err := os.Stat(path)
		if err != nil {
			return nil, fmt.Errorf("cannot explain %s: %w", path, without(path, err))
		}
		if info.IsDir() {
			found, err := explanation.OfRun(path, s.step, s.workload)
			if err != nil {
				return nil, fmt.Errorf("cannot explain run %s: %w", path, err)
			}
			list = append(list, found...)
			continue
		}
		hosts := ""
		if len(clusters) > 0 {
			hosts, clusters = clusters[0], clusters[1:]
		}
		a, err := explanation.ReadFiles(path, hosts)
		if err != nil {
			return nil, fmt.Errorf("cannot explain %s: %w", path, err)
		}
		list = append(list, subject{Attribution: a, Options: explanation.Options{Of: path}})
	}
	if s.pod != "" {
		one, err := s.ofPod(cmd)
		if err != nil {
			return nil, err
		}
		list = append(list, one)
	}
	return list, nil
}

// without is an error that does not name a file again.
func without(path string, err error) error {
	if of := (*fs.PathError)(nil); errors.As(err, &of) && of.Path == path {
		return of.Err
	}
	return err
}

// ofPod asks a proxy that runs.
func (s *explainSource) ofPod(cmd *cobra.Command) (none subject, err error) {
	target, err := kubeconfig.Find(s.kubeconfig, s.context)
	if err != nil {
		return none, usage(cmd, err)
	}
	sampler, err := sample.New(target.Config, sample.Scope{})
	if err != nil {
		return none, err
	}
	defer sampler.Close()
	ctx := cmd.Context()
	namespace, name, _ := strings.Cut(s.pod, "/")
	pod, err := sampler.Pod(ctx, namespace, name)
	switch {
	case apierrors.IsForbidden(err):
		return none, fmt.Errorf("cannot explain pod %s: it takes leave to get pods and to create pods/portforward in namespace %s: %w", s.pod, namespace, err)
	case err != nil:
		return none, fmt.Errorf("cannot explain pod %s: %w", s.pod, err)
	case !pod.Proxy:
		return none, fmt.Errorf("cannot explain pod %s: it has no container %s", s.pod, observations.SidecarContainer)
	case !pod.RealProxy:
		return none, fmt.Errorf("cannot explain pod %s: its proxy does not run", s.pod)
	case pod.NoDump:
		return none, fmt.Errorf("cannot explain pod %s: its annotation meshbench.dev/dump: \"false\" forbids to read its configuration", s.pod)
	}
	if err := s.ask(cmd, target.String()); err != nil {
		return none, err
	}
	// Memory first: the dump makes the proxy grow.
	o := explanation.Options{Of: "pod " + s.pod}
	if bytes, err := sampler.ProxyMemory(ctx, pod); err == nil {
		o.Measured = &explanation.Measured{Sidecars: 1, Median: bytes, Min: bytes, Max: bytes}
	}
	dir := s.keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "meshbench-explain-"); err != nil {
			return none, fmt.Errorf("cannot make a folder for the proxy's answers: %w", err)
		}
		defer os.RemoveAll(dir)
	}
	a, err := dumped(ctx, sampler, pod, dir)
	switch {
	case apierrors.IsForbidden(err):
		return none, fmt.Errorf("cannot explain pod %s: it takes leave to create pods/portforward in namespace %s: %w", s.pod, namespace, err)
	case err != nil:
		return none, fmt.Errorf("cannot explain pod %s: %w", s.pod, err)
	}
	return subject{Attribution: a, Options: o}, nil
}

// dumped dumps a proxy into a folder and takes the dump apart.
func dumped(ctx context.Context, sampler *sample.Sampler, pod sample.Pod, dir string) (*proxyconfig.Attribution, error) {
	dumps, _, err := sampler.Dump(ctx, pod, dir, "")
	if err != nil {
		return nil, err
	}
	return explanation.ReadFiles(filepath.Join(dir, dumps["config_dump"]), filepath.Join(dir, dumps["clusters"]))
}

// ask asks whether the proxy's configuration may be read.
func (s *explainSource) ask(cmd *cobra.Command, cluster string) error {
	if s.yes {
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "The configuration of pod %s on %s will be read. Its Envoy grows by that until it is restarted:\nby about five times the size of its configuration (20 MiB for 4 MB were seen).\n", s.pod, cluster)
	yes, err := confirm(cmd.Context(), cmd.ErrOrStderr(), "Go on?")
	switch {
	case errors.Is(err, errNobody):
		return usage(cmd, err)
	case err != nil:
		return err
	case !yes:
		return &exit{code: exitFailure, err: errors.New("nothing was read")}
	}
	return nil
}
