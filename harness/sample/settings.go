package sample

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	klabels "k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/meshbench/meshbench/meshfacts"
	"github.com/meshbench/meshbench/observations"
	"github.com/meshbench/meshbench/scenarios"
)

// Settings are what a running istiod was told, as far as its pushes depend on it.
type Settings struct {
	// DebounceAfter and DebounceMax are PILOT_DEBOUNCE_AFTER and PILOT_DEBOUNCE_MAX.
	DebounceAfter, DebounceMax time.Duration
	// UncountedEndpoints tells that endpoints are pushed without a debounce, which
	// pilot_debounce_time does not count (PILOT_ENABLE_EDS_DEBOUNCE=false).
	UncountedEndpoints bool
	// Revision is that of the configuration it reads; "" for all.
	Revision string
	// Selectors select the namespaces whose objects it reads (discoverySelectors); none for
	// all.
	Selectors []klabels.Selector
	// Drain and TerminationDrain are the proxies' drainDuration and
	// terminationDrainDuration; 0 where the mesh's configuration does not say.
	Drain, TerminationDrain time.Duration
	// Unknown says in words what could not be read and what is taken for it.
	Unknown []string
}

// SameObjects tells whether an istiod with other settings reads the same objects.
func (s Settings) SameObjects(other Settings) bool {
	return s.Revision == other.Revision && slices.EqualFunc(s.Selectors, other.Selectors, func(a, b klabels.Selector) bool { return a.String() == b.String() })
}

// Settings reads what an istiod was told: its container's environment, and the mesh's
// configuration. What cannot be read is said in Unknown; an unknown debounce is taken as
// the default of the longest, 10 s.
func (s *Sampler) Settings(ctx context.Context, pod types.NamespacedName) (Settings, error) {
	p, err := s.kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	if err != nil {
		return Settings{}, fmt.Errorf("read the pod of istiod: %w", err)
	}
	settings := Settings{DebounceAfter: scenarios.DefaultDebounceAfter, DebounceMax: scenarios.DefaultDebounceMax}
	i := slices.IndexFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == observations.IstiodContainer })
	if i < 0 {
		return Settings{}, fmt.Errorf("pod %s has no container %s", pod, observations.IstiodContainer)
	}
	env := environment{s, pod.Namespace, &p.Spec.Containers[i], &settings.Unknown}
	env.duration(ctx, "PILOT_DEBOUNCE_AFTER", &settings.DebounceAfter)
	env.duration(ctx, "PILOT_DEBOUNCE_MAX", &settings.DebounceMax)
	if text, ok := env.value(ctx, "PILOT_ENABLE_EDS_DEBOUNCE"); ok {
		enabled, err := strconv.ParseBool(text)
		settings.UncountedEndpoints = err == nil && !enabled
	}
	settings.Revision, _ = env.value(ctx, "REVISION")
	s.meshConfig(ctx, pod.Namespace, &settings)
	return settings, nil
}

// meshConfig reads the mesh's configuration where istiod does
// (pilot/pkg/bootstrap/mesh.go).
func (s *Sampler) meshConfig(ctx context.Context, namespace string, settings *Settings) {
	name := "istio"
	if r := settings.Revision; r != "" && r != "default" {
		name += "-" + r
	}
	unknown := func(err error) {
		settings.Unknown = append(settings.Unknown, fmt.Sprintf("the mesh's configuration, ConfigMap %s/%s: %v; taken as Istio's defaults", namespace, name, err))
	}
	config, err := s.kube.CoreV1().ConfigMaps(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		unknown(err)
		return
	}
	var mesh map[string]any
	if err := yaml.Unmarshal([]byte(config.Data["mesh"]), &mesh); err != nil {
		unknown(err)
		return
	}
	if settings.Selectors, err = meshfacts.DiscoverySelectors(mesh); err != nil {
		unknown(err)
		return
	}
	proxies, _ := meshfacts.Field(mesh, "defaultConfig").(map[string]any)
	duration := func(name string) (d time.Duration) {
		if text, ok := meshfacts.Field(proxies, name).(string); ok {
			d, _ = time.ParseDuration(text) // one that Istio takes, Go takes as well
		}
		return d
	}
	settings.Drain, settings.TerminationDrain = duration("drainDuration"), duration("terminationDrainDuration")
}

// environment is a container's.
type environment struct {
	sampler   *Sampler
	namespace string
	container *corev1.Container
	unknown   *[]string
}

// duration sets a duration to that of a variable, or where it cannot be known to the
// default of the longest.
func (e environment) duration(ctx context.Context, name string, to *time.Duration) {
	before := len(*e.unknown)
	text, ok := e.value(ctx, name)
	switch d, err := time.ParseDuration(text); {
	case len(*e.unknown) > before:
		*to = scenarios.DefaultDebounceMax
	case ok && err == nil: // Istio takes its default for what it cannot read
		*to = d
	}
}

// value is that of a variable, and whether it is set. One that comes from where it cannot
// be read is noted as unknown.
func (e environment) value(ctx context.Context, name string) (string, bool) {
	for _, v := range slices.Backward(e.container.Env) {
		if v.Name != name {
			continue
		}
		if v.ValueFrom == nil {
			return v.Value, true
		}
		ref := v.ValueFrom.ConfigMapKeyRef
		if ref == nil {
			e.missing(name, "it does not come from a ConfigMap")
			return "", false
		}
		return e.fromConfigMap(ctx, name, ref.Name, ref.Key)
	}
	for _, from := range slices.Backward(e.container.EnvFrom) {
		key, prefixed := strings.CutPrefix(name, from.Prefix)
		if from.ConfigMapRef == nil || !prefixed {
			continue
		}
		if text, ok := e.fromConfigMap(ctx, name, from.ConfigMapRef.Name, key); ok {
			return text, true
		}
	}
	return "", false
}

func (e environment) fromConfigMap(ctx context.Context, name, configMap, key string) (string, bool) {
	m, err := e.sampler.kube.CoreV1().ConfigMaps(e.namespace).Get(ctx, configMap, metav1.GetOptions{})
	if err != nil {
		e.missing(name, err.Error())
		return "", false
	}
	text, ok := m.Data[key]
	return text, ok
}

func (e environment) missing(name, why string) {
	*e.unknown = append(*e.unknown, fmt.Sprintf("%s of istiod is not known: %s; taken as %s where it is a debounce", name, why, scenarios.DefaultDebounceMax))
}
