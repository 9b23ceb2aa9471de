package light

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	mesh "istio.io/api/mesh/v1alpha1"
	"sigs.k8s.io/yaml"
)

// Proxy is a sidecar that is to be spoken for: what its container would be started with.
type Proxy struct {
	// ID tells it from others; the pod's uid.
	ID string
	// Namespace, Pod and IP are the pod's.
	Namespace, Pod, IP string
	// Args and Env are the container's, with all values filled in.
	Args, Env []string
	// Labels and Annotations are the pod's.
	Labels, Annotations map[string]string
	// Version is Istio's, as pilot-agent would name it.
	Version string
	// Envoy is the path of the one that the sidecar would run, which tells what it can do; ""
	// where there is none.
	Envoy string
	// Token is the pod's for istiod, and Roots are the certificates that istiod is trusted by,
	// PEM.
	Token string
	Roots []byte
	// Turn says which of several istiods is the first.
	Turn uint32
}

// settings are what pilot-agent makes of its container's environment (pilot/cmd/pilot-agent
// of istio.io/istio).
type settings struct {
	env         map[string]string
	proxyConfig *mesh.ProxyConfig
	domain      string
}

// defaultProxyConfig is mesh.DefaultProxyConfig of istio.io/istio/pkg/config/mesh.
func defaultProxyConfig() *mesh.ProxyConfig {
	return &mesh.ProxyConfig{
		ConfigPath:               "./etc/istio/proxy",
		ClusterName:              &mesh.ProxyConfig_ServiceCluster{ServiceCluster: "istio-proxy"},
		DrainDuration:            durationpb.New(45 * time.Second),
		TerminationDrainDuration: durationpb.New(5 * time.Second),
		ProxyAdminPort:           15000,
		ControlPlaneAuthPolicy:   mesh.AuthenticationPolicy_MUTUAL_TLS,
		DiscoveryAddress:         "istiod.istio-system.svc:15012",
		BinaryPath:               "/usr/local/bin/envoy",
		StatNameLength:           189,
		StatusPort:               15020,
	}
}

// proxyConfigAnnotation overrides parts of the proxy's configuration.
const proxyConfigAnnotation = "proxy.istio.io/config"

// read reads what the agent would of its container.
func (p *Proxy) read() (*settings, error) {
	s := &settings{env: map[string]string{}, proxyConfig: defaultProxyConfig(), domain: p.Namespace + ".svc.cluster.local"}
	for _, v := range p.Env {
		name, value, _ := strings.Cut(v, "=")
		s.env[name] = value
	}
	for i, arg := range p.Args {
		if name, value, ok := strings.Cut(arg, "="); ok && name == "--domain" {
			s.domain = value
		} else if arg == "--domain" && i+1 < len(p.Args) {
			s.domain = p.Args[i+1]
		}
	}
	for _, text := range []string{s.env["PROXY_CONFIG"], p.Annotations[proxyConfigAnnotation]} {
		if err := merge(s.proxyConfig, text); err != nil {
			return nil, fmt.Errorf("read the proxy's configuration: %w", err)
		}
	}
	// As pilot-agent: the limit of CPUs says how many threads, unless the configuration does.
	if limit, err := strconv.Atoi(s.env["ISTIO_CPU_LIMIT"]); err == nil && limit != 0 && s.proxyConfig.Concurrency == nil {
		s.proxyConfig.Concurrency = wrapperspb.Int32(int32(limit))
	}
	if _, _, err := net.SplitHostPort(s.proxyConfig.DiscoveryAddress); err != nil {
		return nil, fmt.Errorf("read the address of istiod: %w", err)
	}
	return s, nil
}

// merge lays fields that a text names, YAML or JSON, over a configuration. Maps are added to.
func merge(config *mesh.ProxyConfig, text string) error {
	if strings.TrimSpace(text) == "" {
		return nil
	}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return err
	}
	over := &mesh.ProxyConfig{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, over); err != nil {
		return err
	}
	metadata := maps.Clone(config.ProxyMetadata)
	// Lists are replaced, where proto.Merge would add to them.
	var named map[string]any
	if err := json.Unmarshal(data, &named); err != nil {
		return err
	}
	fields := config.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); f.IsList() && named[f.JSONName()] != nil {
			config.ProtoReflect().Clear(f)
		}
	}
	proto.Merge(config, over)
	for name, value := range metadata {
		if _, set := over.ProxyMetadata[name]; !set {
			config.ProxyMetadata[name] = value
		}
	}
	return nil
}

// duration is an environment variable's; or when it is not set or cannot be read.
func (s *settings) duration(name string, or time.Duration) time.Duration {
	if d, err := time.ParseDuration(s.env[name]); err == nil {
		return d
	}
	return or
}

func (s *settings) ratio(name string, or float64) float64 {
	if r, err := strconv.ParseFloat(s.env[name], 64); err == nil {
		return r
	}
	return or
}

func (s *settings) is(name string) bool {
	b, err := strconv.ParseBool(s.env[name])
	return err == nil && b
}

const (
	metaPrefix     = "ISTIO_META_"
	metaJSONPrefix = "ISTIO_METAJSON_"
	// hashLabel is left out of a node's labels.
	hashLabel = "pod-template-hash"
)

// metadata is a node's, as GetNodeMetaData of istio.io/istio/pkg/bootstrap makes it of the
// environment and of the pod's labels and annotations.
func (p *Proxy) metadata(s *settings) (map[string]any, error) {
	meta := map[string]any{}
	for name, value := range s.proxyConfig.ProxyMetadata {
		if key, ok := strings.CutPrefix(name, metaPrefix); ok {
			meta[key] = value
		}
	}
	var static map[string]any
	for _, v := range p.Env {
		name, value, _ := strings.Cut(v, "=")
		if key, ok := strings.CutPrefix(name, metaPrefix); ok {
			meta[key] = value
		}
		if strings.HasPrefix(name, metaJSONPrefix) {
			var parts map[string]any
			if err := json.Unmarshal([]byte(value), &parts); err != nil {
				continue // the agent warns, and goes on
			}
			maps.Copy(meta, parts)
			if name == metaJSONPrefix+"LABELS" {
				static = parts
			}
		}
	}
	normalizePorts(meta)
	if meta["ISTIO_VERSION"] == nil {
		meta["ISTIO_VERSION"] = p.Version
	}
	meta["INSTANCE_IPS"] = p.IP
	meta["ENVOY_STATUS_PORT"], meta["ENVOY_PROMETHEUS_PORT"] = port(s.env["ENVOY_STATUS_PORT"], 15021), port(s.env["ENVOY_PROMETHEUS_PORT"], 15090)
	for name, key := range map[string]string{"POD_NAME": "NAME", "POD_NAMESPACE": "NAMESPACE", "SERVICE_ACCOUNT": "SERVICE_ACCOUNT"} {
		if value := s.env[name]; value != "" {
			meta[key] = value
		}
	}
	for name, key := range map[string]string{"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "EXIT_ON_ZERO_ACTIVE_CONNECTIONS", "PEER_METADATA_DISCOVERY": "PEER_METADATA_DISCOVERY"} {
		if s.is(name) {
			meta[key] = "true"
		}
	}
	labels := map[string]any{}
	if static != nil {
		maps.Copy(labels, static)
		meta["STATIC_LABELS"] = static
	}
	for key, value := range p.Labels {
		if key != hashLabel {
			labels[key] = value
		}
	}
	meta["LABELS"] = labels
	annotations, _ := meta["ANNOTATIONS"].(map[string]any)
	if annotations == nil {
		annotations = map[string]any{}
	}
	for key, value := range p.Annotations {
		annotations[key] = value
	}
	meta["ANNOTATIONS"] = annotations
	if s.proxyConfig.ControlPlaneAuthPolicy == mesh.AuthenticationPolicy_MUTUAL_TLS {
		meta["PILOT_SAN"] = []any{pilotSAN(s.proxyConfig.DiscoveryAddress)}
	}
	text, err := protojson.Marshal(s.proxyConfig)
	if err != nil {
		return nil, fmt.Errorf("write the proxy's configuration: %w", err)
	}
	var config map[string]any
	if err := json.Unmarshal(text, &config); err != nil {
		return nil, err
	}
	meta["PROXY_CONFIG"] = config
	return meta, nil
}

// pilotSAN is the name that istiod's certificate must have.
func pilotSAN(discovery string) string {
	host, _, _ := strings.Cut(discovery, ":")
	if host == "localhost" {
		return "istiod.istio-system.svc"
	}
	return host
}

func port(text string, or int) float64 {
	if n, err := strconv.Atoi(text); err == nil {
		return float64(n)
	}
	return float64(or)
}

// normalizePorts writes the pod's ports as pilot-agent does that has read them; without any,
// they stay as they are.
func normalizePorts(meta map[string]any) {
	text, ok := meta["POD_PORTS"].(string)
	if !ok {
		return
	}
	var ports []struct {
		Name          string `json:"name,omitempty"`
		ContainerPort int    `json:"containerPort"`
		Protocol      string `json:"protocol"`
	}
	if json.Unmarshal([]byte(text), &ports) != nil || len(ports) == 0 {
		return
	}
	if normal, err := json.Marshal(ports); err == nil {
		meta["POD_PORTS"] = string(normal)
	}
}

// cluster is the name that an Envoy has for itself (getServiceCluster of
// istio.io/istio/pkg/bootstrap).
func (p *Proxy) cluster(s *settings) string {
	or := func(name string) string {
		workload := s.env[metaPrefix+"WORKLOAD_NAME"]
		app, labelled := p.Labels["app"]
		switch {
		case name != "" && name != "istio-proxy":
			return name
		case labelled:
			return app + "." + p.Namespace
		case workload != "":
			return workload + "." + p.Namespace
		}
		return "istio-proxy." + p.Namespace
	}
	canonical := p.Labels["service.istio.io/canonical-name"]
	for _, label := range []string{"app.kubernetes.io/name", "app"} {
		if canonical == "" {
			canonical = p.Labels[label]
		}
	}
	if canonical == "" {
		canonical = s.env[metaPrefix+"WORKLOAD_NAME"]
	}
	switch name := s.proxyConfig.ClusterName.(type) {
	case *mesh.ProxyConfig_ServiceCluster:
		return or(name.ServiceCluster)
	case *mesh.ProxyConfig_TracingServiceName_:
		switch name.TracingServiceName {
		case mesh.ProxyConfig_CANONICAL_NAME_ONLY:
			return or(canonical)
		case mesh.ProxyConfig_CANONICAL_NAME_AND_NAMESPACE:
			return canonical + "." + p.Namespace
		}
	}
	return or("istio-proxy")
}

// node is the pod's own part of its envoy.config.core.v3.Node, marshalled; what its Envoy is
// follows it ([describe]).
func (p *Proxy) node(s *settings) ([]byte, error) {
	meta, err := p.metadata(s)
	if err != nil {
		return nil, err
	}
	fields, err := structpb.NewStruct(meta)
	if err != nil {
		return nil, fmt.Errorf("write the node's metadata: %w", err)
	}
	metadata, err := proto.Marshal(fields)
	if err != nil {
		return nil, fmt.Errorf("write the node's metadata: %w", err)
	}
	id := strings.Join([]string{"sidecar", p.IP, p.Pod + "." + p.Namespace, s.domain}, "~")
	b := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id)
	b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), p.cluster(s))
	b = protowire.AppendBytes(protowire.AppendTag(b, 3, protowire.BytesType), metadata)
	return protowire.AppendBytes(protowire.AppendTag(b, 4, protowire.BytesType), p.locality()), nil
}

// localityLabel overrides where a pod is.
const localityLabel = "istio-locality"

// locality is a marshalled envoy.config.core.v3.Locality: by the pod's label alone, since no
// cloud's metadata are at hand in the embedded cluster.
func (p *Proxy) locality() (b []byte) {
	parts := strings.SplitN(strings.ReplaceAll(p.Labels[localityLabel], ".", "/"), "/", 3)
	for i, part := range parts {
		if part != "" {
			b = protowire.AppendString(protowire.AppendTag(b, protowire.Number(i+1), protowire.BytesType), part)
		}
	}
	return b
}
