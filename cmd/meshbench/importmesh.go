package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/harness/kube/kubeconfig"
	"github.com/meshbench/meshbench/harness/rights"
	"github.com/meshbench/meshbench/harness/survey"
	"github.com/meshbench/meshbench/importer"
	"github.com/meshbench/meshbench/importer/alias"
	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/scenarios"
)

// importing is the command import.
type importing struct {
	out        string
	skip       []string
	dumps      []string
	kubeconfig string
	context    string
	rights     bool
	anonymize  bool
	private    string
}

func importMeshCommand() *cobra.Command {
	var i importing
	cmd := &cobra.Command{
		Use:   "import [FILE...]",
		Short: "Make a scenario of a mesh of your own",
		Long: `Make a scenario folder of somebody's mesh, which 'meshbench run' replays on a cluster of its
own: namespaces, Services, workloads with as many pods as are ready, endpoints, Istio's and
the Gateway API's objects, and the mesh's values and version.

Without files the cluster of a kubeconfig is asked, with get and list alone. Files are what
kubectl exports, YAML or JSON of any size, and archives of istioctl bug-report. Secrets are
never read. What is not as in the source is printed, and kept in the folder's import.json.`,
		Example: `  meshbench import --context prod --out prod
  meshbench import --context prod --out shared --anonymize
  kubectl get ns,no,svc,deploy,sts,ds,rs,po,endpointslices,mutatingwebhookconfigurations -A -o yaml > mesh.yaml
  meshbench import mesh.yaml istio.yaml --out prod
  meshbench run prod/prod.yaml --real-for shop/cart`,
		RunE: i.run,
	}
	f := cmd.Flags()
	f.StringVar(&i.out, "out", "", "`folder` to make; its last part names the scenario (default: as the context or the first file)")
	f.StringVar(&i.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: those of KUBECONFIG, else ~/.kube/config)")
	f.StringVar(&i.context, "context", "", "the kubeconfig's `context` (default: its current one)")
	f.BoolVar(&i.anonymize, "anonymize", false, "give all names others of the same length, everywhere the same ones")
	f.StringVar(&i.private, "map", "", "private `file` that says which name stands for which; names in it keep their aliases (default FOLDER.map.json beside the folder)")
	f.BoolVar(&i.rights, "rights", false, "print the roles that reading a cluster needs as YAML, and import nothing")
	f.StringArrayVar(&i.dumps, "dump", nil, "`NAMESPACE/POD=FILE` with the config_dump of a live proxy to compare the replay with; FILE,FILE adds its answer to /clusters (repeatable)")
	f.StringSliceVar(&i.skip, "skip", nil, "`kinds` to leave out, as KIND or KIND.GROUP (comma-separated)")
	return cmd
}

func (i *importing) run(cmd *cobra.Command, args []string) error {
	if i.rights {
		return i.printRights(cmd)
	}
	if len(args) > 0 && (i.kubeconfig != "" || i.context != "") {
		return usage(cmd, errors.New("give files, or a cluster with --context or --kubeconfig, and not both"))
	}
	if i.private != "" && !i.anonymize {
		return usage(cmd, errors.New("--map is for --anonymize"))
	}
	// Before a mesh of any size is read.
	if base := filepath.Base(i.out); i.out != "" && base != scenarioName(base) {
		return usage(cmd, fmt.Errorf("--out %s: its last part names the scenario: use lower-case letters, digits and hyphens, as in %s",
			i.out, filepath.Join(filepath.Dir(i.out), scenarioName(base))))
	}
	begin := time.Now()
	collection := importer.New(importer.Options{Skip: i.skip})
	name, err := i.read(cmd, collection, args)
	if err != nil {
		return err
	}
	for _, text := range i.dumps {
		if err := addDump(collection, text); err != nil {
			return err
		}
	}
	mesh, err := collection.Mesh()
	if err != nil {
		return fmt.Errorf("cannot import: %w", err)
	}
	target := importer.Target{
		Folder: filepath.Clean(cmp.Or(i.out, scenarioName(name))), Title: "The mesh of " + name,
		Loader: scenarios.Loader{Render: assemble.Renderer()},
	}
	var names *alias.Names
	if i.anonymize {
		if names, err = i.names(&target); err != nil {
			return err
		}
		mesh.Anonymize(names)
	}
	s, err := mesh.Write(target)
	if err != nil {
		return err
	}
	for _, note := range mesh.Summary().Notes {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", note)
	}
	summary := mesh.Summary()
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, at most %d nodes\n", target.Scenario(), mesh, s.Plan().MostNodes)
	fmt.Fprintf(cmd.OutOrStdout(), "Read %d objects of %.1f MB in %.1f s", summary.Objects, float64(summary.Bytes)/1e6, time.Since(begin).Seconds())
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err == nil {
		fmt.Fprintf(cmd.OutOrStdout(), ", with at most %d MiB of memory", usage.Maxrss>>10)
	}
	fmt.Fprintln(cmd.OutOrStdout(), ".")
	if names != nil {
		fmt.Fprintf(cmd.OutOrStdout(), "%d names have others. Which stands for which is in %s: keep it to yourself.\n", names.Len(), i.private)
	}
	return nil
}

// names are the aliases of an earlier import, or none yet. They are written before the folder is.
func (i *importing) names(target *importer.Target) (*alias.Names, error) {
	if i.out == "" {
		target.Folder = "imported" // the source's name is one, too
	}
	if i.private == "" {
		i.private = target.Folder + ".map.json"
	}
	if inside, err := filepath.Rel(target.Folder, i.private); err == nil && filepath.IsLocal(inside) {
		return nil, fmt.Errorf("--map %s: it must not lie in the folder, which is to be shared", i.private)
	}
	names, err := alias.Open(i.private)
	if err != nil {
		return nil, fmt.Errorf("cannot read --map %s: %w", i.private, err)
	}
	target.Commit = func() error {
		if err := names.Save(i.private); err != nil {
			return fmt.Errorf("cannot write --map %s: %w", i.private, err)
		}
		return nil
	}
	return names, nil
}

// read reads files, or the cluster without any. It returns the name of what was read.
func (i *importing) read(cmd *cobra.Command, into *importer.Collection, files []string) (name string, err error) {
	for _, file := range files {
		if err := into.AddFile(file); err != nil {
			return "", fmt.Errorf("cannot import %s: %w", file, err)
		}
	}
	if len(files) > 0 {
		return filepath.Base(files[0]), nil
	}
	target, err := kubeconfig.Find(i.kubeconfig, i.context)
	if err != nil {
		return "", fmt.Errorf("cannot import: %w", err)
	}
	bar := newProgress(cmd.ErrOrStderr())
	bar.Phase("read")
	err = survey.Read(cmd.Context(), target.Config, into, func(what string) { bar.Status("%s", what) })
	bar.Close()
	var denied *survey.Denied
	switch {
	case errors.As(err, &denied):
		return "", fmt.Errorf("cannot import from %s: %w\n'%s --rights' prints the roles that it takes, and --skip KIND leaves a kind out", target.Config.Host, err, cmd.CommandPath())
	case err != nil:
		return "", fmt.Errorf("cannot import from %s: %w", target.Config.Host, err)
	}
	return cmp.Or(target.Context, "cluster"), nil
}

// printRights prints the roles that reading a cluster needs.
func (i *importing) printRights(cmd *cobra.Command) error {
	text, err := rights.Manifest("meshbench-import", rights.Importing(importer.DefaultMeshNamespace), rights.Subject("system:serviceaccount:default:default"),
		"What 'meshbench import' reads of a cluster, for kubectl apply -f -. Put your own user in place of the subject;",
		"a mesh that is not in "+importer.DefaultMeshNamespace+" needs the Role there.")
	if err != nil {
		return err
	}
	_, err = cmd.OutOrStdout().Write(text)
	return err
}

// addDump takes in a dump as NAMESPACE/POD=FILE or NAMESPACE/POD=FILE,FILE.
func addDump(c *importer.Collection, text string) error {
	of, files, ok := strings.Cut(text, "=")
	namespace, pod, named := strings.Cut(of, "/")
	if !ok || !named || namespace == "" || pod == "" || files == "" {
		return fmt.Errorf("--dump %s: give NAMESPACE/POD=FILE, or NAMESPACE/POD=FILE,FILE with its answer to /clusters", text)
	}
	dump, clusters, both := strings.Cut(files, ",")
	add := []struct {
		file string
		take func(namespace, pod string, r io.Reader) error
	}{{dump, c.AddDump}, {clusters, c.AddClusters}}
	if !both {
		add = add[:1]
	}
	for _, a := range add {
		in, err := bounded.Open(a.file, bounded.Dump)
		if err == nil {
			err = a.take(namespace, pod, in)
			in.Close()
		}
		if err != nil {
			return fmt.Errorf("cannot read --dump %s: %w", text, err)
		}
	}
	return nil
}

// notInName is what the name of a scenario cannot have.
var notInName = regexp.MustCompile(`[^a-z0-9]+`)

// scenarioName makes the name of a scenario of that of a file.
func scenarioName(file string) string {
	name, _, _ := strings.Cut(strings.ToLower(filepath.Base(file)), ".")
	name = strings.Trim(notInName.ReplaceAllString(name, "-"), "-")
	return cmp.Or(name[:min(len(name), 50)], "imported")
}
