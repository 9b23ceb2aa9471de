package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/meshbench/meshbench/e2e/program"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/scenarios"
)

// injectionCase is one pod in one namespace.
type injectionCase struct {
	namespace, labels, annotations map[string]string
	host                           bool
}

// injectionCases are the combinations of what decides. The mesh has revision blue with the
// tags prod and default.
func injectionCases() []injectionCase {
	const inject, rev, injection = "sidecar.istio.io/inject", "istio.io/rev", "istio-injection"
	namespaces := []map[string]string{
		nil, {injection: "enabled"}, {injection: "disabled"}, {rev: "blue"}, {rev: "prod"}, {rev: "canary"},
		{injection: "enabled", rev: "canary"}, {injection: "disabled", rev: "blue"},
	}
	pods := []injectionCase{
		{}, {labels: map[string]string{inject: "true"}}, {labels: map[string]string{inject: "false"}}, {labels: map[string]string{rev: "prod"}},
		{labels: map[string]string{rev: "canary", inject: "true"}}, {annotations: map[string]string{inject: "false"}}, {host: true},
		{labels: map[string]string{inject: "true"}, annotations: map[string]string{inject: "false"}},
	}
	var all []injectionCase
	for _, n := range namespaces {
		for _, p := range pods {
			p.namespace = n
			all = append(all, p)
		}
	}
	// What the injector takes for yes and no differs between versions.
	for _, word := range []string{"yes", "True", "no", "", "maybe"} {
		all = append(all, injectionCase{namespace: namespaces[1], annotations: map[string]string{inject: word}},
			injectionCase{namespace: namespaces[1], labels: map[string]string{inject: word}})
	}
	// The value neverInjectSelector, and alwaysInjectSelector against an annotation.
	return append(all,
		injectionCase{namespace: namespaces[1], labels: map[string]string{"never": "yes"}},
		injectionCase{namespace: namespaces[1], labels: map[string]string{"never": "yes", inject: "true"}},
		injectionCase{namespace: namespaces[1], labels: map[string]string{"never": "yes"}, annotations: map[string]string{inject: "true"}},
	)
}

// pod is the case's pod.
func (c injectionCase) pod(namespace, name string) corev1.Pod {
	return corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace, Labels: c.labels, Annotations: c.annotations},
		Spec:       corev1.PodSpec{HostNetwork: c.host, Containers: []corev1.Container{{Name: "app", Image: "nginx"}}},
	}
}

var _ = Describe("injection", Label("injection"), func() {
	versions := components.IstioVersions()
	for _, istio := range []string{components.DefaultIstio, versions[len(versions)-1]} {
		It("is what the checker says it will be on Istio "+istio, Label(nightly), func() {
			settings := []string{"revision=blue", "revisionTags={prod,default}", "sidecarInjectorWebhook.neverInjectSelector[0].matchLabels.never=yes"}
			args := []string{"--istio", istio}
			for _, s := range settings {
				args = append(args, "--mesh-set", s)
			}
			c := leaveUp(invoker, args...)
			mesh := scenarios.Mesh{Istio: istio, Values: map[string]any{
				"revision": "blue", "revisionTags": []any{"prod", "default"},
				"sidecarInjectorWebhook": map[string]any{"neverInjectSelector": []any{map[string]any{"matchLabels": map[string]any{"never": "yes"}}}},
			}}

			cases := injectionCases()
			Expect(len(cases)).To(BeNumerically(">=", 60))
			names := map[string]string{} // of namespaces, by their labels
			var objects []any
			for _, one := range cases {
				key := fmt.Sprint(one.namespace)
				if names[key] != "" {
					continue
				}
				names[key] = fmt.Sprintf("n%d", len(names))
				objects = append(objects, corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
					ObjectMeta: metav1.ObjectMeta{Name: names[key], Labels: one.namespace}})
			}
			c.create(objects, false)
			var pods []any
			for i, one := range cases {
				pods = append(pods, one.pod(names[fmt.Sprint(one.namespace)], fmt.Sprintf("p%d", i)))
			}
			proxies := map[string]bool{}
			for _, p := range c.create(pods, true) {
				proxies[p.Name] = hasProxy(p)
			}
			Expect(proxies).To(HaveLen(len(cases)))
			yes := 0
			for i, one := range cases {
				want := scenarios.IstioInjects(scenarios.NewPod{
					Namespace: names[fmt.Sprint(one.namespace)], NamespaceLabels: one.namespace, Labels: one.labels, Annotations: one.annotations,
					HostNetwork: one.host, Meshes: []scenarios.Mesh{mesh},
				})
				Expect(proxies[fmt.Sprintf("p%d", i)]).To(Equal(want.Proxy), "%+v: the checker says %+v", one, want)
				if want.Proxy {
					yes++
				}
			}
			Expect(yes).To(And(BeNumerically(">", 10), BeNumerically("<", len(cases)-10)))

			By("making ten of them")
			var ten []any
			for i := 0; i < len(cases) && len(ten) < 10; i += 7 {
				ten = append(ten, pods[i])
			}
			for _, p := range c.create(ten, false) {
				Expect(hasProxy(p)).To(Equal(proxies[p.Name]), p.Name)
			}
			Eventually(func(g Gomega) {
				var list corev1.PodList
				g.Expect(json.Unmarshal([]byte(c.must("get", "pods", "-A", "-o", "json")), &list)).To(Succeed())
				running := 0
				for _, p := range list.Items {
					if strings.HasPrefix(p.Namespace, "n") && p.Status.Phase == corev1.PodRunning {
						running++
					}
				}
				g.Expect(running).To(Equal(10))
			}, 2*time.Minute, time.Second).Should(Succeed())
			c.down(invoker)
		})
	}
})

// hasProxy reports whether a pod has the sidecar's container.
func hasProxy(p corev1.Pod) bool {
	for _, list := range [][]corev1.Container{p.Spec.Containers, p.Spec.InitContainers} {
		for _, c := range list {
			if c.Name == "istio-proxy" {
				return true
			}
		}
	}
	return false
}

// create creates objects by one call of kubectl, as a server-side dry run if that is asked
// for, and returns those that are pods as the API server answers.
func (c *leftUp) create(objects []any, dryRun bool) []corev1.Pod {
	GinkgoHelper()
	file := writeJSON(map[string]any{"apiVersion": "v1", "kind": "List", "items": objects})
	args := []string{"create", "-f", file, "-o", "json"}
	if dryRun {
		args = append(args, "--dry-run=server")
	}
	var pods []corev1.Pod
	decoder := json.NewDecoder(strings.NewReader(c.must(args...)))
	for decoder.More() {
		var answer struct {
			corev1.Pod
			Items []corev1.Pod `json:"items"`
		}
		Expect(decoder.Decode(&answer)).To(Succeed())
		for _, p := range append(answer.Items, answer.Pod) {
			if p.Kind == "Pod" {
				pods = append(pods, p)
			}
		}
	}
	return pods
}

// writeJSON writes a value into a file of the spec's own.
func writeJSON(value any) string {
	GinkgoHelper()
	text, err := json.Marshal(value)
	Expect(err).NotTo(HaveOccurred())
	file, err := os.CreateTemp(GinkgoT().TempDir(), "*.json")
	Expect(err).NotTo(HaveOccurred())
	_, err = file.Write(text)
	Expect(err).NotTo(HaveOccurred())
	Expect(file.Close()).To(Succeed())
	return file.Name()
}

var _ = Describe("two revisions", Label("injection"), func() {
	// moved checks that both istiods were measured, and which proxies each has in the end.
	moved := func(flags ...string) {
		GinkgoHelper()
		scenario, err := filepath.Abs("testdata/canary.yaml")
		Expect(err).NotTo(HaveOccurred())
		run := invoker.startRun(scenario, flags...)
		run.Wait(10 * time.Minute)
		run.Exits(0)
		last := map[string]int{} // proxies by istiod's revision
		for _, r := range run.Records() {
			if r.Istiod != nil {
				for _, revision := range []string{"blue", "green"} {
					if strings.Contains(r.Istiod.Pod, "/istiod-"+revision+"-") {
						last[revision] = r.Istiod.Proxies
					}
				}
			}
		}
		Expect(last).To(Equal(map[string]int{"blue": 0, "green": 2}))
		run.LeavesNothing(program.Soon)
	}

	It("run side by side, and pods move from one to the other", func() { moved() })

	It("may be of two versions", Label(nightly), func() { moved("--set", "same=0") })
})
