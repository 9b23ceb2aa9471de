package scenarios_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/meshbench/meshbench/internal/redact"
	"github.com/meshbench/meshbench/scenarios"
)

// TestHide: of a run's scenario nothing secret stays, everything else does, and what is left is
// refused as a scenario where something is missing.
func TestHide(t *testing.T) {
	g := NewWithT(t)
	dir := t.TempDir()
	secret := `apiVersion: v1
kind: Secret
metadata:
  name: tls
  annotations:
    kubectl.kubernetes.io/last-applied-configuration: '{"kind":"Secret","data":{"a":"TWFya2Vy"}}'
data:
  tls.key: TWFya2Vy
stringData:
  number: 12345678
`
	list := `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {"a": "TWFya2Vy"}}]}`
	pod := `apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data:
  password: Marker0001
  ratio: "1.50"
  # api_key: Marker0002
  plain: stays
`
	scenario := "name: x\nsteps:\n  - name: one\n    actions:\n      - apply:\n          manifest: |\n" +
		indent(secret+"---\n"+pod) + "      - apply:\n          manifest: '" + list + "'\n"
	path := filepath.Join(dir, "scenario.yaml")
	long := filepath.Join(dir, "manifests", "abc.yaml")
	g.Expect(os.Mkdir(filepath.Dir(long), 0o700)).To(Succeed())
	g.Expect(os.WriteFile(path, []byte(scenario), 0o600)).To(Succeed())
	g.Expect(os.WriteFile(long, []byte(secret), 0o600)).To(Succeed())
	other := filepath.Join(dir, "manifests", "other.yaml")
	g.Expect(os.WriteFile(other, []byte("a:   1 # as it is\n"), 0o600)).To(Succeed())

	g.Expect(scenarios.Hide(path)).To(Succeed())
	for _, file := range []string{path, long} {
		text, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(text)).NotTo(MatchRegexp("TWFya2Vy|Marker|12345678"))
		g.Expect(string(text)).To(ContainSubstring("tls.key: "))
		info, err := os.Stat(file)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(info.Mode().Perm()).To(Equal(os.FileMode(0o600)))
	}
	text, err := os.ReadFile(path)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(text)).To(And(ContainSubstring(`ratio: "1.50"`), ContainSubstring("plain: stays"), ContainSubstring("name: settings")))
	same, err := os.ReadFile(other)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(same)).To(Equal("a:   1 # as it is\n"))
	g.Expect(filepath.Glob(filepath.Join(dir, "*", ".*"))).To(BeEmpty())

	_, err = scenarios.Load("scenario.yaml", text, nil)
	g.Expect(err).To(MatchError(ContainSubstring("a secret was taken out here")))
	g.Expect(string(text)).To(ContainSubstring(redact.Mark))
}

// TestHideBuiltIn: of the scenarios here nothing is taken out, so that they can be run again from
// any run's folder, and have the hash that they always had.
func TestHideBuiltIn(t *testing.T) {
	all, err := scenarios.Builtin()
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for _, s := range all {
		g := NewWithT(t)
		text, err := s.Render()
		g.Expect(err).NotTo(HaveOccurred())
		path := filepath.Join(t.TempDir(), "scenario.yaml")
		g.Expect(os.WriteFile(path, text, 0o600)).To(Succeed())
		g.Expect(scenarios.Hide(path)).To(Succeed())
		g.Expect(os.ReadFile(path)).To(Equal(text), s.Name)
	}
}

func indent(text string) string {
	return "            " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n            ") + "\n"
}
