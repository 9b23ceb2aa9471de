package e2e

import (
	"os"
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
)

// What looks for leftovers after every spec is shown some.
var _ = Describe("the search for leftovers", Label("leftovers"), func() {
	It("finds each kind of thing that a cluster has, and a guest's objects on it", func() {
		c := leaveUp(invoker, "--real", "1", "--nodes", "m6i.large=1")
		Expect(lab.Left()).To(BeEmpty(), "a cluster that is to stand was taken for something left")

		c.up.Trace.Look()
		c.up.Abandoned = true
		found := lab.Left()
		c.up.Abandoned = false
		want := []OmegaMatcher{
			ContainElement(HavePrefix("process ")), ContainElement(HavePrefix("namespace net:")),
			ContainElement(HavePrefix("folder " + filepath.Dir(c.kubeconfig))), ContainElement(HavePrefix("file " + c.kubeconfig)),
		}
		if invoker.Enforcer() == "cgroup" {
			want = append(want, ContainElement(HavePrefix("cgroup ")))
		}
		for _, kind := range want {
			Expect(found).To(kind)
		}

		guest := invoker.start(append([]string{"preflight", "one-pod"}, c.guests()...)...)
		c.must("create", "configmap", "left", "-n", "default")
		Expect(InterceptGomegaFailure(func() { guest.Wait(time.Minute) })).To(MatchError(ContainSubstring("+ ConfigMap default/left")))
		c.must("delete", "configmap", "left", "-n", "default")
	})

	It("finds files in the home, and where a command was run", func() {
		before := invoker.start("list")
		stray := filepath.Join(invoker.Dir, "stray")
		Expect(os.WriteFile(stray, nil, 0o600)).To(Succeed())
		before.Wait(time.Minute)
		Expect(lab.Left()).To(ContainElement(HavePrefix(stray + ", where meshbench list was run")))
		before.Forgive()
		Expect(os.Remove(stray)).To(Succeed())

		config := filepath.Join(invoker.Home, ".meshbench")
		Expect(os.MkdirAll(config, 0o700)).To(Succeed())
		Expect(lab.Left()).To(ContainElement("folder " + config))
		Expect(os.Remove(config)).To(Succeed())
	})
})
