package knative

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/meshbench/meshbench/harness/kube"
	"github.com/meshbench/meshbench/harness/readiness"
)

// objects are what Knative Serving is made of, in the order in which it is applied.
type objects []*unstructured.Unstructured

// Releases are Knative's, 1.15.2, and the versions of its Go module, 0.42.2, are behind
// them by so many minor versions from Knative 1.0 on, which was 0.27.
const minorsBehind = 27

// release is Knative's release for a version of its module.
func release(module string) (string, error) {
	v, err := version.ParseSemantic(module)
	if err != nil || v.Major() != 0 || v.Minor() < minorsBehind {
		return "", fmt.Errorf("Knative Serving %q: name a version of module knative.dev/serving, e.g. 0.42.2", module)
	}
	return fmt.Sprintf("1.%d.%d", v.Minor()-minorsBehind, v.Patch()), nil
}

// moduleVersion is the module's version for a release, as a label has it; what is no
// release stays as it is.
func moduleVersion(label string) string {
	v, err := version.ParseSemantic(label)
	if err != nil || v.Major() != 1 {
		return strings.TrimPrefix(label, "v")
	}
	return fmt.Sprintf("0.%d.%d", v.Minor()+minorsBehind, v.Patch())
}

// importPath is an image as the sources name it, by the Go package that is built into it.
var importPath = regexp.MustCompile(`ko://([a-z0-9./-]+)`)

// readFolder reads the sources' configuration and gives it the labels and the images'
// names of a release.
func readFolder(folder, module string) (objects, error) {
	knative, err := release(module)
	if err != nil {
		return nil, err
	}
	var all objects
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text = bytes.ReplaceAll(text, []byte(versionLabel+": devel"), []byte(versionLabel+`: "`+knative+`"`))
		text = importPath.ReplaceAll(text, []byte("gcr.io/knative-releases/${1}:v"+knative))
		some, err := decode(text)
		all = append(all, some...)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the configuration of Knative Serving: %w", err)
	}
	return all.check(folder)
}

func readFile(path string) (objects, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the manifest of Knative Serving: %w", err)
	}
	return readManifest(path, text)
}

func readManifest(place string, text []byte) (objects, error) {
	all, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", place, err)
	}
	return all.check("manifest " + place)
}

func isURL(place string) bool { return strings.Contains(place, "://") }

// maxManifest is far more than a manifest has: that of Knative 1.15 has 0.5 MiB.
const maxManifest = 32 << 20

// download reads a manifest at a URL.
func download(ctx context.Context, url string) (objects, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Minute, errors.New("no answer in two minutes"))
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("manifest %s: %w", url, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("download the manifest of Knative Serving: %w; a file can be named instead", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("download the manifest of Knative Serving: %s answers %s", url, response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxManifest))
	if err != nil {
		return nil, fmt.Errorf("download the manifest of Knative Serving: %w", err)
	}
	return readManifest(url, text)
}

// decode reads the objects of a manifest that are to be applied.
func decode(text []byte) (objects, error) {
	all, err := kube.Decode(text)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(o *unstructured.Unstructured) bool { return !wanted(o) }), nil
}

// wanted leaves out what changes the number of Knative's own pods or keeps them from being
// moved, which would be seen in what is measured, and objects of Knative's own kinds: they
// are of use for pulling images and for encryption only, and cannot be made before
// Knative runs.
func wanted(o *unstructured.Unstructured) bool {
	switch o.GetKind() {
	case "HorizontalPodAutoscaler", "PodDisruptionBudget":
		return false
	}
	return !strings.HasSuffix(o.GroupVersionKind().Group, ".knative.dev")
}

// definition is the kind of what makes Knative's kinds known to the API server.
const definition = "CustomResourceDefinition"

// rank is the order in which kinds are applied: the programs find all they read at their
// start, and config maps are made before there is a webhook that wants to check them.
func rank(o *unstructured.Unstructured) int {
	switch o.GetKind() {
	case "Namespace":
		return 0
	case definition:
		return 2
	case "ConfigMap", "Secret":
		return 3
	case "Service":
		return 4
	case "Deployment":
		return 5
	case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
		return 6
	}
	return 1 // roles and accounts
}

// check puts the objects into order and says what is missing for a Knative Serving.
func (all objects) check(place string) (objects, error) {
	slices.SortStableFunc(all, func(a, b *unstructured.Unstructured) int { return cmp.Compare(rank(a), rank(b)) })
	for _, name := range deployments {
		if all.find("Deployment", name) == nil {
			return nil, fmt.Errorf("%s holds no Deployment %s of namespace %s: name a manifest with all of Knative Serving, e.g. the release's serving-core.yaml", place, name, Namespace)
		}
	}
	if all.find(definition, "services.serving.knative.dev") == nil {
		return nil, fmt.Errorf("%s holds no definition of Knative Services: name a manifest with all of Knative Serving, e.g. the release's serving-core.yaml", place)
	}
	return all, nil
}

// find is the object of that kind and name, in Knative's namespace where it has one; nil
// when there is none.
func (all objects) find(kind, name string) *unstructured.Unstructured {
	for _, o := range all {
		if o.GetKind() == kind && o.GetName() == name && (o.GetNamespace() == Namespace || o.GetNamespace() == "") {
			return o
		}
	}
	return nil
}

// set changes data of config maps, later layers over earlier ones.
func (all objects) set(layers ...map[string]map[string]string) error {
	for name, data := range merge(layers...) {
		m := all.find("ConfigMap", name)
		if m == nil {
			var known []string
			for _, o := range all {
				if o.GetKind() == "ConfigMap" {
					known = append(known, o.GetName())
				}
			}
			return fmt.Errorf("Knative Serving has no config map %s: it has %s", name, strings.Join(known, ", "))
		}
		for key, value := range data {
			if err := unstructured.SetNestedField(m.Object, value, "data", key); err != nil {
				return fmt.Errorf("set %s of config map %s: %w", key, name, err)
			}
		}
	}
	return nil
}

func merge(layers ...map[string]map[string]string) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, layer := range layers {
		for name, data := range layer {
			if all[name] == nil {
				all[name] = map[string]string{}
			}
			maps.Copy(all[name], data)
		}
	}
	return all
}

// apply puts all objects into the cluster.
func (k *Knative) apply(ctx context.Context) error {
	if k.objects == nil {
		k.options.Progress("downloading " + k.options.Manifest)
		all, err := download(ctx, k.options.Manifest)
		if err == nil {
			err = all.set(DefaultSettings(), k.options.Settings)
		}
		if err != nil {
			return err
		}
		k.objects = all
	}
	last := ""
	for _, o := range k.objects {
		if last == definition && o.GetKind() != definition {
			if err := k.waitEstablished(ctx); err != nil {
				return err
			}
		}
		last = o.GetKind()
		k.options.Progress("applying " + o.GetKind() + " " + o.GetName())
		if err := k.client.Apply(ctx, marked(o)); err != nil {
			return err
		}
	}
	return nil
}

// marked is the object as it is applied: a namespace says that this package made it.
func marked(o *unstructured.Unstructured) *unstructured.Unstructured {
	if o.GetKind() != "Namespace" {
		return o
	}
	o = o.DeepCopy()
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[createdLabel] = "true"
	o.SetLabels(labels)
	return o
}

// waitEstablished waits until the API server serves all of Knative's kinds: a program that
// starts before that gives up.
func (k *Knative) waitEstablished(ctx context.Context) error {
	return k.installation().Await(ctx, func(ctx context.Context) error {
		for _, o := range k.objects {
			if o.GetKind() != definition {
				continue
			}
			definitions, err := k.client.Resource(o.GroupVersionKind(), "")
			if err != nil {
				return err
			}
			found, err := definitions.Get(ctx, o.GetName(), metav1.GetOptions{})
			if err != nil {
				return readiness.Unreadyf("reading definition %s: %v", o.GetName(), err)
			}
			if !kube.HasCondition(found, "Established") {
				return readiness.Unreadyf("%s is not served yet", o.GetName())
			}
		}
		return nil
	})
}
