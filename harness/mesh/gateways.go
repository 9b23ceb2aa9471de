package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/release"
	"helm.sh/helm/v3/pkg/storage/driver"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
	"github.com/meshbench/meshbench/meshfacts"
)

// Gateway is a gateway by Istio's own chart.
type Gateway struct {
	// Namespace is there already. Name is that of the release, and of the chart's objects.
	Namespace, Name string
	// Values are those of the chart.
	Values map[string]any
}

// InstallGateway installs a gateway by the chart gateway of the mesh's own charts, or upgrades
// one that an earlier call has installed. It does not wait for its pods. [Mesh.Uninstall]
// removes it with the mesh's last revision.
func (m *Mesh) InstallGateway(ctx context.Context, g Gateway) error {
	c, err := m.chart(ctx, gatewayChart)
	if err != nil {
		return err
	}
	if c.Schema, err = referring(c.Schema); err != nil {
		return err
	}
	last, err := m.gatewayRelease(ctx, g)
	if err != nil {
		return err
	}
	if last != nil && last.Labels[createdLabel] != "true" {
		return fmt.Errorf("namespace %s has a Helm release %s that meshbench did not make: choose another name", g.Namespace, g.Name)
	}
	if err := m.recordGateway(ctx, g); err != nil {
		return err
	}
	if last != nil && last.Info.Status != release.StatusDeployed {
		// An installation that was ended left it: Helm would refuse it.
		if err := m.removeGateway(ctx, g.Namespace, g.Name); err != nil {
			return err
		}
		last = nil
	}
	err = m.helmIn(ctx, g.Namespace, func(ctx context.Context, configuration *action.Configuration) error {
		if last == nil {
			_, err := newInstall(configuration, g.Name, g.Namespace, m.options.Timeout).RunWithContext(ctx, c, g.Values)
			return err
		}
		upgrade := m.newUpgrade(configuration)
		upgrade.Namespace = g.Namespace
		_, err := upgrade.RunWithContext(ctx, g.Name, c, g.Values)
		return err
	})
	if err != nil {
		return fmt.Errorf("install Istio's chart gateway from %s: %w", m.options.Charts, err)
	}
	return nil
}

// referring is a JSON schema as its author meant it: up to draft 7 nothing counts beside a
// $ref, and the chart gateway's schema forbids there what the $ref allows. Helm's library reads
// schemas that name no draft by the latest one, in which both count, and refuses every value.
func referring(schema []byte) ([]byte, error) {
	if len(schema) == 0 {
		return schema, nil
	}
	var top map[string]json.RawMessage
	if err := json.Unmarshal(schema, &top); err != nil {
		return nil, fmt.Errorf("read values.schema.json of chart gateway: %w", err)
	}
	if _, refers := top["$ref"]; !refers {
		return schema, nil
	}
	delete(top, "additionalProperties")
	return json.Marshal(top)
}

// CheckGateway finds the chart gateway and checks values by its JSON schema. Where unknown is
// set, since the program knows nothing of that version of Istio, it also finds values that the
// chart does not read.
func (c Charts) CheckGateway(ctx context.Context, istio string, values map[string]any, unknown bool) ([]meshfacts.Problem, error) {
	gateway, err := c.load(ctx, gatewayChart)
	if err != nil {
		return nil, err
	}
	if len(gateway.Schema) > 0 {
		schema, err := referring(gateway.Schema)
		if err != nil {
			return nil, err
		}
		if err := chartutil.ValidateAgainstSingleSchema(values, schema); err != nil {
			return nil, fmt.Errorf("values that the chart gateway of Istio %s refuses: %s", istio, strings.Join(strings.Fields(err.Error()), " "))
		}
	}
	if !unknown {
		return nil, nil
	}
	keys, err := keysOf(gateway)
	if err != nil {
		return nil, err
	}
	return (&meshfacts.Facts{Istio: istio, Gateway: keys}).CheckGateway(values), nil
}

// gatewayRelease is the newest version of a gateway's release; nil when there is none.
func (m *Mesh) gatewayRelease(ctx context.Context, g Gateway) (last *release.Release, err error) {
	err = m.helmIn(ctx, g.Namespace, func(_ context.Context, configuration *action.Configuration) error {
		last, err = configuration.Releases.Last(g.Name)
		if errors.Is(err, driver.ErrReleaseNotFound) {
			last, err = nil, nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look for Helm release %s in namespace %s: %w", g.Name, g.Namespace, err)
	}
	return last, nil
}

// recordGateway writes down that the gateway is being installed, so that it is removed with
// the mesh whatever ends this process.
func (m *Mesh) recordGateway(ctx context.Context, g Gateway) error {
	r, err := m.readRecord(ctx)
	if err != nil {
		return err
	}
	if r == nil {
		return fmt.Errorf("install gateway %s/%s: config map %s/%s is gone, which says what meshbench installed: the mesh is not ours any more", g.Namespace, g.Name, m.namespace, recordName)
	}
	key := g.Namespace + "/" + g.Name
	if slices.Contains(r.Gateways, key) {
		return nil
	}
	r.Gateways = append(r.Gateways, key)
	return m.writeRecord(ctx, r)
}

// removeGateways removes the releases of the gateways that were installed with the mesh, and
// waits until their pods have ended: a proxy that goes on keeps asking for an istiod.
func (m *Mesh) removeGateways(ctx context.Context, r *record) error {
	for _, key := range r.Gateways {
		namespace, name, _ := strings.Cut(key, "/")
		m.options.Progress("removing gateway " + key)
		if err := m.removeGateway(ctx, namespace, name); err != nil {
			return err
		}
	}
	return nil
}

func (m *Mesh) removeGateway(ctx context.Context, namespace, name string) error {
	last, err := m.gatewayRelease(ctx, Gateway{Namespace: namespace, Name: name})
	if err != nil {
		return err
	}
	if last == nil || last.Labels[createdLabel] != "true" {
		return nil // its namespace is gone, or it is somebody else's
	}
	err = m.helmIn(ctx, namespace, func(_ context.Context, configuration *action.Configuration) error {
		uninstall := action.NewUninstall(configuration)
		uninstall.IgnoreNotFound = true
		uninstall.Timeout = m.options.Timeout
		_, err := uninstall.Run(name)
		return err
	})
	if err != nil {
		return fmt.Errorf("remove Helm release %s from namespace %s: %w", name, namespace, err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.options.Timeout, fmt.Errorf("not gone after %s", m.options.Timeout))
	defer cancel()
	labels, _ := last.Config["labels"].(map[string]any)
	app, _ := labels["app"].(string)
	if app == "" {
		app = name
	}
	return kube.Until(ctx, readiness.PollInterval, func(ctx context.Context) (bool, string, error) {
		pods, err := m.client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + app + ",sidecar.istio.io/inject=true"})
		return err == nil && len(pods.Items) == 0, "the end of the pods of gateway " + namespace + "/" + name, err
	})
}

// gatewayDefinitions are the resource definitions of the Gateway API in the options' folder,
// with their names; none without.
func (o Options) gatewayDefinitions() (all []*unstructured.Unstructured, names []string, err error) {
	if o.GatewayAPI == "" {
		return nil, nil, nil
	}
	files, err := filepath.Glob(filepath.Join(o.GatewayAPI, "*.yaml"))
	if err != nil || len(files) == 0 {
		return nil, nil, errors.Join(err, fmt.Errorf("no resource definitions of the Gateway API in %s", o.GatewayAPI))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, fmt.Errorf("read a resource definition of the Gateway API: %w", err)
		}
		var crd unstructured.Unstructured
		if err := yaml.Unmarshal(text, &crd.Object); err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", file, err)
		}
		if crd.GetKind() != "CustomResourceDefinition" {
			continue // a list of what to apply
		}
		all, names = append(all, &crd), append(names, crd.GetName())
	}
	return all, names, nil
}

// putGatewayAPI creates the resource definitions of the Gateway API that are not there, and
// waits until they are served: istiod looks for them when it starts.
func (m *Mesh) putGatewayAPI(ctx context.Context, r *record) error {
	all, names, err := m.options.gatewayDefinitions()
	if err != nil || len(all) == 0 {
		return err
	}
	m.options.Progress("installing the Gateway API's resource definitions")
	client, err := dynamic.NewForConfig(m.config)
	if err != nil {
		return fmt.Errorf("make a client for resource definitions: %w", err)
	}
	definitions := client.Resource(crdResource)
	for _, crd := range all {
		if slices.Contains(r.There, crd.GetName()) {
			continue
		}
		if _, err := definitions.Create(ctx, crd, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create resource definition %s: %w", crd.GetName(), err)
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, m.options.Timeout, fmt.Errorf("not served after %s", m.options.Timeout))
	defer cancel()
	return kube.Until(ctx, lookEvery, func(ctx context.Context) (bool, string, error) {
		for _, name := range names {
			crd, err := definitions.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return false, "", fmt.Errorf("read resource definition %s: %w", name, err)
			}
			if !kube.HasCondition(crd, "Established") {
				return false, "resource definition " + name + " to be served", nil
			}
		}
		return true, "", nil
	})
}
