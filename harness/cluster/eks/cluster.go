package eks

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eks/types"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/transport"

	"github.com/meshbench/meshbench/harness/cluster"
	"github.com/meshbench/meshbench/harness/cluster/eks/settings"
	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/kube/metricsserver"
	"github.com/meshbench/meshbench/observations"
)

// Cluster is a cluster on EKS with node groups of ours.
type Cluster struct {
	provider *provider
	plan     *plan
	run, dir string
	tags     map[string]string
	target   target
	nodesARN string // of the nodes' role
	begun    bool   // there may be something to delete

	config     *rest.Config
	client     *kube.Client
	kubeconfig string
	// namespaces are those of the cluster before anything was installed.
	namespaces []string
	// manifest says that metrics-server was installed by its manifest.
	manifest bool

	mu   sync.Mutex
	gone bool
}

var (
	_ cluster.Cluster      = (*Cluster)(nil)
	_ cluster.SlowToDelete = (*Cluster)(nil)
	_ cluster.NodeOwner    = (*Cluster)(nil)
)

// connect makes the clients for the API server, and the kubeconfig file.
func (c *Cluster) connect(ctx context.Context, described *types.Cluster) error {
	if described.CertificateAuthority == nil || described.Endpoint == nil {
		return errors.New("EKS does not say where the API server is")
	}
	authority, err := base64.StdEncoding.DecodeString(aws.ToString(described.CertificateAuthority.Data))
	if err != nil {
		return fmt.Errorf("decode the cluster's certificate authority: %w", err)
	}
	signed := tokens{c.provider.account, c.target.cluster}
	c.config = &rest.Config{
		Host:            aws.ToString(described.Endpoint),
		TLSClientConfig: rest.TLSClientConfig{CAData: authority},
		// Signed anew before they end, for requests of any client.
		WrapTransport: transport.TokenSourceWrapTransport(transport.NewCachedTokenSource(signed)),
	}
	if c.client, err = kube.New(c.config); err != nil {
		return err
	}
	if err := c.writeKubeconfig(signed, authority); err != nil {
		return err
	}
	return c.provider.until(ctx, metricsLimit, func(ctx context.Context) (bool, string, error) {
		found, err := c.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil { // the name of a new endpoint takes a while to be known
			return false, fmt.Sprintf("the API server (%v)", err), nil
		}
		for _, n := range found.Items {
			c.namespaces = append(c.namespaces, n.Name)
		}
		return true, "", nil
	})
}

// writeKubeconfig writes a kubeconfig file with a token that is good for 15 minutes.
func (c *Cluster) writeKubeconfig(signed tokens, authority []byte) error {
	token, err := signed.Token()
	if err != nil {
		return err
	}
	const name = "eks"
	file := api.NewConfig()
	file.Clusters[name] = &api.Cluster{Server: c.config.Host, CertificateAuthorityData: authority}
	file.AuthInfos[name] = &api.AuthInfo{Token: token.AccessToken}
	file.Contexts[name] = &api.Context{Cluster: name, AuthInfo: name}
	file.CurrentContext = name
	c.kubeconfig = filepath.Join(c.dir, "kubeconfig")
	if err := clientcmd.WriteToFile(*file, c.kubeconfig); err != nil {
		return fmt.Errorf("write the kubeconfig file: %w", err)
	}
	return nil
}

// RESTConfig implements cluster.Cluster. Its tokens are signed anew before they end.
func (c *Cluster) RESTConfig() *rest.Config { return rest.CopyConfig(c.config) }

// Kubeconfig implements cluster.Cluster. The token in the file ends after 15 minutes.
func (c *Cluster) Kubeconfig() string { return c.kubeconfig }

// DeleteLimit implements cluster.SlowToDelete.
func (c *Cluster) DeleteLimit() time.Duration { return deleteLimit }

// Owns implements cluster.NodeOwner: on a cluster that is there, nodes are somebody's.
func (c *Cluster) Owns(node *corev1.Node) bool { return node.Labels[runTag] == c.run }

// Delete implements cluster.Cluster: node groups, add-ons, cluster, roles. What cannot be
// deleted is named with the command that tries again.
func (c *Cluster) Delete(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone || !c.begun {
		return nil
	}
	var errs []error
	if c.manifest && !c.target.owned {
		errs = append(errs, metricsserver.Uninstall(ctx, c.client))
	}
	found, err := c.target.find(ctx)
	errs = append(errs, err, c.target.remove(ctx, found))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\nWhat is left may cost money: delete it with `meshbench down --cluster eks --region %s --run %s`", err, c.provider.account.Region, c.run)
	}
	c.gone = true
	if err := os.Remove(c.kubeconfig); c.kubeconfig != "" && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// published is what the published cluster held before the mesh, on its one node.
var published = []string{
	"Service default/kubernetes (ports: 1, endpoints: 2)",
	"Service kube-system/kube-dns (ports: 3, endpoints: 6)",
	"Service kube-system/metrics-server (ports: 1, endpoints: 1)",
}

// Facts implements cluster.Cluster.
func (c *Cluster) Facts(ctx context.Context) (observations.Cluster, error) {
	server, err := c.client.Discovery().ServerVersion()
	if err != nil {
		return observations.Cluster{}, fmt.Errorf("ask for the cluster's version: %w", err)
	}
	held, err := kube.Holdings(ctx, c.client, c.namespaces)
	if err != nil {
		return observations.Cluster{}, err
	}
	facts := observations.Cluster{
		Provider: settings.Name, Kubernetes: server.GitVersion,
		MemorySource: "kubelet", LimitsEnforcedBy: "kubelet", RealPerDeployment: -1,
		Objects: held, Notes: c.plan.notes,
	}
	services := slices.DeleteFunc(slices.Clone(held), func(s string) bool { return len(s) < 8 || s[:8] != "Service " })
	if slices.Equal(services, published) {
		facts.Baseline, facts.Objects = observations.BaselineEKS, nil
	}
	if e := c.provider.account.Emulated; e != "" {
		facts.Simulated = append(facts.Simulated, "AWS: its API was answered by "+e+" (AWS_ENDPOINT_URL)")
	}
	if c.provider.settings.Spot {
		facts.Notes = append(slices.Clone(facts.Notes), "nodes are spot instances, which AWS may take away")
	}
	return facts, nil
}

// Costs implements cluster.Cluster: EKS shows nothing of its control plane, and the nodes
// run no part of this program.
func (c *Cluster) Costs(context.Context) (cluster.Costs, error) { return cluster.Costs{}, nil }
