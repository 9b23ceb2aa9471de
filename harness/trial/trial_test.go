package trial

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/meshbench/meshbench/callgraph"
	"github.com/meshbench/meshbench/scenarios"
)

const base = `apiVersion: meshbench.dev/v1
name: shop
title: a shop
cluster:
  nodes: [{type: m6i.4xlarge, count: 1}]
steps:
  - name: open
    actions:
      - namespace: {name: shop, injection: true}
      - namespace: {name: stock, injection: true}
      - deployment: {namespace: shop, name: cart, image: fortio/fortio, replicas: 2}
      - deployment: {namespace: stock, name: depot, image: fortio/fortio}
      - expose: {namespace: stock, deployment: depot, ports: [{name: http, port: 8080}]}
      - expose: {namespace: stock, deployment: depot, name: plain, ports: [{port: 8081}]}
      - apply:
          namespace: shop
          manifest: |
            {apiVersion: apps/v1, kind: Deployment, metadata: {name: web}, spec: {selector: {matchLabels: {app: web}}, template: {metadata: {labels: {app: web}}, spec: {containers: [{name: app, image: nginx, ports: [{containerPort: 80}]}]}}}}
            ---
            {apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{name: http-web, port: 80}]}}
            ---
            {apiVersion: v1, kind: Service, metadata: {name: nobody}, spec: {selector: {app: nobody}, ports: [{name: http, port: 80}]}}
  - name: more
    actions:
      - graph: {name: app, services: 3, dependencies: 1, image: fortio/fortio}
`

func open(path string) (*scenarios.Scenario, error) { return scenarios.Open(path, nil) }

func TestMake(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "shop.yaml")
	if err := os.WriteFile(path, []byte(base), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := open(path)
	if err != nil {
		t.Fatal(err)
	}
	declared, err := callgraph.Declared("calls.yaml", strings.NewReader(`calls:
- {from: shop/cart, to: [stock/depot, stock/plain, stock/gone, shop/nobody, shop/*, example.com]}
- {from: shop/web, to: stock/depot}
- {from: stock, to: shop/web}
`), callgraph.Names{})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o755); err != nil {
		t.Fatal(err)
	}
	trial, tried, err := Make(s, callgraph.Join(declared, Declared(s)), out, open)
	if err != nil {
		t.Fatal(err)
	}
	var asks, skipped, steps []string
	for _, a := range trial.Asks {
		asks = append(asks, a.From+" "+a.To)
	}
	for _, x := range trial.Skipped {
		skipped = append(skipped, x.Call.From.String()+" "+x.Call.To.String()+": "+x.Why)
	}
	for _, x := range tried.Steps {
		steps = append(steps, x.Name)
	}
	if diff := cmp.Diff([]string{
		"app-1/app-1 " + called(s, 0), "app-2/app-2 " + called(s, 1), "app-3/app-3 " + called(s, 2),
		"shop/cart depot.stock:8080", "stock/depot web.shop:80",
	}, asks); diff != "" {
		t.Error(diff)
	}
	// The checker of scenarios knows, of a Service without pods, that nobody answers.
	if len(skipped) != 6 || !strings.Contains(strings.Join(skipped, "\n"), "shop/cart shop/nobody: ") ||
		!strings.Contains(strings.Join(skipped, "\n"), "shop/web stock/depot: shop/web has no workload with the image fortio/fortio") ||
		!strings.Contains(strings.Join(skipped, "\n"), "shop/cart stock/plain: Service stock/plain has no port that is named for HTTP") {
		t.Errorf("skipped:\n%s", strings.Join(skipped, "\n"))
	}
	if diff := cmp.Diff([]string{"open", "more", StepAsked, StepScoped, StepScopedAsk, StepRestarted, StepAskedAgain}, steps); diff != "" {
		t.Error(diff)
	}
	restarted := tried.Steps[5]
	var restarts []string
	for _, a := range restarted.Actions {
		restarts = append(restarts, a.Change.String())
	}
	if len(restarts) != 4 || !strings.Contains(restarts[3], "graph app") {
		t.Errorf("restarts %q", restarts)
	}
	if config, _ := tried.Mesh.Values["meshConfig"].(map[string]any); config["accessLogFile"] != "/dev/stdout" {
		t.Errorf("values %v", tried.Mesh.Values)
	}
	if trial.Before != "more" || len(trial.Made().Calls) != 5 {
		t.Errorf("%+v", trial)
	}

	clash := strings.Replace(base, "name: more", "name: scoped", 1)
	if err := os.WriteFile(path, []byte(clash), 0o644); err != nil {
		t.Fatal(err)
	}
	if s, err = open(path); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Make(s, declared, out, open); err == nil || !strings.Contains(err.Error(), "it has a step scoped of its own") {
		t.Errorf("a step of the same name: %v", err)
	}
}

// called is what the first dependency of a graph's Service is asked by.
func called(s *scenarios.Scenario, service int) string {
	g := s.Steps[1].Actions[0].Change.(*scenarios.Graph)
	name := g.ServiceName(g.Calls(service)[0])
	return name + "." + name + ":8080"
}
