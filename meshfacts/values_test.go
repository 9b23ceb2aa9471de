package meshfacts

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// problems are those of values in YAML, one on each line.
func problems(t *testing.T, istio, text string) string {
	t.Helper()
	var values map[string]any
	if err := yaml.Unmarshal([]byte(text), &values); err != nil {
		t.Fatal(err)
	}
	facts := Of(istio)
	if facts == nil {
		t.Fatalf("no facts of Istio %s", istio)
	}
	var lines []string
	for _, p := range facts.CheckValues(values) {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

const newest = "1.31.0-alpha.eed52ebb66ad"

// TestValues holds each refusal beside values that differ in a word and are read.
func TestValues(t *testing.T) {
	for _, test := range []struct {
		name, istio, bad, want, good string
	}{
		{"a misspelt field of defaultConfig", "1.23.2",
			`meshConfig: {defaultConfig: {proxyStatsMatchr: {inclusionRegexps: [".*"]}}}`,
			`meshConfig.defaultConfig.proxyStatsMatchr: unknown field of ProxyConfig in Istio 1.23.2, which ignores it; did you mean "proxyStatsMatcher"?`,
			`meshConfig: {defaultConfig: {proxyStatsMatcher: {inclusionRegexps: [".*"]}}}`},
		{"a misspelt field in a list", "1.23.2",
			`meshConfig: {extensionProviders: [{name: a, zipkin: {service: z, prot: 9411}}]}`,
			`meshConfig.extensionProviders[0].zipkin.prot: unknown field of MeshConfig.ExtensionProvider.ZipkinTracingProvider in Istio 1.23.2, which ignores it; did you mean "port"?`,
			`meshConfig: {extensionProviders: [{name: a, zipkin: {service: z, port: 9411}}]}`},
		{"a number for a duration", "1.23.2",
			`meshConfig: {defaultConfig: {drainDuration: 300}}`, `meshConfig.defaultConfig.drainDuration: want a duration like 45s, got the number 300`,
			`meshConfig: {defaultConfig: {drainDuration: 5m}}`}, // as Istio's decoder reads it
		{"a string for a truth", "1.23.2",
			`meshConfig: {enableTracing: "yes"}`, `meshConfig.enableTracing: want true or false, got the string "yes"`, `meshConfig: {enableTracing: true}`},
		{"an unknown value of an enumeration", "1.23.2",
			`meshConfig: {outboundTrafficPolicy: {mode: REGISTRY}}`, `meshConfig.outboundTrafficPolicy.mode: unknown value "REGISTRY"; known: REGISTRY_ONLY, ALLOW_ANY`,
			`meshConfig: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}`},
		{"a value of an enumeration of later", "1.27.0",
			`meshConfig: {outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS}}`, `unknown value "ALLOW_ANY_DYNAMIC_DNS"`,
			`meshConfig: {outboundTrafficPolicy: {mode: ALLOW_ANY}}`},
		{"a mapping for a list", "1.23.2",
			`meshConfig: {extensionProviders: {name: a}}`, `meshConfig.extensionProviders: want a list, got a mapping`, `meshConfig: {extensionProviders: []}`},
		{"a field of later", "1.23.2",
			`meshConfig: {serviceScopeConfigs: []}`, `meshConfig.serviceScopeConfigs: Istio 1.23.2 does not have this field of MeshConfig, which is newer`,
			`meshConfig: {serviceSettings: []}`},
		{"a misspelt value", "1.23.2", `pilot: {evn: {X: "y"}}`, `pilot.evn: no chart of Istio 1.23.2 reads this value; did you mean "env"?`, `pilot: {env: {X: "y"}}`},
		{"an env at the top", "1.23.2", `env: {X: "y"}`, `env: Istio's charts of 1.23.2 read this value below pilot only: write pilot.env`, `pilot: {env: {X: "y"}}`},
		{"an umbrella's prefix", "1.23.2", `istiod: {pilot: {env: {}}}`,
			`istiod: values are those of Istio's charts themselves, not of a chart around them: leave out istiod and write what is below it at the top`, `pilot: {env: {}}`},
		{"an umbrella's prefix of the base chart", "1.23.2", `base: {defaultRevision: default}`,
			`base.defaultRevision: values are those of the chart base itself: write defaultRevision at the top, without base`, `defaultRevision: default`},
		{"an umbrella's prefix where all is at the top", "1.27.0", `istiod: {env: {}}`, `leave out istiod`, `env: {}`},
		{"another chart's value", "1.23.2", `ztunnel: {resources: {}}`,
			`ztunnel: a value of Istio's chart ztunnel, which meshbench does not install: the charts base and istiod do not read it; leave it out`, `telemetry: {enabled: false}`},
		{"another chart's value by its key", "1.23.2", `podDisruptionBudget: {}`, `podDisruptionBudget: a value of Istio's chart gateway, which the charts base and istiod do not read: write it in the values of an action gateway`, `global: {defaultPodDisruptionBudget: {enabled: false}}`},
		{"a truth in quotes", "1.23.2", `pilot: {autoscaleEnabled: "false"}`,
			`pilot.autoscaleEnabled: want true or false, got the string "false"; Istio's charts take every string for true: write it without quotes`, `pilot: {autoscaleEnabled: false}`},
		{"a table for a text", "1.23.2", `global: {proxy: {image: {name: x}}}`, `global.proxy.image: want a string, got a mapping`, `global: {proxy: {image: x}}`},
		{"a text for a table", "1.23.2", `pilot: {env: X=y}`, `pilot.env: want a mapping, got the string "X=y"`, `pilot: {env: {X: "y"}}`},
		{"a text for a list", "1.23.2", `revisionTags: prod`, `revisionTags: want a list of names, got the string "prod"`, `revisionTags: [prod]`},
		{"a number as a revision", "1.23.2", `revision: 123`, `revision: want a string, got the number 123; quote it`, `revision: "123"`},
		{"a revision that is no name", "1.23.2", `revision: 1.23`, `revision: want a string, got the number 1.23`, `revision: 1-23`},
		{"a revision with dots", "1.23.2", `revision: "1.23.2"`, `revision: Kubernetes rejects "1.23.2" as a part of istiod's name`, `revision: "1-23-2"`},
		{"a revision below pilot", "1.27.0", `pilot: {revision: blue}`, `pilot.revision: write revision at the top, without pilot`, `revision: blue`},
		{"an unknown profile", "1.23.2", `profile: minimal`, `profile: the charts of Istio 1.23.2 bring no profile "minimal"; they bring demo, openshift, preview, stable`, `profile: demo`},
		{"ambient", "1.23.2", `profile: ambient`, `profile: profile ambient cannot be measured: ambient needs the charts cni and ztunnel`, `profile: preview`},
		{"a version to be compatible with", "1.23.2", `compatibilityVersion: "1.19"`, `compatibilityVersion: want one of 1.20, 1.21, 1.22, got the string "1.19"`, `compatibilityVersion: "1.22"`},
		{"one that is a number", "1.23.2", `compatibilityVersion: 1.22`, `; quote it`, `compatibilityVersion: "1.21"`},
		{"an unknown platform", newest, `global: {platform: eks}`, `global.platform: want one of gke, k3d`, `global: {platform: gke}`},
		{"istio_cni, which is gone", "1.24.0", `istio_cni: {chained: true}`, `istio_cni: no chart of Istio 1.24.0 reads this value`, `pilot: {cni: {enabled: true}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := problems(t, test.istio, test.bad); !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if got := problems(t, test.istio, test.good); got != "" {
				t.Errorf("%s is refused: %s", test.good, got)
			}
		})
	}
}

// TestEnvAtTheTop: charts read a top-level env since 1.24.
func TestEnvAtTheTop(t *testing.T) {
	for _, istio := range Versions() {
		refused := problems(t, istio, `env: {A: b}`) != ""
		if old := compare(istio, "1.24.0") < 0; refused != old {
			t.Errorf("Istio %s: refused %t", istio, refused)
		}
	}
}

// TestEverydayValues are values that people have, which every version reads.
func TestEverydayValues(t *testing.T) {
	for _, istio := range Versions() {
		for _, text := range []string{
			`global: {proxy: {resources: {requests: {cpu: 10m, memory: 40Mi}}, logLevel: warning, autoInject: enabled}, logging: {level: "all:info"}, tag: 1.2.3, hub: x, meshID: m, network: n, multiCluster: {clusterName: c}}`,
			`pilot: {resources: {requests: {cpu: 1}}, env: {A: true, B: 1, C: x}, traceSampling: 1.5, replicaCount: 2, autoscaleMin: 2, podAnnotations: {a: b}, cni: {enabled: false}, nodeSelector: {a: b}, tolerations: [{key: a}]}`,
			`meshConfig: {accessLogFile: /dev/stdout, enableAutoMtls: true, trustDomain: x, discoverySelectors: [{matchLabels: {a: b}}], defaultConfig: {concurrency: 2, proxyMetadata: {ISTIO_DELTA_XDS: false, N: 3}, holdApplicationUntilProxyStarts: true, terminationDrainDuration: 10s, tracing: {sampling: 1}}, outboundTrafficPolicy: {mode: 1}, localityLbSetting: {enabled: true}, path_normalization: {normalization: BASE}}`,
			`sidecarInjectorWebhook: {enableNamespacesByDefault: true, rewriteAppHTTPProbe: false, neverInjectSelector: [{matchLabels: {a: b}}], templates: {own: "spec: {}"}}`,
			`telemetry: {enabled: false, v2: {enabled: false}}`,
			`defaultRevision: ""`,
			`pilot: null`,
		} {
			if got := problems(t, istio, text); got != "" {
				t.Errorf("Istio %s refuses %s:\n%s", istio, text, got)
			}
		}
	}
}

func TestProxyConfig(t *testing.T) {
	facts := Of("1.23.2")
	for text, want := range map[string]string{
		`{concurrency: 2, proxyStatsMatcher: {inclusionPrefixes: [a]}}`: "",
		`{concurrenci: 2}`:                       `concurrenci: unknown field of ProxyConfig`,
		`{concurrency: two}`:                     `concurrency: want a whole number, got the string "two"`,
		`{proxyMetadata: {A: true}}`:             `proxyMetadata: want a mapping of strings`,
		`{proxyMetadata: {A: "true"}}`:           "",
		`[a]`:                                    `want a mapping, got a list`,
		`{readinessProbe: {httpGet: {prt: 80}}}`: `readinessProbe.httpGet.prt: unknown field`,
	} {
		var config any
		if err := yaml.Unmarshal([]byte(text), &config); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range facts.ProxyConfig(config) {
			got += p.String()
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

func TestDualStack(t *testing.T) {
	for text, want := range map[string]string{
		`pilot: {env: {ISTIO_DUAL_STACK: "true"}}`:                               "pilot.env.ISTIO_DUAL_STACK: asks for dual-stack; this cluster has IPv4 alone",
		`pilot: {env: {ISTIO_DUAL_STACK: "false"}}`:                              "",
		`pilot: {ipFamilyPolicy: RequireDualStack}`:                              "pilot.ipFamilyPolicy: asks for",
		`pilot: {ipFamilyPolicy: PreferDualStack}`:                               "",
		`pilot: {ipFamilies: [IPv4, IPv6]}`:                                      "pilot.ipFamilies: asks for IPv6",
		`pilot: {ipFamilies: [IPv4]}`:                                            "",
		`meshConfig: {defaultConfig: {proxyMetadata: {ISTIO_DUAL_STACK: true}}}`: "meshConfig.defaultConfig.proxyMetadata.ISTIO_DUAL_STACK",
	} {
		var values map[string]any
		if err := yaml.Unmarshal([]byte(text), &values); err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, p := range DualStack(values) {
			got += p.String()
		}
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// TestNear: versions that nobody pinned are taken for the one before them.
func TestNear(t *testing.T) {
	for istio, want := range map[string]string{"1.23.2": "1.23.2", "1.23.9": "1.23.2", "1.25.1": "1.24.0", "1.9.0": "1.22.3", "1.99.0": newest, "1.27.0-rc.1": "1.27.0"} {
		if got := Near(istio).Istio; got != want {
			t.Errorf("%s: %s, want %s", istio, got, want)
		}
	}
}

// FuzzValues: whatever is given, the check ends.
func FuzzValues(f *testing.F) {
	f.Add(`pilot: {env: {A: b}}`)
	f.Add(`meshConfig: {defaultConfig: {drainDuration: 5m}, extensionProviders: [{name: a}]}`)
	f.Add(`{revision: 1, revisionTags: [{}], global: [], profile: {}}`)
	facts := Of("1.23.2")
	f.Fuzz(func(t *testing.T, text string) {
		var values map[string]any
		if yaml.Unmarshal([]byte(text), &values) != nil {
			return
		}
		for _, p := range facts.CheckValues(values) {
			if p.Message == "" || len(p.Path) == 0 {
				t.Errorf("a problem without a place or words: %+v", p)
			}
		}
		DualStack(values)
	})
}

// Values for the chart gateway are checked by its own keys.
func TestCheckGateway(t *testing.T) {
	for _, test := range []struct{ name, istio, values, want string }{
		{"what it reads", "1.23.2", `{service: {type: NodePort}, autoscaling: {enabled: true, targetMemoryUtilizationPercentage: 70}, podAnnotations: {a: b}, env: {X: "y"}}`, ""},
		{"newer", "1.27.0", `{minReadySeconds: 3, envVarFrom: []}`, ""},
		{"misspelt", "1.23.2", `{autoscalling: {enabled: false}}`, `autoscalling: the chart gateway of Istio 1.23.2 reads no such value; did you mean "autoscaling"?`},
		{"misspelt below", "1.23.2", `{service: {typ: NodePort}}`, `service.typ: no chart of Istio 1.23.2 reads this value; did you mean "type"?`},
		{"istiod's", "1.23.2", `{meshConfig: {}}`, `meshConfig: a value of Istio's chart istiod, which the chart gateway does not read: write it in mesh.values`},
		{"a text for a truth", "1.23.2", `{autoscaling: {enabled: "no"}}`, `autoscaling.enabled: want true or false, got the string "no"`},
		{"newer than the version", "1.23.2", `{minReadySeconds: 3}`, `minReadySeconds: the chart gateway of Istio 1.23.2 reads no such value`},
	} {
		t.Run(test.name, func(t *testing.T) {
			var values map[string]any
			if err := yaml.Unmarshal([]byte(test.values), &values); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range Of(test.istio).CheckGateway(values) {
				got = append(got, PathText(p.Path)+": "+p.Message)
			}
			text := strings.Join(got, "\n")
			if test.want == "" && text != "" || !strings.Contains(text, test.want) {
				t.Errorf("got %q, want %q", text, test.want)
			}
		})
	}
}
