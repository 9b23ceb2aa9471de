package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/harness/assemble"
	"github.com/meshbench/meshbench/importer"
	"github.com/meshbench/meshbench/scenarios"
)

// importing is the command import.
type importing struct {
	out   string
	skip  []string
	dumps []string
}

func importMeshCommand() *cobra.Command {
	var i importing
	cmd := &cobra.Command{
		Use:   "import FILE...",
		Short: "Make a scenario of a mesh of your own",
		Long: `Make a scenario folder of somebody's mesh, which 'meshbench run' replays on a cluster of its
own: namespaces, Services, workloads with as many pods as are ready, endpoints, Istio's and
the Gateway API's objects, and the mesh's values and version. Files are what kubectl exports,
YAML or JSON of any size. Secrets are never read.`,
		Example: `  kubectl get ns,no,svc,deploy,sts,ds,rs,po,endpointslices,mutatingwebhookconfigurations -A -o yaml > mesh.yaml
  meshbench import mesh.yaml istio.yaml --out prod
  meshbench run prod/prod.yaml --real-for shop/cart`,
		Args: cobra.MinimumNArgs(1),
		RunE: i.run,
	}
	f := cmd.Flags()
	f.StringVar(&i.out, "out", "", "`folder` to make; its last part names the scenario (default: as the first file)")
	f.StringArrayVar(&i.dumps, "dump", nil, "`NAMESPACE/POD=FILE` with the config_dump of a live proxy to compare the replay with; FILE,FILE adds its answer to /clusters (repeatable)")
	f.StringSliceVar(&i.skip, "skip", nil, "`kinds` to leave out, as KIND or KIND.GROUP (comma-separated)")
	return cmd
}

func (i *importing) run(cmd *cobra.Command, args []string) error {
	begin := time.Now()
	collection := importer.New(importer.Options{Skip: i.skip})
	for _, name := range args {
		if err := collection.AddFile(name); err != nil {
			return fmt.Errorf("cannot import %s: %w", name, err)
		}
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
	folder := filepath.Clean(cmp.Or(i.out, scenarioName(args[0])))
	target := importer.Target{
		Folder: folder, Title: "The mesh of " + filepath.Base(args[0]),
		Loader: scenarios.Loader{Render: assemble.Renderer()},
	}
	s, err := mesh.Write(target)
	if err != nil {
		return err
	}
	for _, note := range mesh.Notes {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", note)
	}
	summary := mesh.Summary()
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s, at most %d nodes\n", target.Scenario(), mesh, s.Plan().MostNodes)
	fmt.Fprintf(cmd.OutOrStdout(), "Read %d objects of %.1f MB in %.1f s.\n", summary.Objects, float64(summary.Bytes)/1e6, time.Since(begin).Seconds())
	return nil
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
		in, err := os.Open(a.file)
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

