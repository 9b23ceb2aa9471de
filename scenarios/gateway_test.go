package scenarios

import (
	"strings"
	"testing"

	"github.com/onsi/gomega"
)

const edgeGateway = `{apply: {manifest: '{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {namespace: ns1, name: g},
  spec: {selector: {istio: edge}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}, {port: {number: 443, name: tls, protocol: TLS}, hosts: ["*"]}]}}'}}`

// gatewayOf is the first action gateway of a scenario, and the last manifest.
func gatewayOf(t *testing.T, actions string) (*Scenario, *Gateway, *Apply) {
	t.Helper()
	s, err := Load("test.yaml", frame("", actions), nil)
	gomega.NewWithT(t).Expect(err).NotTo(gomega.HaveOccurred())
	var g *Gateway
	var a *Apply
	for _, step := range s.Steps {
		for _, action := range step.Actions {
			switch c := action.Change.(type) {
			case *Gateway:
				g = c
			case *Apply:
				a = c
			}
		}
	}
	return s, g, a
}

// What the chart is given is repeatable unless the scenario says otherwise, and what was
// overridden is said.
func TestGatewayValues(t *testing.T) {
	for name, test := range map[string]struct {
		fields string
		want   map[string]any
		says   string
	}{
		"by default": {``, map[string]any{"autoscaling": map[string]any{"enabled": false}, "service": map[string]any{"type": "ClusterIP"}, "replicaCount": 1},
			"autoscaling is off, not the chart's 1 to 5 replicas; the Service is of type ClusterIP, not the chart's LoadBalancer"},
		"as the scenario says": {`, replicas: 3, values: {autoscaling: {enabled: true}, service: {type: NodePort}}`,
			map[string]any{"autoscaling": map[string]any{"enabled": true}, "service": map[string]any{"type": "NodePort"}, "replicaCount": 3}, ""},
		"with ports": {`, ports: [{name: http, port: 80, targetPort: 8080}]`,
			map[string]any{"autoscaling": map[string]any{"enabled": false}, "replicaCount": 1, "service": map[string]any{"type": "ClusterIP", "ports": []any{
				map[string]any{"name": "status-port", "port": 15021, "targetPort": 15021, "protocol": "TCP"},
				map[string]any{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
			}}}, "autoscaling is off, not the chart's 1 to 5 replicas; the Service is of type ClusterIP, not the chart's LoadBalancer"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			_, gateway, _ := gatewayOf(t, `{gateway: {namespace: ns1, name: edge`+test.fields+`}}, `+edgeGateway)
			g.Expect(gateway.ChartValues()).To(gomega.Equal(test.want))
			g.Expect(gateway.Overridden()).To(gomega.Equal(test.says))
			version, revision := gateway.Istio()
			g.Expect([]string{version, revision}).To(gomega.Equal([]string{DefaultIstio, ""}))
		})
	}
}

// Whichever is first, the gateway or its Gateway, the last one waits for the listener.
func TestGatewayListens(t *testing.T) {
	g := gomega.NewWithT(t)
	_, gateway, apply := gatewayOf(t, `{gateway: {namespace: ns1, name: edge, ports: [{name: http, port: 80, targetPort: 8080}]}}, `+edgeGateway)
	g.Expect(gateway.Listening()).To(gomega.BeEmpty())
	g.Expect(apply.Listening()).To(gomega.Equal([]GatewayPods{{Namespace: "ns1", Kind: "Deployment", Workload: "edge", Ports: []int{8080}}}), "TLS has no listener without a route")
	_, gateway, apply = gatewayOf(t, edgeGateway+`, {gateway: {namespace: ns1, name: istio-edge, labels: {tier: front}}}`)
	g.Expect(gateway.Listening()).To(gomega.Equal([]int{80}))
	g.Expect(apply.Listening()).To(gomega.BeEmpty())
	_, gateway, _ = gatewayOf(t, `{gateway: {namespace: ns1, name: edge, gatewayAPI: true, ports: [{name: a, port: 8080}, {name: b, port: 80}]}}`)
	g.Expect(gateway.Listening()).To(gomega.Equal([]int{80, 8080}))
}

// Gateways count as real proxies, of their own kind, and bring what the mesh must have.
func TestGatewayPlan(t *testing.T) {
	g := gomega.NewWithT(t)
	s, _, _ := gatewayOf(t, `{gateway: {namespace: ns1, name: edge, replicas: 3}}, `+edgeGateway)
	plan := s.Plan()
	g.Expect(plan.Sidecars(0)).To(gomega.Equal(3), "gateways are all real")
	g.Expect(plan.MostPods).To(gomega.Equal(4))
	g.Expect(plan.GatewayChart).To(gomega.BeTrue())
	g.Expect(plan.GatewayAPI).To(gomega.BeFalse())
	g.Expect(s.Witnesses).To(gomega.Equal([]Witness{{Namespace: "ns1", Deployment: "test"}, {Namespace: "ns1", Deployment: "edge"}}))
	g.Expect(s.Warnings()).To(gomega.BeEmpty())

	s, _, _ = gatewayOf(t, `{gateway: {namespace: ns1, name: edge, replicas: 1}}, `+edgeGateway)
	g.Expect(s.Witnesses).To(gomega.HaveLen(1), "a dump would make the only one grow")

	s, _, _ = gatewayOf(t, `{gateway: {namespace: ns1, name: edge, gatewayAPI: true, replicas: 2}}, {scale: {namespace: ns1, deployment: edge-istio, replicas: 4}}`)
	plan = s.Plan()
	g.Expect(plan.Sidecars(0)).To(gomega.Equal(4))
	g.Expect(plan.GatewayChart).To(gomega.BeFalse())
	g.Expect(plan.GatewayAPI).To(gomega.BeTrue())

	s, _, apply := gatewayOf(t, `{apply: {manifest: '{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {namespace: ns1, name: web}, spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}}'}}`)
	g.Expect(s.Plan().Sidecars(0)).To(gomega.Equal(1))
	g.Expect(s.Plan().GatewayAPI).To(gomega.BeTrue())
	g.Expect(apply.Listening()).To(gomega.Equal([]GatewayPods{{Namespace: "ns1", Kind: "Deployment", Workload: "web-istio", Made: true, Ports: []int{80}}}))
}

// A Gateway that no pods listen for is told of.
func TestGatewayWithoutPods(t *testing.T) {
	g := gomega.NewWithT(t)
	s, _, _ := gatewayOf(t, edgeGateway)
	g.Expect(s.Warnings()).To(gomega.HaveLen(1))
	g.Expect(s.Warnings()[0].Message).To(gomega.ContainSubstring("Gateway ns1/g"))
	g.Expect(s.Warnings()[0].Message).To(gomega.ContainSubstring("no workload of the scenario has pods with istio=edge"))
	s, _, _ = gatewayOf(t, strings.Replace(edgeGateway, "edge", "edge, app: test", 1)+`, {deployment: {namespace: ns1, name: gw, image: auto, labels: {istio: edge, app: test2, sidecar.istio.io/inject: "true"}, annotations: {inject.istio.io/templates: gateway}}}`)
	g.Expect(s.Warnings()).To(gomega.HaveLen(1), "one label is another")
}
