// Package knative installs Knative Serving on a cluster, without an ingress, or uses an
// installation that is there, and waits until Knative Services can really be made.
//
// Without an ingress nobody can call a Knative Service and its Ready condition stays
// Unknown for good (IngressNotConfigured). Configurations, revisions and what these are
// made of come about all the same: status.latestCreatedRevisionName of the Service says
// when.
package knative

import (
	"context"
	"errors"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/observations"
)

// Namespace is where Knative Serving lives.
const Namespace = "knative-serving"

// DefaultTimeout is how long Install waits for Knative Serving unless told otherwise.
const DefaultTimeout = 5 * time.Minute

// createdLabel marks the namespace that this package made. An installation in another one
// is not ours to change.
const createdLabel = "meshbench.dev/created"

// versionLabel holds the release on all that Knative Serving is made of.
const versionLabel = "app.kubernetes.io/version"

// deployments are the parts of Knative Serving that run.
var deployments = []string{"activator", "autoscaler", "controller", "webhook"}

// Options say where Knative Serving comes from and how it is set. Without Folder and
// Manifest only an installation that is there is used.
type Options struct {
	// Folder is the component knative-config: the configuration of Knative Serving's
	// sources. Its images get the names of released ones, gcr.io/knative-releases/...:v1.15.2,
	// which the embedded cluster takes for the programs of the same components.
	Folder string
	// Version is the release in Folder, 0.42.2; needed with it.
	Version string
	// Manifest is the path or URL (http, https) of a YAML manifest, e.g. the release's
	// serving-core.yaml, which a cluster of real nodes takes with images and all.
	Manifest string
	// Settings are data of config maps in namespace knative-serving, by the config map's
	// name, over [DefaultSettings] and the manifest's own.
	Settings map[string]map[string]string
	// Timeout limits the wait; 0 is DefaultTimeout.
	Timeout time.Duration
	// Progress is told what is being done, in words; nil for silence.
	Progress func(string)
}

// DefaultSettings are what revisions that nobody calls, and a thousand of them, need, by
// config map: revisions are not collected, they may start without a pod, the digests of
// local images are not asked for, and the log holds warnings only (at Knative's default
// level a thousand revisions write 170 MB).
func DefaultSettings() map[string]map[string]string {
	return map[string]map[string]string{
		"config-gc": {
			"retain-since-create-time":      "disabled",
			"retain-since-last-active-time": "disabled",
			"min-non-active-revisions":      "100000",
			"max-non-active-revisions":      "disabled",
		},
		"config-autoscaler": requiredSettings["config-autoscaler"],
		"config-deployment": {"registries-skipping-tag-resolving": "kind.local,ko.local,dev.local"},
		"config-logging": {
			"loglevel.activator":  "warn",
			"loglevel.autoscaler": "warn",
			"loglevel.controller": "warn",
			"loglevel.webhook":    "warn",
		},
	}
}

// requiredSettings are those without which revisions cannot be made as they are here.
var requiredSettings = map[string]map[string]string{
	"config-autoscaler": {"allow-zero-initial-scale": "true"},
}

// simulatedSettings are for clusters whose revisions' pods answer no requests, as those of
// the embedded cluster: the activator takes a pod that Kubernetes calls ready for ready,
// instead of asking each of them five times a second for good.
var simulatedSettings = map[string]map[string]string{
	"config-network": {"mesh-compatibility-mode": "disabled"},
}

// Knative is Knative Serving on one cluster.
type Knative struct {
	options Options
	client  *kube.Client
	objects objects // nil until a manifest is downloaded
}

// New checks the options and reads folder or file; it does not touch the cluster.
func New(config *rest.Config, options Options) (*Knative, error) {
	if options.Timeout == 0 {
		options.Timeout = DefaultTimeout
	}
	if options.Progress == nil {
		options.Progress = func(string) {}
	}
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{}
	client, err := kube.New(config)
	if err != nil {
		return nil, err
	}
	k := &Knative{options: options, client: client}
	switch {
	case options.Folder != "" && options.Manifest != "":
		return nil, fmt.Errorf("Knative Serving from both folder %s and manifest %s: name one", options.Folder, options.Manifest)
	case options.Folder != "":
		k.objects, err = readFolder(options.Folder, options.Version)
		if err == nil {
			err = k.objects.set(simulatedSettings)
		}
	case options.Manifest != "" && !isURL(options.Manifest):
		k.objects, err = readFile(options.Manifest)
	}
	if err == nil && k.objects != nil {
		err = k.objects.set(DefaultSettings(), options.Settings)
	}
	if err != nil {
		return nil, err
	}
	return k, nil
}

// Installation is a Knative Serving that is on the cluster.
type Installation struct {
	// Version is its release, 0.42.2; what its label says where that is no release, and
	// "unknown" without one.
	Version string
	// Ours says that this package made it.
	Ours bool
}

// Present finds an installation that is there; nil when there is none.
func (k *Knative) Present(ctx context.Context) (*Installation, error) {
	controller, err := k.client.AppsV1().Deployments(Namespace).Get(ctx, "controller", metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for Knative Serving in namespace %s: %w", Namespace, err)
	}
	namespace, err := k.client.CoreV1().Namespaces().Get(ctx, Namespace, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("look for Knative Serving: %w", err)
	}
	return &Installation{Version: versionOf(controller), Ours: namespace.Labels[createdLabel] != ""}, nil
}

func versionOf(d *appsv1.Deployment) string {
	if label := d.Labels[versionLabel]; label != "" {
		return moduleVersion(label)
	}
	return "unknown"
}

// Install installs Knative Serving, brings what an earlier Install left up to date, or
// finds an installation of others, which it does not change. It returns when all
// Deployments are available and the API server takes a Knative Service, and stops soon
// after ctx is done.
func (k *Knative) Install(ctx context.Context) (observations.Knative, error) {
	found, err := k.Present(ctx)
	if err != nil {
		return observations.Knative{}, err
	}
	source := k.source()
	switch {
	case source == "" && found == nil:
		return observations.Knative{}, fmt.Errorf("there is no Knative Serving on this cluster (no Deployment controller in namespace %s): name a manifest to install it from", Namespace)
	case source == "" || found != nil && !found.Ours:
		if k.options.Manifest != "" {
			return observations.Knative{}, fmt.Errorf("Knative Serving %s is on this cluster and not of meshbench's making: leave out manifest %s to use it, or remove it first", found.Version, k.options.Manifest)
		}
		source = "on the cluster"
		k.options.Progress("using Knative Serving " + found.Version + ", which is there")
		if err := k.checkSettings(ctx); err != nil {
			return observations.Knative{}, err
		}
	default:
		if err := k.apply(ctx); err != nil {
			return observations.Knative{}, err
		}
	}
	controller, err := k.waitReady(ctx)
	if err != nil {
		return observations.Knative{}, err
	}
	return observations.Knative{Version: versionOf(controller), Source: source}, nil
}

// source is where Knative Serving is installed from; "" for nowhere.
func (k *Knative) source() string {
	if k.options.Folder != "" {
		return "components"
	}
	return k.options.Manifest
}

// checkSettings holds an installation of others against the settings that are asked for.
func (k *Knative) checkSettings(ctx context.Context) error {
	var problems []error
	for name, data := range merge(requiredSettings, k.options.Settings) {
		m, err := k.client.CoreV1().ConfigMaps(Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			problems = append(problems, fmt.Errorf("read the settings of Knative Serving: %w", err))
			continue
		}
		for key, want := range data {
			if have := m.Data[key]; have != want {
				problems = append(problems, fmt.Errorf(`config map %s of the Knative Serving on this cluster has %s: %q, needed is %q: kubectl -n %s patch configmap %s --type merge -p '{"data":{%q:%q}}'`,
					name, key, have, want, Namespace, name, key, want))
			}
		}
	}
	return errors.Join(problems...)
}
