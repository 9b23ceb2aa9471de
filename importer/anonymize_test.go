package importer

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/importer/alias"
	"github.com/meshbench/meshbench/manifests"
	"github.com/meshbench/meshbench/scenarios"
)

// everyName is a mesh in which every name stands in every place that has one.
const everyName = `
apiVersion: v1
kind: Namespace
metadata: {name: zweibrot, labels: {istio-injection: enabled, acmecorp.com/quarter: hafen, cleartext: Hafen}, annotations: {networking.istio.io/exportTo: "zweibrot,backhaus"}}
---
apiVersion: v1
kind: Namespace
metadata: {name: backhaus, labels: {istio.io/rev: canary}}
---
apiVersion: v1
kind: Node
metadata: {name: knecht-7.acmecorp.com, labels: {kubernetes.io/hostname: knecht-7}}
status: {capacity: {cpu: "4", memory: 16Gi}, allocatable: {pods: "110"}}
---
apiVersion: v1
kind: Service
metadata: {name: semmel, namespace: zweibrot, labels: {app: semmel}, annotations: {networking.istio.io/exportTo: "., backhaus", acmecorp.com/chef: gustav}}
spec: {clusterIP: 10.20.30.40, selector: {app: semmel}, ports: [{name: http-teig, port: 80, targetPort: teig}, {name: grpc-web-kruste, port: 81}, {name: rinde, port: 82}]}
---
apiVersion: v1
kind: Service
metadata: {name: fernruf, namespace: backhaus}
spec: {type: ExternalName, externalName: ofen.muehle.acmecorp.com, ports: [{name: tls-glut, port: 443}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: semmel-alt, namespace: zweibrot, labels: {app: semmel}}
spec:
  selector: {matchLabels: {app: semmel, sorte: roggen}}
  template:
    metadata: {labels: {app: semmel, sorte: roggen, version: v7}, annotations: {acmecorp.com/notiz: "gustav liebt hafen", proxy.istio.io/config: "proxyMetadata: {ORT: ofenstube}", traffic.sidecar.istio.io/includeInboundPorts: "80"}}
    spec: {serviceAccountName: gustavkonto, containers: [{name: knetmaschine, image: "reg.acmecorp.com/muehle/semmel@sha256:abcd", ports: [{name: teig, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Pod
metadata: {name: semmel-alt-77-xk1, namespace: zweibrot, labels: {app: semmel, sorte: roggen}, annotations: {istio.io/rev: default}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: semmel-alt-77, controller: true}]}
spec: {nodeName: knecht-7, containers: [{name: knetmaschine, image: x}, {name: istio-proxy, image: y}]}
status: {phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: brezel-0, namespace: backhaus, labels: {app: brezel}, ownerReferences: [{apiVersion: apps/v1, kind: StatefulSet, name: brezel, controller: true}]}
spec: {containers: [{name: laugenbad, image: "reg.acmecorp.com/lauge:2"}]}
status: {phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: brezel, namespace: backhaus}
spec: {serviceName: brezel, selector: {matchLabels: {app: brezel}}, template: {metadata: {labels: {app: brezel}}, spec: {containers: [{name: laugenbad, image: x}]}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: semmelweg.acmecorp.com, namespace: zweibrot}
spec:
  hosts: [semmel, semmel.zweibrot.svc.cluster.local, "*.muehle.acmecorp.com", brezel-0.brezel.backhaus.svc.cluster.local]
  gateways: [mesh, backhaus/stadttor]
  exportTo: [zweibrot]
  http:
  - name: hauptpfad
    match: [{uri: {regex: "/semmel/v[0-9]+/.*"}, headers: {x-kundschaft: {exact: stammgast}, cookie: {regex: "^(.*?;)?(sorte=roggen)(;.*)?$"}}, sourceLabels: {app: brezel}, sourceNamespace: backhaus}]
    rewrite: {authority: semmel.muehle.acmecorp.com, uri: /teigwaren}
    headers: {request: {set: {x-backstube: ofenstube}}}
    route: [{destination: {host: semmel.zweibrot.svc.cluster.local, subset: roggen}}]
    mirror: {host: semmel.zweibrot}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: semmelregel, namespace: zweibrot}
spec: {host: "*.zweibrot.svc.cluster.local", exportTo: ["*"], trafficPolicy: {loadBalancer: {consistentHash: {httpHeaderName: x-kundschaft}}, tls: {mode: MUTUAL, sni: ofen.acmecorp.com, subjectAltNames: ["spiffe://acmecorp.com/ns/backhaus/sa/gustavkonto"]}}, subsets: [{name: roggen, labels: {sorte: roggen}}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: backhaus}
spec: {egress: [{hosts: ["./*", "istio-system/*", "zweibrot/semmel.zweibrot.svc.cluster.local", "~/*"]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: muehlbach, namespace: backhaus}
spec: {hosts: [ofen.muehle.acmecorp.com], addresses: [172.31.7.7], ports: [{number: 443, name: tls-glut, protocol: TLS}], resolution: STATIC, location: MESH_EXTERNAL, endpoints: [{address: 172.31.9.9, labels: {sorte: roggen}}, {address: keller.acmecorp.com}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: stadttor, namespace: backhaus}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https-pforte, protocol: HTTPS}, hosts: ["zweibrot/semmel.acmecorp.com"], tls: {mode: SIMPLE, credentialName: torschluessel}}]}
---
apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: teigfilter, namespace: zweibrot}
spec:
  workloadSelector: {labels: {app: semmel}}
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: SIDECAR_INBOUND, listener: {filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}, cluster: {service: semmel.zweibrot.svc.cluster.local}}
    patch: {operation: INSERT_BEFORE, value: {name: envoy.filters.http.lua, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua, inline_code: "function envoy_on_request(h) h:logInfo('semmel') end"}}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nurbaecker, namespace: zweibrot}
spec: {selector: {matchLabels: {app: semmel}}, rules: [{from: [{source: {principals: ["cluster.local/ns/backhaus/sa/gustavkonto"], namespaces: [backhaus], ipBlocks: [192.0.2.9/32]}}], to: [{operation: {paths: ["/semmel/*"], hosts: ["semmel.acmecorp.com"]}}], when: [{key: "request.headers[x-kundschaft]", values: [stammgast]}]}]}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: ausweis, namespace: zweibrot}
spec: {jwtRules: [{issuer: "https://login.acmecorp.com/realms/muehle", jwksUri: "https://login.acmecorp.com/keys.json", audiences: [baeckerei]}]}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: zaehlwerk, namespace: zweibrot}
spec: {metrics: [{providers: [{name: prometheus}], overrides: [{match: {metric: REQUEST_COUNT}, tagOverrides: {sorte: {value: "request.headers['x-kundschaft']"}}}]}]}
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata: {name: hefe, namespace: zweibrot}
spec: {selector: {matchLabels: {app: semmel}}, url: "oci://reg.acmecorp.com/hefe:1", pluginConfig: {bottich: sauerteig}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: hofweg, namespace: zweibrot}
spec: {parentRefs: [{kind: Service, group: "", name: semmel, port: 80}], hostnames: [semmel.acmecorp.com], rules: [{backendRefs: [{name: semmel, port: 80}]}]}
`

// originals are the names in it.
func originals() []string {
	return strings.Fields(`zweibrot backhaus acmecorp quarter hafen Hafen cleartext knecht-7 semmel gustav teig kruste rinde fernruf ofen muehle glut semmel-alt sorte roggen
		notiz liebt ofenstube gustavkonto knetmaschine semmel-alt-77-xk1 brezel laugenbad lauge semmelweg stadttor hauptpfad kundschaft stammgast teigwaren backstube
		semmelregel muehlbach keller pforte torschluessel teigfilter nurbaecker ausweis login realms baeckerei zaehlwerk hefe bottich-x sauerteig hofweg meshnet ostnetz
		leitstelle torwart abcd 172.31.7.7 172.31.9.9 192.0.2.9`)
}

// No original name is in any file, and everything else is as it was.
func TestAnonymize(t *testing.T) {
	read := func() *Mesh {
		c := New(Options{})
		for _, text := range []string{everyName,
			istiod("", "reg.acmecorp.com/pilot:1.23.2", 1, "{name: CLUSTER_ID, value: leitstelle}"), istiod("canary", "reg.acmecorp.com/pilot:1.23.2", 1, ""),
			configMap("istio", "mesh", "trustDomain: acmecorp.com\nextensionProviders: [{name: torwart, envoyExtAuthzHttp: {service: torwart.backhaus.svc.cluster.local, port: 80}}]\ndiscoverySelectors: [{matchLabels: {acmecorp.com/quarter: hafen}}, {matchExpressions: [{key: istio.io/rev, operator: Exists}]}]\n"),
			configMap("istio-sidecar-injector", "values", `{"global":{"network":"ostnetz","meshID":"meshnet","proxy":{"resources":{"limits":{"memory":"2Gi"}}}}}`),
		} {
			if err := c.Add(manifests.Text(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.AddClusters("zweibrot", "semmel-alt-77-xk1", strings.NewReader("outbound|80||semmel.zweibrot.svc.cluster.local::10.0.0.1:80::health_flags::healthy\n")); err != nil {
			t.Fatal(err)
		}
		m, err := c.Mesh()
		if err != nil {
			t.Fatal(err)
		}
		m.Proxies = []Proxy{{Namespace: "zweibrot", Pod: "semmel-alt-77-xk1", Kind: "Deployment", Name: "semmel-alt", Counts: map[string]int{"cluster": 3}}}
		return m
	}
	plain := filesOf(t, read())
	m := read()
	m.Anonymize(alias.New([]byte("0123456789abcdef")))
	writtenTo(t, read())
	folder, _ := writtenTo(t, m)
	hidden := filesOf(t, m)
	for _, name := range originals() {
		word := regexp.MustCompile(`(?i)` + regexp.QuoteMeta(name))
		there := false
		for _, file := range slices.Sorted(maps.Keys(hidden)) {
			there = there || word.MatchString(plain[file])
			if at := word.FindStringIndex(hidden[file]); at != nil {
				t.Errorf("%s still has %s: %s", file, name, hidden[file][max(0, at[0]-40):min(len(hidden[file]), at[1]+20)])
			}
		}
		if !there && name != "knecht-7" && name != "bottich-x" { // of which nothing comes along
			t.Errorf("the source has no %s: this test would not see it", name)
		}
	}
	for file, text := range plain {
		if a, b := len(text), len(hidden[file]); a != b && strings.HasPrefix(file, "objects/") && file != "objects/config.yaml" {
			t.Errorf("%s has %d bytes, and had %d", file, b, a)
		}
		if a, b := strings.Count(text, "\n"), strings.Count(hidden[file], "\n"); a != b && strings.HasPrefix(file, "objects/") {
			t.Errorf("%s has %d lines, and had %d", file, b, a)
		}
	}
	for _, want := range []string{"istio-injection: enabled", "istio.io/rev: canary"} {
		if !strings.Contains(hidden["objects/namespaces.yaml"], want) {
			t.Errorf("no %s in\n%s", want, hidden["objects/namespaces.yaml"])
		}
	}
	s, err := scenarios.Loader{}.Open(filepath.Join(folder, "prod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if pods := s.Plan().MostPods; pods != 2 {
		t.Errorf("%d pods", pods)
	}
}

// A name that would still stand somewhere keeps everything from being written.
func TestLeak(t *testing.T) {
	m := meshOf(t, everyName)
	names := alias.New(nil)
	m.Anonymize(names)
	m.config[0]["spec"] = map[string]any{"note": "semmel"}
	_, err := m.files(Target{Folder: "prod"})
	if err == nil || !strings.Contains(err.Error(), "names would still stand in these places") || !strings.Contains(err.Error(), "objects/config.yaml:") {
		t.Errorf("%v", err)
	}
}
