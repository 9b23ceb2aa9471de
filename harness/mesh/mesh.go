// Package mesh installs Istio on a cluster with Istio's own Helm charts, base and
// istiod, through the Helm SDK, and waits until sidecars are really injected.
package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/observations"
)

// DefaultNamespace is where istiod lives unless the value global.istioNamespace names
// another namespace.
const DefaultNamespace = "istio-system"

// DefaultTimeout is how long Install and Upgrade wait for istiod unless told otherwise.
const DefaultTimeout = 5 * time.Minute

// DefaultHub is where Istio's releases publish their images.
const DefaultHub = "docker.io/istio"

// createdLabel marks the namespace and the Helm releases that this package made. It
// touches no others: a cluster's own mesh is not ours to change or remove.
const createdLabel = "meshbench.dev/created"

// Options say which mesh to install and how.
type Options struct {
	// Version is Istio's version, which is the tag of its images: 1.23.2. Required.
	Version string
	// Hub is the registry that the images are named after; "" is DefaultHub.
	Hub string
	// Charts say where the charts come from. Required.
	Charts Charts
	// Values are layers of chart values: a later one wins over an earlier one.
	Values []Layer
	// Timeout limits the wait for istiod; 0 is DefaultTimeout.
	Timeout time.Duration
	// Progress is told what is being done, in words; nil for silence.
	Progress func(string)
	// PullSecret has credentials for Istio's images; it is copied into istiod's namespace.
	PullSecret kube.PullSecret
	// GatewayAPI is a folder with the Gateway API's resource definitions, which are installed
	// before istiod; "" for none.
	GatewayAPI string
	// Addons are manifests, those of Istio's samples/addons, that are applied in istiod's
	// namespace when it is ready, and removed with it.
	Addons []string
	// Owner says for whom the mesh is installed, a run's folder or whatever else tells somebody
	// who finds it: see [Made].
	Owner string
}

// fill gives options that were left out their defaults.
func (o *Options) fill() {
	o.Hub = cmp.Or(o.Hub, DefaultHub)
	o.Timeout = cmp.Or(o.Timeout, DefaultTimeout)
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
}

// Mesh is Istio on one cluster.
type Mesh struct {
	options Options
	values  map[string]any
	// namespace is where istiod lives, and revision the control plane's name; "" for one
	// without.
	namespace, revision string
	client              kubernetes.Interface
	config              *rest.Config
}

// New checks the options and merges the values; it does not touch the cluster.
func New(config *rest.Config, options Options) (*Mesh, error) {
	if options.Version == "" {
		return nil, errors.New("no Istio version given: name one, e.g. 1.23.2")
	}
	if err := options.Charts.check(); err != nil {
		return nil, err
	}
	options.fill()
	config = quiet(config)
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client for the cluster: %w", err)
	}
	options.Values = append([]Layer{baseValues(options)}, options.Values...)
	values := Merge(options.Values)
	metadataAsText(values)
	revision, _ := values["revision"].(string)
	return &Mesh{
		options: options, values: values, client: client, config: config,
		namespace: namespaceOf(values), revision: revision,
	}, nil
}

// namespaceOf is where the values put istiod.
func namespaceOf(values map[string]any) string {
	name, _ := meshfacts.Lookup(values, "global", "istioNamespace").(string)
	return cmp.Or(name, DefaultNamespace)
}

// release is the name of a chart's Helm release: of the chart istiod, each revision has one.
func (m *Mesh) release(chart string) string {
	if chart == istiodChart && m.revision != "" {
		return releaseNames[chart] + "-" + m.revision
	}
	return releaseNames[chart]
}

// Install installs the charts base and istiod, or upgrades what an earlier Install left,
// and returns when istiod is available and a pod created now gets its sidecar. It stops
// soon after ctx is done. The result leaves Envoy and Workers to the caller, who sees
// them on a running proxy.
func (m *Mesh) Install(ctx context.Context) (observations.Mesh, error) {
	return m.put(ctx)
}

// Upgrade brings an installed mesh to the options' charts and values and waits as Install
// does. A revision that is not there yet is installed beside the others. Unlike Install it
// is an error if there is nothing to upgrade.
func (m *Mesh) Upgrade(ctx context.Context) (observations.Mesh, error) {
	last, err := m.lastRelease(ctx, baseChart)
	if err != nil {
		return observations.Mesh{}, err
	}
	if last == nil {
		return observations.Mesh{}, fmt.Errorf("upgrade Istio: namespace %s has no Helm release %s: install it first", m.namespace, m.release(baseChart))
	}
	return m.put(ctx)
}

func (m *Mesh) put(ctx context.Context) (observations.Mesh, error) {
	charts := map[string]*chart.Chart{}
	for _, name := range chartNames {
		c, err := m.chart(ctx, name)
		if err != nil {
			return observations.Mesh{}, err
		}
		charts[name] = c
	}
	// Somebody else's release is an error before anything is made.
	for _, name := range chartNames {
		if _, err := m.lastRelease(ctx, name); err != nil {
			return observations.Mesh{}, err
		}
	}
	if err := m.ensureNamespace(ctx); err != nil {
		return observations.Mesh{}, err
	}
	recorded, err := m.begin(ctx, charts[baseChart])
	if err != nil {
		return observations.Mesh{}, err
	}
	if err := m.options.PullSecret.CopyTo(ctx, m.client, m.namespace, map[string]string{createdLabel: "true"}); err != nil {
		return observations.Mesh{}, err
	}
	names := chartNames
	keep, err := m.keepsBase(ctx, charts[baseChart])
	if err != nil {
		return observations.Mesh{}, err
	}
	if keep {
		names = []string{istiodChart}
	} else if err := m.adoptCRDs(ctx, charts[baseChart], recorded); err != nil {
		return observations.Mesh{}, err
	}
	if err := m.takeTags(ctx); err != nil {
		return observations.Mesh{}, err
	}
	if err := m.putGatewayAPI(ctx, recorded); err != nil {
		return observations.Mesh{}, err
	}
	for _, name := range names {
		m.options.Progress(fmt.Sprintf("installing chart %s of Istio %s", name, m.options.Version))
		if err := m.putRelease(ctx, name, charts[name], recorded); err != nil {
			return observations.Mesh{}, fmt.Errorf("install Istio's chart %s from %s: %w", name, m.options.Charts, err)
		}
	}
	injected, err := m.waitReady(ctx)
	if err != nil {
		return observations.Mesh{}, err
	}
	if err := m.putAddons(ctx, recorded); err != nil {
		return observations.Mesh{}, err
	}
	return m.facts(ctx, injected)
}

// unreleased is the version of the charts in Istio's source; a release gives them its own.
// It is seen in labels, and from there in every proxy's configuration.
const unreleased = "1.0.0"

// chart is one of the charts, as the release has it.
func (m *Mesh) chart(ctx context.Context, name string) (*chart.Chart, error) {
	c, err := m.options.Charts.load(ctx, name)
	if err == nil && c.Metadata.Version == unreleased {
		c.Metadata.Version, c.Metadata.AppVersion = m.options.Version, m.options.Version
	}
	return c, err
}

// ensureNamespace makes istiod's namespace, marked as ours, unless it is there. One that is
// being deleted is waited for.
func (m *Mesh) ensureNamespace(ctx context.Context) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: m.namespace, Labels: map[string]string{createdLabel: "true", meshLabel: "istio"}}}
	err := wait.PollUntilContextTimeout(ctx, readiness.PollInterval, m.options.Timeout, true, func(ctx context.Context) (bool, error) {
		_, err := m.client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{})
		if !apierrors.IsAlreadyExists(err) {
			return err == nil, err
		}
		found, err := m.client.CoreV1().Namespaces().Get(ctx, m.namespace, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil && found.DeletionTimestamp == nil, err
	})
	if err != nil {
		return fmt.Errorf("make namespace %s: %w", m.namespace, err)
	}
	return nil
}

// putRelease installs the chart, or upgrades the release that is there. A release that
// an interrupted or failed installation left is removed first: Helm would refuse it.
func (m *Mesh) putRelease(ctx context.Context, name string, c *chart.Chart, recorded *record) error {
	last, err := m.lastRelease(ctx, name)
	if err != nil {
		return err
	}
	values := m.values
	if name == baseChart {
		if values, err = m.baseValues(ctx, last); err != nil {
			return err
		}
		values = Merge([]Layer{{Values: values}, {Values: excluded(c, recorded)}})
	}
	if last != nil && last.Info.Status == release.StatusDeployed {
		return m.helm(ctx, func(ctx context.Context, configuration *action.Configuration) error {
			_, err := m.newUpgrade(configuration).RunWithContext(ctx, m.release(name), c, values)
			return err
		})
	}
	if last != nil {
		if err := m.removeRelease(ctx, name); err != nil {
			return err
		}
	}
	return m.helm(ctx, func(ctx context.Context, configuration *action.Configuration) error {
		_, err := newInstall(configuration, m.release(name), m.namespace, m.options.Timeout).RunWithContext(ctx, c, values)
		return err
	})
}

// newInstall is Helm's installation as this package uses it: without Helm's own wait,
// whose errors do not say what is wrong with a pod, and without checking the charts'
// objects against the cluster's OpenAPI document, which is megabytes to parse.
func newInstall(configuration *action.Configuration, release, namespace string, timeout time.Duration) *action.Install {
	install := action.NewInstall(configuration)
	install.ReleaseName = release
	install.Labels = map[string]string{createdLabel: "true"}
	install.Namespace = namespace
	install.Timeout = timeout
	install.DisableOpenAPIValidation = true
	return install
}

// lastRelease is the newest revision of a chart's release; nil when there is none. One that
// somebody else made is an error.
func (m *Mesh) lastRelease(ctx context.Context, name string) (*release.Release, error) {
	name = m.release(name)
	var last *release.Release
	err := m.helm(ctx, func(_ context.Context, configuration *action.Configuration) error {
		var err error
		last, err = configuration.Releases.Last(name)
		if errors.Is(err, driver.ErrReleaseNotFound) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for Helm release %s in namespace %s: %w", name, m.namespace, err)
	}
	if last != nil && last.Labels[createdLabel] != "true" {
		return nil, fmt.Errorf("namespace %s has a Helm release %s that meshbench did not make: uninstall that mesh first or use another cluster", m.namespace, name)
	}
	return last, nil
}

// facts describe the installed mesh, as far as memory depends on it, from what istiod and
// the injected pod really got rather than from the values.
func (m *Mesh) facts(ctx context.Context, injected *corev1.Pod) (observations.Mesh, error) {
	values, err := yaml.Marshal(m.values)
	if err != nil {
		return observations.Mesh{}, fmt.Errorf("write the mesh's values: %w", err)
	}
	istiod, err := m.istiod(ctx)
	if err != nil {
		return observations.Mesh{}, err
	}
	return observations.Mesh{
		Istio:            m.options.Version,
		Charts:           m.options.Charts.String(),
		XDS:              xdsProtocol(m.options.Version, injected),
		ReconnectSeconds: maxConnectionAge(istiod).Seconds(),
		Values:           string(values),
	}, nil
}
