package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/reports/advice"
	"github.com/meshbench/meshbench/reports/costmodel"
)

// advising are the flags of advise.
type advising struct {
	calls  callSources
	mesh   meshSource
	prices priceSource
	verify verifying
	by     string
	out    string
	html   string
	json   bool
	yaml   bool
}

// Names of the files that advise writes into a folder.
const (
	sidecarsFile = "sidecars.yaml"
	adviceFile   = "advice.json"
	advicePage   = "advice.html"
)

func adviseCommand() *cobra.Command {
	a := &advising{}
	cmd := &cobra.Command{
		Use:   "advise",
		Short: "Propose Sidecar resources, and say what they would save",
		Long: `Propose a Sidecar resource for each namespace, so that its proxies see only what they call,
and say what each saves by the cost model. Nothing is changed on any cluster unless --apply
is given.

Who calls whom is read from any of these, which are put together:

  --calls           a file in which it is declared, YAML or CSV
  --telemetry       Istio's metrics: an answer of Prometheus' API, or /stats/prometheus
  --prometheus-url  the same, asked of a Prometheus
  --access-log      access logs, in Istio's text format or as JSON, or in Envoy's own
  --clusters        what Envoys count by endpoint: answers to /clusters
  --run             the same of a run's witnesses
  --from            access logs and /clusters of the pods that run now (--kubeconfig)

Calls of which one side is not known are listed, and no scope has them. What is in the mesh is
read from exports (--mesh) or from the cluster of --kubeconfig, whose API server also checks the
proposed resources without writing them. What a scope saves is computed from configurations of
the mesh's proxies (--dump, --run).

--verify runs a scenario on the embedded cluster, applies what is proposed for it, and shows
what was predicted beside what was measured, whether every call still works, and whether access
logs and /clusters lead to the same scopes. An action graph of the scenario declares its calls.

  calls:
    - {from: shop, to: catalog/catalog}
    - from: shop/cart                  # NAMESPACE or NAMESPACE/WORKLOAD
      to: [payments/api, stock/*, api.example.com]
    - {from: stock, to: []}            # calls nobody

Exit codes: 0 scopes are proposed, 1 failure, 2 bad usage, 3 there are problems to look at
first (calls to what is not there, Sidecar resources that cut a call), or --verify has shown
that a call fails.`,
		Example: `  kubectl get namespaces,services,pods,virtualservices,serviceentries,sidecars,envoyfilters -A -o yaml > mesh.yaml
  kubectl get configmap istio -n istio-system -o yaml > config.yaml
  meshbench advise --calls calls.yaml --mesh mesh.yaml --mesh config.yaml
  meshbench advise --kubeconfig ~/.kube/config --context prod --from logs
  meshbench advise --mesh mesh.yaml --access-log shop/cart-6d4b75cb6d-hx8tz=cart.log --dump cart.json
  meshbench advise --prometheus-url http://127.0.0.1:9090 --context prod --run runs/measure-prod --out advice
  meshbench advise --verify ./my-mesh.yaml --calls calls.yaml --real 2`,
		Args: cobra.NoArgs,
		RunE: a.run,
	}
	f := cmd.Flags()
	a.calls.flags(f)
	a.mesh.flags(f)
	a.prices.flags(f)
	f.StringVar(&a.by, "by", advice.ByNamespace, "`what` a scope lets proxies see: namespace (all of a namespace of which something is called) or service (what is called alone)")
	f.StringVar(&a.out, "out", "", "write "+sidecarsFile+", "+adviceFile+" and "+advicePage+" into this `folder`")
	f.StringVar(&a.html, "html", "", "write it as one self-contained page, with treemaps, to `FILE`")
	f.BoolVar(&a.json, "json", false, "print JSON, for programs")
	f.BoolVar(&a.yaml, "yaml", false, "print the resources alone, for kubectl apply -f -")
	a.verify.flags(f)
	return cmd
}

func (a *advising) run(cmd *cobra.Command, _ []string) error {
	if err := a.check(cmd); err != nil {
		return usage(cmd, err)
	}
	if a.verify.scenario != "" {
		return a.verified(cmd)
	}
	ctx := cmd.Context()
	model, err := a.prices.model.read()
	if err != nil {
		return err
	}
	live, err := a.mesh.open()
	if err != nil {
		return usage(cmd, err)
	}
	if live != nil {
		defer live.close()
	}
	mesh, err := a.mesh.read(ctx, live)
	if err != nil {
		return err
	}
	if err := a.askPods(cmd, live); err != nil {
		return err
	}
	graph, err := a.calls.read(ctx, mesh.Names(), live)
	if err != nil {
		return err
	}
	advised := advice.Advise(mesh, graph, advice.Options{By: a.by})
	dumps, err := a.prices.dumps(a.calls.runs)
	if err != nil {
		return err
	}
	advised.Price(model, dumps)
	if live != nil {
		if err := live.check(ctx, advised); err != nil {
			return err
		}
	}
	if err := a.write(cmd.OutOrStdout(), advised, model); err != nil {
		return err
	}
	if a.mesh.apply {
		if err := a.applyTo(cmd, live, advised); err != nil {
			return err
		}
	}
	if len(advised.Problems) > 0 {
		return &exit{code: exitMissed, err: fmt.Errorf("there are %d problems to look at first; see above", len(advised.Problems))}
	}
	return nil
}

// check says what is wrong with the flags.
func (a *advising) check(cmd *cobra.Command) error {
	switch {
	case a.by != advice.ByNamespace && a.by != advice.ByService:
		return fmt.Errorf("--by %s: give %s or %s", a.by, advice.ByNamespace, advice.ByService)
	case a.json && a.yaml:
		return errors.New("--json and --yaml both print: give one of them")
	case a.json && a.out != "":
		return fmt.Errorf("--json prints what --out writes as %s: give one of them", adviceFile)
	}
	if err := a.calls.check(a.verify.scenario != ""); err != nil {
		return err
	}
	if err := a.mesh.check(len(a.calls.from) > 0); err != nil {
		return err
	}
	return a.verify.check(cmd, a)
}

// askPods asks whether what pods count may be read, if it is to be.
func (a *advising) askPods(cmd *cobra.Command, live *liveMesh) error {
	if live == nil || a.mesh.yes || !slices.Contains(a.calls.from, fromClusters) {
		return nil
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "Each proxy on %s that is read will be asked for /clusters. Its Envoy grows by that until it is\nrestarted: by about four times the size of the answer (6 MiB for 1.5 MB were seen).\n", live.name)
	yes, err := confirm(cmd.Context(), cmd.ErrOrStderr(), "Go on?")
	switch {
	case errors.Is(err, errNobody):
		return usage(cmd, fmt.Errorf("%w, or read access logs alone with --from logs", err))
	case err != nil:
		return err
	case !yes:
		return &exit{code: exitFailure, err: errors.New("nothing was read: --from logs reads access logs alone")}
	}
	return nil
}

// write prints the advice and writes the files that are asked for.
func (a *advising) write(out io.Writer, advised *advice.Advice, model *costmodel.Model) error {
	var sidecars, page, encoded bytes.Buffer
	if err := advised.WriteYAML(&sidecars); err != nil {
		return err
	}
	if err := advised.WriteHTML(&page); err != nil {
		return err
	}
	encoder := json.NewEncoder(&encoded)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(advised); err != nil {
		return fmt.Errorf("cannot encode the advice: %w", err)
	}
	files := map[string][]byte{}
	if a.html != "" {
		files[a.html] = page.Bytes()
	}
	if a.out != "" {
		if err := os.MkdirAll(a.out, 0o755); err != nil {
			return fmt.Errorf("cannot make the folder for the advice: %w", err)
		}
		files[filepath.Join(a.out, sidecarsFile)] = sidecars.Bytes()
		files[filepath.Join(a.out, adviceFile)] = encoded.Bytes()
		files[filepath.Join(a.out, advicePage)] = page.Bytes()
	}
	for path, text := range files {
		if err := atomicfile.Write(path, text, 0o644); err != nil {
			return fmt.Errorf("cannot write the advice: %w", err)
		}
	}
	if a.json {
		_, err := out.Write(encoded.Bytes())
		return err
	}
	if a.yaml {
		_, err := out.Write(sidecars.Bytes())
		return err
	}
	if model.Calibration != nil {
		if err := printCalibration(out, model); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	if err := advised.Print(out); err != nil || a.out != "" || sidecars.Len() == 0 {
		return err
	}
	_, err := fmt.Fprintf(out, "\nThe resources\n\n%s", sidecars.String())
	return err
}
