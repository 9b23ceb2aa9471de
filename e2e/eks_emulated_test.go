package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/harness/cluster/eks/ekstest"
	"github.com/meshbench/meshbench/harness/cluster/embedded"
	"github.com/meshbench/meshbench/harness/components"
	"github.com/meshbench/meshbench/harness/mesh"
	"github.com/meshbench/meshbench/internal/skip"
)

// The whole experiment through the provider of EKS: AWS is emulated, and behind the endpoint
// that it hands out is an embedded cluster, whose nodes the node groups become.
var _ = Describe("the EKS experiment on an emulated EKS", Ordered, Label("eks", nightly), func() {
	var run *command
	var cloud *ekstest.AWS
	var front *ekstest.Front
	keys := aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret"}
	BeforeAll(func(ctx SpecContext) {
		moto, err := ekstest.Start(ctx)
		if errors.Is(err, ekstest.ErrMissing) {
			skip.Missing(GinkgoT(), "%v", err)
		}
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(moto.Stop)
		binary := filepath.Join(made.Work, "meshbench-eks")
		out, err := exec.Command("go", "build", "-tags", "eks", "-o", binary, "../cmd/meshbench").CombinedOutput()
		Expect(err).NotTo(HaveOccurred(), string(out))

		behind := leaveUp(invoker, "--nodes", "m6i.32xlarge=1", "--real", "10")
		// Clusters are found by the folder of temporary files.
		temp := os.Getenv("TMPDIR")
		Expect(os.Setenv("TMPDIR", invoker.Temp)).To(Succeed())
		attached, err := embedded.Attach(behind.name)
		Expect(errors.Join(err, os.Setenv("TMPDIR", temp))).NotTo(HaveOccurred())
		// It came with a mesh, and EKS comes without.
		store, err := components.New(components.Options{Istio: components.DefaultIstio})
		Expect(err).NotTo(HaveOccurred())
		charts, err := store.Obtain(ctx, nil, components.Charts)
		Expect(err).NotTo(HaveOccurred())
		installed, err := mesh.New(attached.RESTConfig(), mesh.Options{
			Version: components.DefaultIstio, Charts: mesh.ChartsFrom(charts.ChartsDir(), components.DefaultIstio, GinkgoT().TempDir()),
		})
		Expect(err).NotTo(HaveOccurred())
		_, err = installed.Uninstall(ctx)
		Expect(err).NotTo(HaveOccurred())

		front, err = ekstest.NewFront(attached.RESTConfig(), keys, attached.SetNodes)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(front.Close)
		cloud = ekstest.New(moto, front)
		DeferCleanup(cloud.Close)
		who := *invoker
		who.Env = append(slices.Clone(invoker.Env), "AWS_ENDPOINT_URL="+cloud.URL, "AWS_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true",
			"AWS_ACCESS_KEY_ID="+keys.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+keys.SecretAccessKey)
		plain := made.Binary
		made.Binary = binary
		DeferCleanup(func() { made.Binary = plain })
		// The Envoy behind is upstream's, which EKS knows nothing of.
		values, err := yaml.Marshal(mesh.UpstreamEnvoyValues().Values)
		Expect(err).NotTo(HaveOccurred())
		file := filepath.Join(who.Dir, "upstream-envoy.yaml")
		Expect(os.WriteFile(file, values, 0o600)).To(Succeed())
		run = who.startRun("eks-nginx", "--cluster", "eks", "--yes", "--mesh-values", file)
		run.Wait(30 * time.Minute)
		made.Binary = plain
		run.Exits(0)
	}, NodeTimeout(40*time.Minute))

	It("counts as was published, step by step", func() {
		found := run.report()
		Expect(found.Cluster).To(Equal("eks"))
		Expect(found.Steps).To(HaveLen(len(published)))
		for i, want := range published {
			s := found.Steps[i]
			if want.cluster == 0 {
				want.cluster, want.listener, want.route, want.endpoint = 18, 225, 11, 16 // a headless Service, as in step 5
			}
			Expect(s.Rows).To(Equal(rows{want.cluster - 1, want.listener - 1, want.route - 1, want.endpoint - 1}), "step %d, %s", i+1, s.Name)
			Expect(s.Settled).To(BeTrue(), s.Name)
			for _, e := range s.Expectations {
				Expect(e.OK).To(BeTrue(), "%s: %s", s.Name, e.What)
			}
		}
		Expect(run.Both.String()).To(ContainSubstring("34 of 34 published counts match"))
	})

	It("says that AWS was emulated, and what it would have cost", func() {
		said := run.Both.String()
		Expect(said).To(ContainSubstring("Each run of this command makes in what answers in AWS's place at " + cloud.URL))
		Expect(said).To(ContainSubstring("AWS: its API was answered by " + cloud.URL))
	})

	It("leaves nothing in the account, and was let in by its own tokens", func(ctx SpecContext) {
		Expect(front.Denied()).To(BeEmpty())
		left, err := cloud.Left(ctx)
		Expect(err).NotTo(HaveOccurred())
		Expect(left).To(BeEmpty())
	})
})
