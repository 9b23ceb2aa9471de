package mesh

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// quiet is a copy of the configuration that does not hold back a chart's hundred objects
// (the API server has its own fairness) and prints no warnings on the terminal.
func quiet(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.WarningHandler = rest.NoWarnings{}
	return config
}

// helm runs one of Helm's actions. Most of them know no context, so the action runs in
// the background and every request it makes is bound to ctx: when ctx is done, helm
// returns and the action can change nothing more.
func (m *Mesh) helm(ctx context.Context, do func(context.Context, *action.Configuration) error) error {
	return m.helmIn(ctx, m.namespace, do)
}

// helmIn is helm for releases in another namespace.
func (m *Mesh) helmIn(ctx context.Context, namespace string, do func(context.Context, *action.Configuration) error) error {
	config := rest.CopyConfig(m.config)
	config.Wrap(func(next http.RoundTripper) http.RoundTripper { return boundTo{ctx, next} })
	configuration := &action.Configuration{}
	// Storage as secrets is Helm's default, so `helm list` shows the releases.
	if err := configuration.Init(&clientGetter{config: config, namespace: namespace}, namespace, "secrets", discard); err != nil {
		return fmt.Errorf("prepare Helm: %w", err)
	}
	if err := m.waitPromptly(ctx, configuration); err != nil {
		return fmt.Errorf("prepare Helm: %w", err)
	}
	ended := make(chan struct{})
	err := inBackground(ctx, func() error {
		defer close(ended)
		return do(ctx, configuration)
	})
	select {
	case <-ended: // as it does soon after ctx is done: its requests fail
	case <-time.After(lastRequests):
	}
	return err
}

// lastRequests is how long an action that was ended is waited for, so that nothing that it has
// under way arrives after what its caller does next.
const lastRequests = time.Second

// inBackground runs do and waits for it or for ctx.
func inBackground(ctx context.Context, do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// boundTo ends every request when ctx is done.
type boundTo struct {
	ctx  context.Context
	next http.RoundTripper
}

func (b boundTo) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	stop := context.AfterFunc(b.ctx, func() { cancel(context.Cause(b.ctx)) })
	response, err := b.next.RoundTrip(request.WithContext(ctx))
	if err != nil {
		stop()
		cancel(err)
		return nil, err
	}
	response.Body = &boundBody{response.Body, func() { stop(); cancel(nil) }}
	return response, nil
}

// boundBody frees the request's context when the answer has been read.
type boundBody struct {
	io.ReadCloser
	free func()
}

func (b *boundBody) Close() error {
	defer b.free()
	return b.ReadCloser.Close()
}

// clientGetter gives Helm its clients from a rest.Config instead of a kubeconfig file. It
// is genericclioptions.RESTClientGetter. Discovery is kept in memory, because a cluster of
// minutes has no use for a cache on disk.
type clientGetter struct {
	config    *rest.Config
	namespace string
	discovery discovery.CachedDiscoveryInterface
}

func (g *clientGetter) ToRESTConfig() (*rest.Config, error) { return rest.CopyConfig(g.config), nil }

func (g *clientGetter) ToDiscoveryClient() (discovery.CachedDiscoveryInterface, error) {
	if g.discovery == nil {
		client, err := discovery.NewDiscoveryClientForConfig(g.config)
		if err != nil {
			return nil, err
		}
		g.discovery = memory.NewMemCacheClient(client)
	}
	return g.discovery, nil
}

func (g *clientGetter) ToRESTMapper() (meta.RESTMapper, error) {
	client, err := g.ToDiscoveryClient()
	if err != nil {
		return nil, err
	}
	return restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(client), client, nil), nil
}

func (g *clientGetter) ToRawKubeConfigLoader() clientcmd.ClientConfig {
	overrides := &clientcmd.ConfigOverrides{Context: clientcmdapi.Context{Namespace: g.namespace}}
	return clientcmd.NewDefaultClientConfig(*clientcmdapi.NewConfig(), overrides)
}
