// Package controlplane runs a real Kubernetes control plane as processes: etcd,
// kube-apiserver, kube-controller-manager and kube-scheduler, each the upstream
// program. It must run in a network namespace of its own: it takes port 443 on every
// address and etcd answers anybody on the loopback.
//
// A process that dies is not started again. What istiod and the sidecars did while the
// API server was away (relisting, reconnecting, pushing again) would be in every figure
// read afterwards, so the control plane reports the death, with the last lines of the
// process's log, and its owner gives the cluster up.
package controlplane

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/meshbench/meshbench/harness/cluster/embedded/pulse"
	"github.com/meshbench/meshbench/observations"
)

// Config says what to run and where.
type Config struct {
	// Paths of the four programs.
	Etcd, APIServer, ControllerManager, Scheduler string
	// Dir is an existing folder for etcd's data and all keys. The owner removes it.
	Dir string
	// Logs is an existing folder; each process writes NAME.log there.
	Logs string
	// Addresses are where the API server is reached inside the sandbox, on port 443;
	// the first is the one it advertises. The loopback is always among the names in its
	// certificate.
	Addresses []net.IP
	// ServiceCIDR is the range of service addresses.
	ServiceCIDR string
	// Domain ends the names of Services, one of which is in the API server's certificate.
	Domain string
	// NodeGrace is how long a node may be silent; 40 s when zero.
	NodeGrace time.Duration
}

// readyTimeout is generous, for a machine whose cores are all busy. A process that
// dies is noticed at once.
const readyTimeout = 2 * time.Minute

// ControlPlane is a running control plane.
type ControlPlane struct {
	config Config
	keys   *pki
	// procs in the order in which they were started.
	procs   []*Process
	failed  chan error
	version string
}

// Start runs the control plane and returns once the API server is ready. Controller
// manager and scheduler are started then too, but may need some more moments; what
// they do is waited for where it matters. On error nothing is left running.
func Start(ctx context.Context, config Config) (_ *ControlPlane, err error) {
	keys, err := newPKI(config.Domain, append([]net.IP{net.IPv4(127, 0, 0, 1)}, config.Addresses...))
	if err != nil {
		return nil, fmt.Errorf("make keys of the control plane: %w", err)
	}
	if err := keys.write(config.Dir); err != nil {
		return nil, err
	}
	c := &ControlPlane{config: config, keys: keys, failed: make(chan error, 1)}
	defer func() {
		if err != nil {
			c.Stop()
		}
	}()
	client, err := kubernetes.NewForConfig(c.RESTConfig())
	if err != nil {
		return nil, fmt.Errorf("make client of the API server: %w", err)
	}

	ctx, cancel := context.WithTimeoutCause(ctx, readyTimeout, fmt.Errorf("not ready after %v", readyTimeout))
	defer cancel()
	// The API server waits for etcd itself, so that both can start at once.
	if err := c.start(c.etcd()); err != nil {
		return nil, err
	}
	apiserver := c.apiserver()
	apiserver.Ready = func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		return client.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	}
	if err := c.start(apiserver); err != nil {
		return nil, err
	}
	// A dead etcd shows itself as an API server that does not get ready; name the cause.
	ready := make(chan error, 1)
	go func() { ready <- apiserver.Wait(ctx) }()
	select {
	case err := <-ready:
		if err != nil {
			return nil, err
		}
	case err := <-c.failed:
		cancel()
		<-ready
		return nil, err
	}
	version, err := client.Discovery().ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("ask the API server's version: %w", err)
	}
	c.version = version.GitVersion
	for _, p := range []struct {
		name    string
		keys    pair
		process func(kubeconfig string) *Process
	}{
		{"kube-controller-manager", keys.manager, c.controllerManager},
		{"kube-scheduler", keys.scheduler, c.scheduler},
	} {
		kubeconfig := filepath.Join(config.Dir, p.name+".kubeconfig")
		if err := c.writeKubeconfig(kubeconfig, localServer, p.keys); err != nil {
			return nil, err
		}
		if err := c.start(p.process(kubeconfig)); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// start runs p and reports its death.
func (c *ControlPlane) start(p *Process) error {
	if err := p.Start(); err != nil {
		return err
	}
	c.procs = append(c.procs, p)
	go func() {
		<-p.Done()
		if err := p.Err(); err != nil {
			select {
			case c.failed <- err:
			default: // the first death is the cause of the others
			}
		}
	}()
	return nil
}

// Version is the API server's, v1.31.4.
func (c *ControlPlane) Version() string { return c.version }

// Failed yields once when a process of the control plane has died by itself.
func (c *ControlPlane) Failed() <-chan error { return c.failed }

// Stop kills all processes. Nothing of them is worth an orderly end.
func (c *ControlPlane) Stop() {
	for i := len(c.procs) - 1; i >= 0; i-- {
		c.procs[i].Stop()
	}
}

// Programs are those of the control plane, to be asked whether they live: what others depend on
// comes first.
func (c *ControlPlane) Programs() ([]pulse.Program, error) {
	api, err := rest.HTTPClientFor(c.RESTConfig())
	if err != nil {
		return nil, fmt.Errorf("make client of the API server: %w", err)
	}
	// Controller manager and scheduler make their certificates themselves, and answer this
	// question to anybody on the loopback.
	unknown := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	ask := map[string]func(context.Context) error{
		"etcd":                    pulse.HTTP(http.DefaultClient, etcdURL+"/health"),
		"kube-apiserver":          pulse.HTTP(api, localServer+"/livez"),
		"kube-controller-manager": pulse.HTTP(unknown, "https://127.0.0.1:10257/healthz"),
		"kube-scheduler":          pulse.HTTP(unknown, "https://127.0.0.1:10259/healthz"),
	}
	var programs []pulse.Program
	for _, p := range c.procs {
		programs = append(programs, pulse.Program{Name: p.Name, Ask: ask[p.Name], Log: p.Log})
	}
	return programs, nil
}

// Costs are those of the processes so far, by program.
func (c *ControlPlane) Costs() (map[string]observations.Cost, error) {
	costs := map[string]observations.Cost{}
	var errs []error
	for _, p := range c.procs {
		cost, err := p.Cost()
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", p.Name, err))
		}
		costs[p.Name] = cost
	}
	return costs, errors.Join(errs...)
}

// localServer is the API server's address for processes beside it.
const localServer = "https://127.0.0.1:443"

// RESTConfig is an administrator's, for use beside the API server.
func (c *ControlPlane) RESTConfig() *rest.Config {
	key, err := c.keys.admin.keyPEM()
	if err != nil {
		panic(err) // a key made by this package is always encodable
	}
	return &rest.Config{
		Host: localServer,
		TLSClientConfig: rest.TLSClientConfig{
			CAData:   c.keys.ca.certPEM(),
			CertData: c.keys.admin.certPEM(),
			KeyData:  key,
		},
		// The API server's own fairness is limit enough; the client's default of 5
		// requests a second would make steps take minutes.
		QPS: -1,
	}
}

// KubeletTLS is the configuration for the servers of kubelets: certificates that the
// API server and metrics-server verify, made for each address as it is asked for.
func (c *ControlPlane) KubeletTLS() *tls.Config { return c.keys.kubeletTLS() }

// WriteKubeconfig writes an administrator's kubeconfig for server (https://host:port),
// with all keys inside, readable by the owner alone. It replaces file atomically.
func (c *ControlPlane) WriteKubeconfig(file, server string) error {
	return c.writeKubeconfig(file, server, c.keys.admin)
}

func (c *ControlPlane) writeKubeconfig(file, server string, user pair) error {
	key, err := user.keyPEM()
	if err != nil {
		return err
	}
	const name = "meshbench"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: c.keys.ca.certPEM()}
	config.AuthInfos[name] = &clientcmdapi.AuthInfo{ClientCertificateData: user.certPEM(), ClientKeyData: key}
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	config.CurrentContext = name
	text, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encode kubeconfig: %w", err)
	}
	if err := os.WriteFile(file+".tmp", text, 0o600); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	if err := os.Rename(file+".tmp", file); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

func (c *ControlPlane) process(name, path string, args ...string) *Process {
	return &Process{Name: name, Path: path, Args: args, Log: filepath.Join(c.config.Logs, name+".log")}
}

func (c *ControlPlane) file(name string) string { return filepath.Join(c.config.Dir, name) }

const etcdURL = "http://127.0.0.1:2379"

func (c *ControlPlane) etcd() *Process {
	return c.process("etcd", c.config.Etcd,
		"--name=meshbench",
		"--data-dir="+c.file("etcd"),
		"--listen-client-urls="+etcdURL,
		"--advertise-client-urls="+etcdURL,
		"--listen-peer-urls=http://127.0.0.1:2380",
		"--initial-advertise-peer-urls=http://127.0.0.1:2380",
		"--initial-cluster=meshbench=http://127.0.0.1:2380",
		// The data live no longer than the cluster.
		"--unsafe-no-fsync",
		// etcd keeps this many entries of its log in memory: 100,000 by default.
		"--snapshot-count=5000",
		"--log-level=warn",
	)
}

func (c *ControlPlane) apiserver() *Process {
	return c.process("kube-apiserver", c.config.APIServer,
		"--etcd-servers="+etcdURL,
		"--secure-port=443",
		"--bind-address=0.0.0.0",
		"--advertise-address="+c.config.Addresses[0].String(),
		"--service-cluster-ip-range="+c.config.ServiceCIDR,
		"--allow-privileged=true",
		"--authorization-mode=RBAC",
		// Nobody without a certificate or a token is told anything, not even the version.
		"--anonymous-auth=false",
		"--profiling=false",

		"--tls-cert-file="+c.file("apiserver.crt"),
		"--tls-private-key-file="+c.file("apiserver.key"),
		"--client-ca-file="+c.file("ca.crt"),

		"--service-account-issuer=https://kubernetes.default.svc",
		"--service-account-signing-key-file="+c.file("service-account.key"),
		"--service-account-key-file="+c.file("service-account.key"),
		// Istio's sidecars ask for tokens of audience istio-ca.
		"--api-audiences=https://kubernetes.default.svc,istio-ca",

		"--kubelet-certificate-authority="+c.file("ca.crt"),
		"--kubelet-client-certificate="+c.file("kubelet-client.crt"),
		"--kubelet-client-key="+c.file("kubelet-client.key"),
		// Node names do not resolve here.
		"--kubelet-preferred-address-types=InternalIP",

		// Webhooks and aggregated API servers are called at endpoint addresses, so that
		// no kube-proxy is needed.
		"--enable-aggregator-routing=true",
		"--requestheader-client-ca-file="+c.file("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file="+c.file("front-proxy.crt"),
		"--proxy-client-key-file="+c.file("front-proxy.key"),

		// Service kubernetes has the two endpoints of the published cluster; the baseline
		// writes them.
		"--endpoint-reconciler-type=none",
	)
}

func (c *ControlPlane) controllerManager(kubeconfig string) *Process {
	return c.process("kube-controller-manager", c.config.ControllerManager,
		"--kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		// Node-lifecycle stays on: it takes the not-ready taint off new nodes. Pod
		// addresses are not the nodes' here, as on EKS.
		"--controllers=*,-node-ipam-controller",
		"--node-monitor-grace-period="+cmp.Or(c.config.NodeGrace, 40*time.Second).String(),
		"--service-account-private-key-file="+c.file("service-account.key"),
		"--root-ca-file="+c.file("ca.crt"),
		"--profiling=false",
		// Steps of hundreds of pods must not wait for the client's own limit of 20
		// requests a second.
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
		"--concurrent-deployment-syncs=10",
		"--concurrent-replicaset-syncs=10",
		"--concurrent-service-endpoint-syncs=10",
		"--concurrent-endpoint-syncs=10",
		"--concurrent-namespace-syncs=20",
	)
}

func (c *ControlPlane) scheduler(kubeconfig string) *Process {
	return c.process("kube-scheduler", c.config.Scheduler,
		"--kubeconfig="+kubeconfig,
		"--bind-address=127.0.0.1",
		"--leader-elect=false",
		"--profiling=false",
		"--kube-api-qps=1000",
		"--kube-api-burst=2000",
	)
}
