package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/meshbench/meshbench/instances"
	"github.com/meshbench/meshbench/reports/costmodel"
)

// Port numbers of the Services that predict is asked about: the first of each kind of
// protocol, so that HTTP and detected ports do not meet.
var firstPort = map[costmodel.Protocol]int{costmodel.Detected: 80, costmodel.HTTP: 8080, costmodel.TCP: 9000}

// asked are the flags of predict.
type asked struct {
	models           modelFlags
	services         int
	pods             int
	ports            int
	protocol         string
	headless         int
	headlessPods     int
	headlessProtocol string
	proxies          int
	inbound          int
	machines         []string
	routing          askedRouting
	extrapolate      bool
	json             bool
}

func predictCommand() *cobra.Command {
	var a asked
	cmd := &cobra.Command{
		Use:   "predict",
		Short: "Predict the memory cost of a mesh",
		Long: `Predict what a mesh will cost, with a model that 'meshbench fit' made or the built-in one:
the objects in a sidecar's configuration by Istio's counting rules, the memory of one
sidecar, of all sidecars and of istiod (at rest, as all proxies connect, under churn of their
pods), and their share of a machine; then what to give a sidecar as request and limit. Routes,
subsets, ServiceEntries, policies and access logs are those that the sidecar sees or that apply
to it. A warning marks every prediction outside the measured range; beyond ten times of it
there is none, unless --extrapolate asks for it.

The built-in model is of upstream's Envoy. --calibrate takes a run, or a 'meshbench measure' of
your own mesh, fits where your proxy begins and by how much more or less an object costs it,
and says how far the shapes agree.`,
		Example: `  meshbench predict --services 400 --pods-per-service 3 --headless 10
  meshbench predict --services 60 --pods-per-service 5 --protocol http --machine m6i.large
  meshbench predict --services 200 --protocol http --virtual-services 200 --service-entries 50 --subsets 100
  meshbench predict --model model.json --headless 1 --pods-per-headless 100
  meshbench measure --witnesses 5 --out runs/mine && meshbench predict --calibrate runs/mine --services 400`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := a.question(cmd)
			if err != nil {
				return usage(cmd, err)
			}
			m, err := a.models.read()
			if err != nil {
				return err
			}
			answer, err := m.Predict(q)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			if a.json {
				e := json.NewEncoder(out)
				e.SetIndent("", "  ")
				return e.Encode(answer)
			}
			name := a.models.model
			if name == "" {
				name = "built in"
			}
			fmt.Fprintf(out, "Model: %s. Measured: %s\n", name, m.Provenance())
			if err := printCalibration(out, m); err != nil {
				return err
			}
			fmt.Fprintln(out)
			return answer.Print(out)
		},
	}
	f := cmd.Flags()
	a.models.flags(f)
	f.IntVar(&a.services, "services", 0, "`number` of Services with an address")
	f.IntVar(&a.pods, "pods-per-service", 1, "pods behind each (`number`)")
	f.IntVar(&a.ports, "ports-per-service", 1, "ports of each (`number`)")
	f.StringVar(&a.protocol, "protocol", string(costmodel.Detected), "how Istio takes their ports, by name or appProtocol: detected (unnamed), http (also grpc) or tcp")
	f.IntVar(&a.headless, "headless", 0, "`number` of headless Services, with one port each")
	f.IntVar(&a.headlessPods, "pods-per-headless", 0, "pods behind each (`number`; default as --pods-per-service)")
	f.StringVar(&a.headlessProtocol, "headless-protocol", string(costmodel.Detected), "how Istio takes their port")
	f.IntVar(&a.proxies, "proxies", 0, "`number` of sidecars (default: each of these pods has one)")
	f.IntVar(&a.inbound, "inbound-ports", 0, "ports that the sidecar's own pod serves (`number`; default: those of its Service)")
	f.StringSliceVar(&a.machines, "machine", []string{"m6i.large", "m6i.xlarge", "m6i.2xlarge", "m6i.4xlarge"}, "EC2 instance `types` to compare with (comma-separated)")
	a.routing.flags(f)
	f.BoolVar(&a.extrapolate, "extrapolate", false, fmt.Sprintf("predict meshes of more than %d times what was measured, too", costmodel.ExtrapolationLimit))
	f.BoolVar(&a.json, "json", false, "print JSON")
	return cmd
}

// question is what the flags ask, or what is wrong with them.
func (a *asked) question(cmd *cobra.Command) (q costmodel.Question, err error) {
	flags := cmd.Flags()
	if !flags.Changed("pods-per-headless") {
		a.headlessPods = a.pods
	}
	if !flags.Changed("pods-per-subset") {
		a.routing.subsetPods = a.pods
	}
	// The sidecar's own pod is one of those behind the Services.
	own, inbound := a.protocol, a.ports
	if a.services == 0 {
		own, inbound = a.headlessProtocol, min(1, a.headless)
	}
	if !flags.Changed("inbound-ports") {
		a.inbound = inbound
	}
	if !flags.Changed("proxies") {
		a.proxies = a.services*a.pods + a.headless*a.headlessPods
	}
	var problems []error
	for _, n := range []struct {
		flag  string
		value int
		least int
	}{
		{"services", a.services, 0}, {"pods-per-service", a.pods, 0}, {"ports-per-service", a.ports, 1},
		{"headless", a.headless, 0}, {"pods-per-headless", a.headlessPods, 0}, {"proxies", a.proxies, 0}, {"inbound-ports", a.inbound, 0},
	} {
		if n.value < n.least {
			problems = append(problems, fmt.Errorf("--%s %d: give at least %d", n.flag, n.value, n.least))
		}
	}
	for _, p := range []struct{ flag, value string }{{"protocol", a.protocol}, {"headless-protocol", a.headlessProtocol}} {
		if !slices.Contains(costmodel.Protocols(), costmodel.Protocol(p.value)) {
			problems = append(problems, fmt.Errorf("--%s %s: known are %v", p.flag, p.value, costmodel.Protocols()))
		}
	}
	problems = append(problems, a.routing.problems(a)...)
	for _, name := range a.machines {
		t, err := instances.Lookup(name)
		if err != nil {
			problems = append(problems, fmt.Errorf("--machine: %w", err))
		}
		q.Machines = append(q.Machines, t)
	}
	if len(problems) > 0 {
		return q, errors.Join(problems...)
	}
	protocol, headless := costmodel.Protocol(a.protocol), costmodel.Protocol(a.headlessProtocol)
	q.Proxies, q.Extrapolate = a.proxies, a.extrapolate
	q.Pods = a.services*a.pods + a.headless*a.headlessPods + costmodel.SystemPods
	q.Services = a.services + a.headless + costmodel.SystemServices
	if a.services > 0 {
		q.Mesh.Services = append(q.Mesh.Services, costmodel.Services{Count: a.services, Pods: a.pods, Ports: ports(protocol, a.ports)})
	}
	if a.headless > 0 {
		q.Mesh.Services = append(q.Mesh.Services, costmodel.Services{Count: a.headless, Pods: a.headlessPods, Headless: true, Ports: ports(headless, 1)})
	}
	q.Mesh.Routing = a.routing.routing(a)
	q.Mesh.Own = ports(costmodel.Protocol(own), a.inbound)
	return q, nil
}

// ports are n ports of one protocol.
func ports(p costmodel.Protocol, n int) []costmodel.Port {
	var list []costmodel.Port
	for i := range n {
		list = append(list, costmodel.Port{Number: firstPort[p] + i, Protocol: p})
	}
	return list
}
