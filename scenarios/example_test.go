package scenarios_test

import (
	"errors"
	"fmt"
	"testing/fstest"

	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/scenarios"
)

// All problems of a file come at once, each with its place.
func ExampleLoad() {
	data := []byte(`apiVersion: meshbench.dev/v1
name: web
title: Pods behind a Service
cluster:
  nodes: [{type: m6i.lage, count: 1}]
steps:
  - name: pods
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: web, image: nginx}
      - scale: {namespace: ns1, deployment: wb, replicas: 3}
`)
	_, err := scenarios.Load("web.yaml", data, nil)
	var problems scenarios.Problems
	if errors.As(err, &problems) {
		for _, p := range problems {
			fmt.Printf("line %d, %s:\n  %s\n", p.Line, p.Path, p.Message)
		}
	}
	// Output:
	// line 5, cluster.nodes[0].type:
	//   unknown instance type "m6i.lage": did you mean m6i.large, m6i.xlarge, m6a.large?
	// line 11, steps[0].actions[2].scale.deployment:
	//   no earlier step creates Deployment "wb" in namespace "ns1"; did you mean "web"?
}

// Files need not be on disk, and what they apply is read from the same place.
func ExampleLoader_Open() {
	files := fstest.MapFS{
		"web/scenario.yaml": {Data: []byte(`
name: web
title: Pods with a Sidecar resource
parameters:
  replicas: {value: 3}
cluster:
  nodes: [{type: m6i.large, count: 2}]
steps:
  - name: pods
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: web, image: nginx, replicas: "${replicas}"}
      - apply: {file: sidecar.yaml}
`)},
		"web/sidecar.yaml": {Data: []byte(`
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {namespace: ns1, name: default}
spec: {egress: [{hosts: [./*]}]}
`)},
	}
	loader := scenarios.Loader{Files: files, Set: map[string]string{"replicas": "20"}}
	s, err := loader.Open("web/scenario.yaml")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range s.Steps[0].Actions {
		fmt.Println(a.Change)
	}
	// Output:
	// create namespace ns1 with sidecar injection
	// create Deployment ns1/web (nginx) with 20 replicas
	// apply Sidecar ns1/default
}

// The plan is what a cluster must have room for, before anything is started.
func ExampleScenario_Plan() {
	s, err := scenarios.Open("eks-nginx", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	plan := s.Plan()
	fmt.Println("nodes at most:", plan.MostNodes)
	fmt.Println("pods at most:", plan.MostPods)
	fmt.Println("sidecars at most, 10 for each Deployment:", plan.Sidecars(10))
	fmt.Println("sidecars at most, all of them:", plan.Sidecars(-1))
	for _, d := range plan.Deployments {
		fmt.Printf("%s/%s: %d pods, with sidecars: %v\n", d.Namespace, d.Name, d.Replicas, d.Injected)
	}
	// Output:
	// nodes at most: 21
	// pods at most: 200
	// sidecars at most, 10 for each Deployment: 20
	// sidecars at most, all of them: 200
	// ns1/test: 100 pods, with sidecars: true
	// ns2/test: 100 pods, with sidecars: true
}

// A mesh with other rules than Istio's: only pods labelled proxy=sidecar get a sidecar.
func ExampleMeshRules() {
	data := []byte(`
name: two-kinds
title: Pods with sidecars beside pods with none
cluster:
  nodes: [{type: m6i.large, count: 2}]
steps:
  - name: pods
    actions:
      - namespace: {name: ns1, injection: true}
      - deployment: {namespace: ns1, name: a, image: nginx, replicas: 3, labels: {proxy: sidecar}}
      - deployment: {namespace: ns1, name: b, image: nginx, replicas: 4}
`)
	loader := scenarios.Loader{Mesh: scenarios.MeshRules{
		Injects: func(p scenarios.NewPod) meshfacts.Injection {
			if p.Labels["proxy"] == "sidecar" {
				return meshfacts.Injection{Proxy: true}
			}
			return meshfacts.Injection{Why: "its pods do not have the label proxy: sidecar"}
		},
	}}
	s, err := loader.Load("two-kinds.yaml", data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("sidecars:", s.Plan().Sidecars(-1))
	s, err = scenarios.Load("two-kinds.yaml", data, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("by Istio's rules:", s.Plan().Sidecars(-1))
	// Output:
	// sidecars: 3
	// by Istio's rules: 7
}
