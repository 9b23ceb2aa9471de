// Package kubeconfig finds the cluster that a kubeconfig leads to, by the rules of kubectl, and
// says what is wrong with it, or with the way there, in a sentence that says what to do.
package kubeconfig

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/meshbench/meshbench/internal/bounded"
)

// Target is the cluster that a kubeconfig leads to.
type Target struct {
	Config *rest.Config
	// Context and User are names in the kubeconfig; both "" inside a pod.
	Context, User string
	// Files are the kubeconfig's, those that are there.
	Files []string
}

// String names the cluster for people.
func (t *Target) String() string {
	if t.Context == "" {
		return t.Config.Host
	}
	return fmt.Sprintf("%s (context %s)", t.Config.Host, t.Context)
}

// Find reads a kubeconfig by the rules of kubectl: the file that is named, else those of
// KUBECONFIG, else ~/.kube/config, else the account of the pod that this program runs in.
// context "" is the kubeconfig's own. Nothing is asked of the cluster; errors say what is
// wrong with the credentials as far as the machine knows.
func Find(kubeconfig, context string) (*Target, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	return FindIn(rules, context)
}

// FindIn is Find for the files that rules name.
func FindIn(rules *clientcmd.ClientConfigLoadingRules, context string) (*Target, error) {
	raw, err := rules.Load()
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no kubeconfig %s", rules.ExplicitPath)
	case err != nil:
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	case clientcmdapi.IsConfigEmpty(raw):
		return inPod(rules, context)
	}
	t := &Target{Context: cmp.Or(context, raw.CurrentContext)}
	for _, file := range rules.GetLoadingPrecedence() {
		if _, err := os.Stat(file); err == nil {
			t.Files = append(t.Files, file)
		}
	}
	from := strings.Join(t.Files, ", ")
	known := strings.Join(slices.Sorted(maps.Keys(raw.Contexts)), ", ")
	chosen := raw.Contexts[t.Context]
	switch {
	case len(raw.Contexts) == 0:
		return nil, fmt.Errorf("kubeconfig %s has no contexts: name another one with --kubeconfig", from)
	case t.Context == "":
		return nil, fmt.Errorf("kubeconfig %s has no current context: choose one with --context (%s)", from, known)
	case chosen == nil:
		return nil, fmt.Errorf("kubeconfig %s has no context %s: choose one with --context (%s)", from, t.Context, known)
	}
	t.User = chosen.AuthInfo
	t.Config, err = clientcmd.NewNonInteractiveClientConfig(*raw, t.Context, &clientcmd.ConfigOverrides{}, rules).ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("use context %s of kubeconfig %s: %w", t.Context, from, err)
	}
	t.Config.Wrap(bounded.Transport(bounded.Dump))
	return t, t.CheckCredentials(time.Now())
}

// inPod is the cluster that this program runs in.
func inPod(rules *clientcmd.ClientConfigLoadingRules, context string) (*Target, error) {
	if rules.ExplicitPath != "" {
		return nil, fmt.Errorf("kubeconfig %s is empty: name another one with --kubeconfig", rules.ExplicitPath)
	}
	config, err := rest.InClusterConfig()
	switch {
	case errors.Is(err, rest.ErrNotInCluster):
		return nil, fmt.Errorf("there is no kubeconfig (looked for %s): name one with --kubeconfig or the variable KUBECONFIG", strings.Join(rules.GetLoadingPrecedence(), ", "))
	case err != nil:
		return nil, fmt.Errorf("use the account of this pod: %w", err)
	case context != "":
		return nil, fmt.Errorf("--context %s: there is no kubeconfig, and a pod's own account has no contexts", context)
	}
	config.Wrap(bounded.Transport(bounded.Dump))
	return &Target{Config: config}, nil
}

// CheckCredentials finds what is wrong with the credentials without asking the cluster.
func (t *Target) CheckCredentials(now time.Time) error {
	if plugin := t.Config.ExecProvider; plugin != nil {
		if _, err := exec.LookPath(plugin.Command); err != nil {
			hint := strings.TrimSpace(plugin.InstallHint)
			if hint != "" {
				hint = "\n" + hint
			}
			return fmt.Errorf("the credentials of user %s come from the program %s, which is not on this machine: install it, or choose another context%s", t.User, plugin.Command, hint)
		}
	}
	if provider := t.Config.AuthProvider; provider != nil {
		return fmt.Errorf("user %s has the auth-provider %s, which Kubernetes's clients do not know any more: write its credentials anew with the service's own program (gcloud container clusters get-credentials, az aks get-credentials)", t.User, provider.Name)
	}
	data := t.Config.CertData
	if len(data) == 0 && t.Config.CertFile != "" {
		var err error
		if data, err = os.ReadFile(t.Config.CertFile); err != nil {
			return fmt.Errorf("read the certificate of user %s: %w", t.User, err)
		}
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("read the certificate of user %s: %w", t.User, err)
	}
	if now.After(certificate.NotAfter) {
		return fmt.Errorf("the certificate of user %s expired on %s: get new credentials for context %s", t.User, certificate.NotAfter.UTC().Format("2006-01-02 15:04 MST"), t.Context)
	}
	return nil
}

// ReachLimit is how long the API server may take for its first answer.
const ReachLimit = 10 * time.Second

// Explain says of an error of a request what to do about it. waited is for how long the API server
// has not answered.
func (t *Target) Explain(err error, waited time.Duration) error {
	var (
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		request *url.Error
		network net.Error
	)
	switch {
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("the API server %s does not accept the credentials of user %s: they may have expired or be another cluster's; log in again: %w", t, cmp.Or(t.User, "of this pod"), err)
	case strings.Contains(err.Error(), "getting credentials"):
		return fmt.Errorf("the program that gives the credentials of user %s failed: run it by hand to see why: %w", t.User, err)
	case errors.As(err, &unknown):
		return fmt.Errorf("the certificate of the API server %s is not of the authority that the kubeconfig names: the cluster may have been made anew; write its kubeconfig again: %w", t, err)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Errorf("the certificate of the API server %s has expired (or this machine's clock is wrong): renew it: %w", t, err)
	case errors.As(err, &name):
		return fmt.Errorf("the certificate of the API server %s is for another name: correct the server in the kubeconfig: %w", t, err)
	case errors.As(err, &network) && network.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("the API server %s has not answered for %s: check the network, a VPN, or the context: %w", t, waited.Round(time.Second), err)
	case errors.As(err, &request):
		return fmt.Errorf("the API server %s cannot be reached: check that the cluster runs, the network, or the context: %w", t, err)
	}
	return fmt.Errorf("ask the API server %s for its version: %w", t, err)
}
