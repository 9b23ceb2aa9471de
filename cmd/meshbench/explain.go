package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/internal/atomicfile"
	"github.com/meshbench/meshbench/proxyconfig"
	"github.com/meshbench/meshbench/reports/explanation"
)

// explaining are the flags of explain.
type explaining struct {
	source    explainSource
	model     modelFlags
	scope     []string
	namespace string
	top       int
	json      bool
	html      string
	markdown  string
}

// noScope is the word for no scope.
const noScope = "none"

// defaultScope is what a Sidecar resource lets in that has nothing but the usual hosts.
var defaultScope = []string{"./*", "istio-system/*"}

func explainCommand() *cobra.Command {
	x := &explaining{}
	cmd := &cobra.Command{
		Use:   "explain [DUMP|RUN] [DUMP|RUN]",
		Short: "Explain what a sidecar's configuration is made of and what it costs",
		Long: `Explain what a sidecar's configuration is made of: rows and objects as istioctl counts
them, bytes of the dump, and memory by the cost model with 95 % intervals; by namespace, by
Service and by kind, the largest first. It also says what would be left under a Sidecar
resource with the hosts of --scope, and what a namespace or a Service costs that the sidecar
need not see. Two arguments are compared.

DUMP is a file with Envoy's answer to /config_dump. Ask for it with include_eds, or endpoints
are unknown, and give the answer to /clusters with --clusters, or rows of endpoints are:

  kubectl exec POD -c istio-proxy -- pilot-agent request GET 'config_dump?include_eds' > dump.json
  kubectl exec POD -c istio-proxy -- pilot-agent request GET clusters > clusters.txt

RUN is the folder of a run or of a measure, which keeps the dumps of its witnesses. --pod
reads the proxy of a pod that runs now.`,
		Example: `  meshbench explain dump.json --clusters clusters.txt
  meshbench explain dump.json --scope './*' --scope istio-system/* --scope shop/* --html mesh.html
  meshbench explain runs/eks-nginx-20261124-061500 --step services-9
  meshbench explain before.json after.json
  meshbench explain --pod shop/cart-6d4b75cb6d-hx8tz --context prod --calibrate runs/measure-prod`,
		Args: cobra.MaximumNArgs(2),
		RunE: x.run,
	}
	f := cmd.Flags()
	x.source.flags(f)
	x.model.flags(f)
	f.StringArrayVar(&x.scope, "scope", defaultScope, "`host` as in a Sidecar's egress that the scoped side sees, NAMESPACE/HOST (repeatable); none for no scope")
	f.StringVar(&x.namespace, "namespace", "", "the sidecar's own `namespace`, for ./HOST in --scope (default: as the dump says)")
	f.IntVar(&x.top, "top", 20, "`number` of rows in each table; 0 for all")
	f.BoolVar(&x.json, "json", false, "print JSON, for programs")
	f.StringVar(&x.html, "html", "", "write it as one self-contained page, with treemaps, to `FILE`")
	f.StringVar(&x.markdown, "markdown", "", "write it as Markdown to `FILE`; - prints it in place of the text")
	return cmd
}

func (x *explaining) run(cmd *cobra.Command, args []string) error {
	scope, err := x.check(cmd, args)
	if err != nil {
		return usage(cmd, err)
	}
	model, err := x.model.read()
	if err != nil {
		return err
	}
	subjects, err := x.source.read(cmd, args)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if x.source.compares(args) {
		if len(subjects) != 2 {
			return usage(cmd, errors.New("two configurations are compared: choose one of each run with --workload"))
		}
		d := explanation.Compare(subjects[0].Attribution, subjects[1].Attribution, model, [2]explanation.Options{subjects[0].Options, subjects[1].Options})
		return x.write(out, explained{
			json: d, text: d.Text, markdown: d.Markdown, html: d.HTML,
		})
	}
	var list []*explanation.Explanation
	for _, s := range subjects {
		s.Options.Namespace = x.namespace
		list = append(list, s.Explain(model, scope))
	}
	e := explained{
		json: list[0],
		text: each(list, (*explanation.Explanation).Text), markdown: each(list, (*explanation.Explanation).Markdown),
		html: func(w io.Writer) error { return explanation.HTML(w, "What a sidecar's configuration costs", list...) },
	}
	if len(list) > 1 {
		e.json = list
	}
	return x.write(out, e)
}

// check says what is wrong with the flags, and reads the scope.
func (x *explaining) check(cmd *cobra.Command, args []string) (proxyconfig.Egress, error) {
	if err := x.source.check(args); err != nil {
		return nil, err
	}
	switch {
	case x.top < 0:
		return nil, fmt.Errorf("--top %d: give a number of rows, or 0 for all", x.top)
	case x.json && x.markdown == "-":
		return nil, errors.New("--json and --markdown - both print: give one of them")
	case x.source.compares(args) && cmd.Flags().Changed("scope"):
		return nil, errors.New("--scope is of one configuration: two are compared as they are")
	}
	if len(x.scope) == 1 && x.scope[0] == noScope {
		return nil, nil
	}
	scope, err := proxyconfig.ParseEgress(x.scope)
	if err != nil {
		return nil, fmt.Errorf("--scope: %w", err)
	}
	return scope, nil
}

// explained is what is written, in every format.
type explained struct {
	json           any
	text, markdown func(w io.Writer, top int) error
	html           func(w io.Writer) error
}

// each prints explanations one after the other.
func each(list []*explanation.Explanation, print func(*explanation.Explanation, io.Writer, int) error) func(io.Writer, int) error {
	return func(w io.Writer, top int) error {
		for i, e := range list {
			if i > 0 {
				fmt.Fprint(w, "\n\n")
			}
			if err := print(e, w, top); err != nil {
				return err
			}
		}
		return nil
	}
}

// write prints it, and writes the files that are asked for.
func (x *explaining) write(out io.Writer, e explained) error {
	for _, file := range []struct {
		path  string
		write func(io.Writer) error
	}{{x.html, e.html}, {strings.TrimPrefix(x.markdown, "-"), func(w io.Writer) error { return e.markdown(w, 0) }}} {
		if file.path == "" {
			continue
		}
		var b bytes.Buffer
		if err := file.write(&b); err != nil {
			return fmt.Errorf("cannot make %s: %w", file.path, err)
		}
		if err := atomicfile.Write(file.path, b.Bytes(), 0o644); err != nil {
			return fmt.Errorf("cannot write the explanation: %w", err)
		}
	}
	switch {
	case x.json:
		encoder := json.NewEncoder(out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		return encoder.Encode(e.json)
	case x.markdown == "-":
		return e.markdown(out, x.top)
	}
	return e.text(out, x.top)
}
