package ads

import (
	"bufio"
	"bytes"
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
)

// The numbers in this package are held against the generated code of Envoy's protocol.

func packed(t testing.TB, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequest(t *testing.T) {
	metadata, err := structpb.NewStruct(map[string]any{"NAMESPACE": "shop", "N": 1})
	if err != nil {
		t.Fatal(err)
	}
	own := &corev3.Node{Id: "sidecar~10.0.0.1~a.shop~shop.svc.cluster.local", Cluster: "a.shop", Metadata: metadata}
	rest := &corev3.Node{UserAgentName: "envoy", Extensions: []*corev3.Extension{{Name: "x", Category: "y", TypeUrls: []string{"z"}}}}
	long := string(bytes.Repeat([]byte("n"), 300)) // whose length takes two bytes
	r := request{
		node: [][]byte{marshal(t, own), marshal(t, rest)}, typeURL: EndpointType,
		subscribe: []string{"a", "b"}, unsubscribe: []string{"c"}, nonce: "7",
		initial: []resourceVersion{{"a", ""}, {long, "2"}},
	}
	got := &discoveryv3.DeltaDiscoveryRequest{}
	if err := proto.Unmarshal(r.message()[prefix:], got); err != nil {
		t.Fatal(err)
	}
	node := proto.Clone(own).(*corev3.Node)
	proto.Merge(node, rest)
	want := &discoveryv3.DeltaDiscoveryRequest{
		Node: node, TypeUrl: EndpointType, ResourceNamesSubscribe: []string{"a", "b"}, ResourceNamesUnsubscribe: []string{"c"},
		InitialResourceVersions: map[string]string{"a": "", long: "2"}, ResponseNonce: "7",
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

// sds is a secret's configuration: istiod's own, or the agent's.
func sds(name string, istiods bool) *tlsv3.SdsSecretConfig {
	source := &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_ApiConfigSource{ApiConfigSource: &corev3.ApiConfigSource{ApiType: corev3.ApiConfigSource_GRPC}}}
	if istiods {
		source = &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}}
	}
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: source}
}

func upstreamTLS(t testing.TB, c *tlsv3.CommonTlsContext) *corev3.TransportSocket {
	return &corev3.TransportSocket{Name: "tls", ConfigType: &corev3.TransportSocket_TypedConfig{TypedConfig: packed(t, &tlsv3.UpstreamTlsContext{CommonTlsContext: c, Sni: "x"})}}
}

func edsCluster(t testing.TB, name, service string) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name: name, ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
		EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{
			ServiceName: service, EdsConfig: &corev3.ConfigSource{ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}}},
		},
		TransportSocketMatches: []*clusterv3.Cluster_TransportSocketMatch{{Name: "m", TransportSocket: upstreamTLS(t, &tlsv3.CommonTlsContext{
			TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sds("default", false)},
			ValidationContextType: &tlsv3.CommonTlsContext_CombinedValidationContext{CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext: &tlsv3.CertificateValidationContext{}, ValidationContextSdsSecretConfig: sds("ROOTCA", false),
			}},
		})}},
	}
}

func manager(t testing.TB, route string, filters ...*hcmv3.HttpFilter) *listenerv3.Filter {
	return &listenerv3.Filter{Name: "hcm", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, &hcmv3.HttpConnectionManager{
		StatPrefix: "x", HttpFilters: filters,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{Rds: &hcmv3.Rds{RouteConfigName: route, ConfigSource: &corev3.ConfigSource{}}},
	})}}
}

func TestReferences(t *testing.T) {
	static := &clusterv3.Cluster{Name: "static", ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_STATIC}, EdsClusterConfig: &clusterv3.Cluster_EdsClusterConfig{ServiceName: "no"}}
	egress := edsCluster(t, "egress", "")
	egress.TransportSocket = upstreamTLS(t, &tlsv3.CommonTlsContext{
		TlsCertificateSdsSecretConfigs: []*tlsv3.SdsSecretConfig{sds("kubernetes://client", true)},
		ValidationContextType:          &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{ValidationContextSdsSecretConfig: sds("kubernetes://client-cacert", true)},
	})
	discovered := &hcmv3.HttpFilter{Name: "wasm", ConfigType: &hcmv3.HttpFilter_ConfigDiscovery{ConfigDiscovery: &corev3.ExtensionConfigSource{}}}
	listener := &listenerv3.Listener{
		Name: "l",
		ListenerFilters: []*listenerv3.ListenerFilter{{Name: "inspector", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: packed(t, &corev3.Node{})},
			FilterDisabled: &listenerv3.ListenerFilterChainMatchPredicate{Rule: &listenerv3.ListenerFilterChainMatchPredicate_AnyMatch{AnyMatch: true}}}},
		FilterChains: []*listenerv3.FilterChain{
			{Filters: []*listenerv3.Filter{manager(t, "80", discovered)}},
			{Filters: []*listenerv3.Filter{manager(t, "80")}}, // asked for once
			{Filters: []*listenerv3.Filter{{Name: "tcp", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: packed(t, &corev3.Node{Id: "no"})}}}},
		},
		DefaultFilterChain: &listenerv3.FilterChain{Filters: []*listenerv3.Filter{manager(t, "catch-all")}},
	}
	for _, c := range []struct {
		name                                   string
		message                                proto.Message
		endpoints, routes, extensions, secrets []string
	}{
		{"a Service", edsCluster(t, "outbound|80||a", "outbound|80||a"), []string{"outbound|80||a"}, nil, nil, nil},
		{"endpoints of another name", edsCluster(t, "a", "b"), []string{"b"}, nil, nil, nil},
		{"static", static, nil, nil, nil, nil},
		{"with secrets of istiod", egress, []string{"egress"}, nil, nil, []string{"kubernetes://client", "kubernetes://client-cacert"}},
		{"a listener", listener, nil, []string{"80", "catch-all"}, []string{"wasm"}, nil},
		{"a listener for TCP", &listenerv3.Listener{Name: "t", FilterChains: listener.FilterChains[2:]}, nil, nil, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := NewShared()
			a := packed(t, c.message)
			refs, err := s.references(a.TypeUrl, a.Value)
			if err != nil {
				t.Fatal(err)
			}
			if refs == nil {
				refs = &references{}
			}
			for what, lists := range map[string][2][]string{
				"endpoints": {s.names.of(refs.endpoints), c.endpoints}, "routes": {s.names.of(refs.routes), c.routes},
				"extensions": {s.names.of(refs.extensions), c.extensions}, "secrets": {s.names.of(refs.secrets), c.secrets},
			} {
				got, want := slices.Sorted(slices.Values(lists[0])), slices.Sorted(slices.Values(lists[1]))
				if !slices.Equal(got, want) {
					t.Errorf("%s %q, want %q", what, got, want)
				}
			}
			again, err := s.references(a.TypeUrl, a.Value)
			if err != nil || again != nil && len(again.endpoints) != len(refs.endpoints) {
				t.Errorf("the second time %v, %v", again, err)
			}
			if sent, read := s.Decoded(); sent != 2 || read != 1 {
				t.Errorf("%d were sent and %d read, want 2 and 1", sent, read)
			}
		})
	}
}

func TestResponse(t *testing.T) {
	big := edsCluster(t, "big", "big")
	big.AltStatName = string(bytes.Repeat([]byte("x"), 100<<10)) // more than the reader holds
	message := marshal(t, &discoveryv3.DeltaDiscoveryResponse{
		SystemVersionInfo: "v", TypeUrl: ClusterType, Nonce: "n1", RemovedResources: []string{"gone"},
		ControlPlane: &corev3.ControlPlane{Identifier: "istiod"},
		Resources: []*discoveryv3.Resource{
			{Name: "a", Version: "3", Resource: packed(t, edsCluster(t, "a", "a"))},
			{Name: "big", Resource: packed(t, big)},
		},
	})
	s := NewShared()
	d := decoder{shared: s}
	reader := bufio.NewReaderSize(bytes.NewReader(append(message, "next"...)), 16<<10)
	got, err := d.read(reader, len(message))
	if err != nil {
		t.Fatal(err)
	}
	if got.typeURL != ClusterType || got.nonce != "n1" || got.bytes != len(message) {
		t.Errorf("got %+v", got)
	}
	if names := s.names.of(got.removed); !slices.Equal(names, []string{"gone"}) {
		t.Errorf("removed %q", names)
	}
	for i, want := range []struct{ name, version string }{{"a", "3"}, {"big", ""}} {
		res := got.resources[i]
		if name := s.names.of([]uint32{res.name})[0]; name != want.name || res.version != want.version || res.refs == nil {
			t.Errorf("resource %d is %q of version %q with %v, want %+v", i, name, res.version, res.refs, want)
		}
	}
	if rest, _ := reader.Peek(4); string(rest) != "next" {
		t.Errorf("after the message comes %q", rest)
	}
	if d.done(); d.buffer != nil {
		t.Error("a large buffer is kept")
	}
}

// FuzzResponse: whatever comes is read to its end, or refused.
func FuzzResponse(f *testing.F) {
	cluster, listener := edsCluster(f, "a", "a"), &listenerv3.Listener{Name: "l", FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{manager(f, "80")}}}}
	f.Add(marshal(f, &discoveryv3.DeltaDiscoveryResponse{TypeUrl: ClusterType, Nonce: "n", Resources: []*discoveryv3.Resource{{Name: "a", Resource: packed(f, cluster)}}}))
	f.Add(marshal(f, &discoveryv3.DeltaDiscoveryResponse{TypeUrl: ListenerType, RemovedResources: []string{"x"}, Resources: []*discoveryv3.Resource{{Name: "l", Resource: packed(f, listener)}}}))
	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := NewShared()
		d := decoder{shared: s}
		got, err := d.read(bufio.NewReaderSize(bytes.NewReader(b), 64), len(b))
		if err != nil {
			return
		}
		for _, res := range got.resources {
			if res.name != 0 && len(s.names.of([]uint32{res.name})) != 1 {
				t.Error("a resource has no name")
			}
		}
	})
}
