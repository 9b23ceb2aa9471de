package ads

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"maps"
	"math/big"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// peer is the other side, of the libraries that istiod is made of: gRPC and the generated
// code. It answers what the test tells it to.
type peer struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	t       *testing.T
	address string
	roots   *x509.CertPool
	streams chan *peerStream

	mu    sync.Mutex
	csrs  []string // the calls' tokens
	valid time.Duration
	key   *ecdsa.PrivateKey
	root  *x509.Certificate
}

// peerStream is one stream of a client.
type peerStream struct {
	discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	t     *testing.T
	asked chan *discoveryv3.DeltaDiscoveryRequest
	end   chan error
}

func newPeer(t *testing.T) *peer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, DNSNames: []string{"istiod.istio-system.svc"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, address: listener.Addr().String(), roots: x509.NewCertPool(), streams: make(chan *peerStream, 8), key: key, root: root, valid: time.Hour}
	p.roots.AddCert(root)
	server := grpc.NewServer(
		grpc.Creds(credentials.NewServerTLSFromCert(&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})),
		grpc.UnknownServiceHandler(p.sign))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, p)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return p
}

// DeltaAggregatedResources serves a stream until the test ends it.
func (p *peer) DeltaAggregatedResources(s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	stream := &peerStream{s, p.t, make(chan *discoveryv3.DeltaDiscoveryRequest, 64), make(chan error, 1)}
	p.streams <- stream
	go func() {
		for {
			r, err := s.Recv()
			if err != nil {
				return
			}
			stream.asked <- r
		}
	}()
	select {
	case err := <-stream.end:
		return err
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

// sign answers certificate requests with a certificate of the peer's own key.
func (p *peer) sign(_ any, s grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(s)
	if method != signMethod {
		return status.Error(codes.Unimplemented, method)
	}
	md, _ := metadata.FromIncomingContext(s.Context())
	// Field 1 of both messages, a request and its answer, is text: so it is in a StringValue.
	request := &wrapperspb.StringValue{}
	if err := s.RecvMsg(request); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.csrs = append(p.csrs, strings.Join(md.Get("authorization"), ","))
	block, _ := pem.Decode([]byte(request.Value))
	if block == nil {
		return status.Error(codes.InvalidArgument, "no PEM")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil || csr.CheckSignature() != nil {
		return status.Errorf(codes.InvalidArgument, "bad request: %v", err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(int64(1 + len(p.csrs))), NotBefore: time.Now(), NotAfter: time.Now().Add(p.valid), URIs: csr.URIs}
	der, err := x509.CreateCertificate(rand.Reader, template, p.root, csr.PublicKey, p.key)
	if err != nil {
		return err
	}
	// And in a FieldMask it is a list of texts.
	return s.SendMsg(&fieldmaskpb.FieldMask{Paths: []string{
		string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.root.Raw})),
	}})
}

// next is the next request, in which no acknowledgement may stand but those of the types.
func (s *peerStream) next() *discoveryv3.DeltaDiscoveryRequest {
	s.t.Helper()
	select {
	case r := <-s.asked:
		return r
	case <-time.After(10 * time.Second):
		s.t.Fatal("the client asks for nothing more")
		return nil
	}
}

// asks reads requests of types, in any order, and returns them by type.
func (s *peerStream) asks(n int) map[string]*discoveryv3.DeltaDiscoveryRequest {
	s.t.Helper()
	all := map[string]*discoveryv3.DeltaDiscoveryRequest{}
	for range n {
		r := s.next()
		key := r.TypeUrl
		if r.ResponseNonce != "" {
			key = "ack " + r.ResponseNonce
		}
		all[key] = r
	}
	return all
}

func (s *peerStream) silent() {
	s.t.Helper()
	select {
	case r := <-s.asked:
		s.t.Fatalf("the client asks for %v", r)
	case <-time.After(50 * time.Millisecond):
	}
}

func (s *peerStream) answer(typeURL, nonce string, removed []string, messages ...proto.Message) {
	s.t.Helper()
	r := &discoveryv3.DeltaDiscoveryResponse{TypeUrl: typeURL, Nonce: nonce, RemovedResources: removed}
	for _, m := range messages {
		named := m.(interface{ GetName() string })
		r.Resources = append(r.Resources, &discoveryv3.Resource{Name: named.GetName(), Version: "v" + nonce, Resource: packed(s.t, m)})
	}
	if err := s.Send(r); err != nil {
		s.t.Fatal(err)
	}
}

// named is a resource of which only the name matters.
func named(name string) proto.Message { return &corev3.TypedExtensionConfig{Name: name} }

func httpListener(t *testing.T, name string, routes ...string) proto.Message {
	l := &listenerv3.Listener{Name: name}
	for _, r := range routes {
		l.FilterChains = append(l.FilterChains, &listenerv3.FilterChain{Filters: []*listenerv3.Filter{manager(t, r)}})
	}
	return l
}

// running is a client of a peer that runs until the test ends.
func running(t *testing.T, p *peer, change func(*Config)) (*Client, *Shared) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	config := Config{
		Name: "shop/cart-0", Address: func(int) (string, error) { return p.address, nil }, ServerName: "istiod.istio-system.svc",
		TLS:    func() (*tls.Config, error) { return &tls.Config{RootCAs: p.roots, MinVersion: tls.VersionTLS12}, nil },
		Token:  func() string { return "token" },
		Header: http.Header{"Clusterid": {"Kubernetes"}}, Node: [][]byte{marshal(t, &corev3.Node{Id: "sidecar~10.0.0.1~cart-0.shop~x"})},
		Certificate: &Certificate{Key: key, Identity: "spiffe://cluster.local/ns/shop/sa/cart", Lifetime: time.Hour, GraceRatio: 0.5},
		Changed:     func() {},
	}
	if change != nil {
		change(&config)
	}
	shared := NewShared()
	c := New(config, shared)
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() { c.Run(ctx) })
	t.Cleanup(func() { cancel(); ended.Wait() })
	return c, shared
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("never: " + what)
		}
	}
}

// TestClient follows a client from its first request on: what it asks for when, what it
// acknowledges, and what it says of itself.
func TestClient(t *testing.T) {
	p := newPeer(t)
	c, shared := running(t, p, func(c *Config) { c.NameTable, c.ProxyConfig, c.Drain = true, true, 30*time.Millisecond })
	s := <-p.streams
	md, _ := metadata.FromIncomingContext(s.Context())
	if token, cluster := md.Get("authorization"), md.Get("clusterid"); !slices.Equal(token, []string{"Bearer token"}) || !slices.Equal(cluster, []string{"Kubernetes"}) {
		t.Errorf("the call has %q and %q", token, cluster)
	}
	first := s.next()
	if first.TypeUrl != ClusterType || first.Node.GetId() == "" || len(first.ResourceNamesSubscribe) > 0 {
		t.Fatalf("first it asks for %v", first)
	}
	s.silent() // until it knows which endpoints there are

	shared.Watch(EndpointType, "a")
	s.answer(ClusterType, "1", nil, edsCluster(t, "a", "a"), edsCluster(t, "b", "b"))
	asked := s.asks(2)
	if r := asked[EndpointType]; r == nil || !slices.Equal(slices.Sorted(slices.Values(r.ResourceNamesSubscribe)), []string{"a", "b"}) || r.Node != nil || asked["ack 1"] == nil {
		t.Fatalf("after clusters it asks for %v", asked)
	}
	s.silent() // an Envoy wants its clusters warm before it asks for listeners
	if c.State().Ready {
		t.Error("it is ready without listeners")
	}
	s.answer(EndpointType, "2", nil, named("a"), named("b"))
	asked = s.asks(4)
	if asked["ack 2"] == nil || asked[ListenerType] == nil || asked[NameTableType] == nil || asked[ProxyConfigType] == nil {
		t.Fatalf("after endpoints it asks for %v", asked)
	}
	s.answer(ListenerType, "3", nil, httpListener(t, "0.0.0.0_80", "80"), httpListener(t, "0.0.0.0_90", "90", "80"))
	asked = s.asks(2)
	if r := asked[RouteType]; r == nil || !slices.Equal(r.ResourceNamesSubscribe, []string{"80", "90"}) || asked["ack 3"] == nil {
		t.Fatalf("after listeners it asks for %v", asked)
	}
	s.answer(NameTableType, "4", nil)
	s.silent() // an agent passes over an empty one
	s.answer(RouteType, "5", nil, named("80"), named("90"))
	s.asks(1)
	eventually(t, "ready", func() bool { state := c.State(); return state.Ready && state.Connected && state.Pending == 1 })

	// Another cluster is asked for by its name alone, and one that goes is let go of.
	s.answer(ClusterType, "6", []string{"b"}, edsCluster(t, "c", "c"))
	asked = s.asks(2)
	r := asked[EndpointType]
	if r == nil || !slices.Equal(r.ResourceNamesSubscribe, []string{"c"}) || !slices.Equal(r.ResourceNamesUnsubscribe, []string{"b"}) {
		t.Fatalf("after a change of clusters it asks for %v", asked)
	}
	// A listener that goes drains first.
	s.answer(ListenerType, "7", []string{"0.0.0.0_90"})
	if r := s.next(); r.ResponseNonce != "7" {
		t.Fatalf("after a listener has gone it asks for %v", r)
	}
	if r := s.next(); r.TypeUrl != RouteType || !slices.Equal(r.ResourceNamesUnsubscribe, []string{"90"}) || len(r.ResourceNamesSubscribe) > 0 {
		t.Fatalf("after the drain it asks for %v", r)
	}
	if held := c.Held(); !slices.Equal(held[ClusterType], []string{"a", "c"}) || !slices.Equal(held[RouteType], []string{"80"}) {
		t.Errorf("it has %v", held)
	}
	if at, watching := shared.Acknowledged(EndpointType, "a", time.Now().Add(-time.Minute)); !watching || len(at) != 1 || at["shop/cart-0"].IsZero() {
		t.Errorf("a was acknowledged at %v", at)
	}
	if at, _ := shared.Acknowledged(EndpointType, "a", time.Now()); len(at) > 0 {
		t.Errorf("since now, a was acknowledged at %v", at)
	}
	total, held := Counts{Responses: map[string]int64{}, Bytes: map[string]int64{}, Resources: map[string]int64{}}, map[string]int64{}
	c.Counts(&total, held)
	if total.Responses[ClusterType] != 2 || total.Resources[ClusterType] != 3 || total.Certificates != 1 || total.Streams != 1 || held[ClusterType] != 2 {
		t.Errorf("it counts %+v and %v", total, held)
	}
}

// TestReconnect: a new stream begins with all that was asked for, and with what is there.
func TestReconnect(t *testing.T) {
	p := newPeer(t)
	var mu sync.Mutex
	token := "first"
	c, _ := running(t, p, func(c *Config) {
		c.Token = func() string {
			mu.Lock()
			defer mu.Unlock()
			return token
		}
	})
	s := <-p.streams
	s.next()
	s.answer(ClusterType, "1", nil, edsCluster(t, "a", "a"))
	s.asks(2)
	s.answer(EndpointType, "2", nil, named("a"))
	s.asks(2)
	s.answer(ListenerType, "3", nil, httpListener(t, "l", "80"))
	s.asks(2)
	eventually(t, "a certificate", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.csrs) > 0 })
	mu.Lock()
	token = "second"
	mu.Unlock()
	s.end <- status.Error(codes.Unavailable, "istiod goes")
	eventually(t, "the end", func() bool {
		state := c.State()
		return !state.Connected && strings.Contains(state.Error, "istiod goes")
	})

	s = <-p.streams
	if md, _ := metadata.FromIncomingContext(s.Context()); !slices.Equal(md.Get("authorization"), []string{"Bearer second"}) {
		t.Errorf("the second call has %q", md.Get("authorization"))
	}
	asked := s.asks(4)
	for typeURL, want := range map[string]struct {
		names   []string
		initial map[string]string
	}{
		ClusterType:  {nil, map[string]string{"a": "v1"}},
		EndpointType: {[]string{"a"}, map[string]string{"a": "v2"}},
		ListenerType: {nil, map[string]string{"l": "v3"}},
		RouteType:    {[]string{"80"}, nil}, // which never came
	} {
		r := asked[typeURL]
		if r == nil || !slices.Equal(r.ResourceNamesSubscribe, want.names) || !maps.Equal(r.InitialResourceVersions, want.initial) || r.ResponseNonce != "" {
			t.Errorf("again it asks for %v, want %+v", r, want)
		}
		if (typeURL == ClusterType) != (r.GetNode() != nil) {
			t.Errorf("the node stands in %v", r)
		}
	}
	if state := c.State(); state.Ready {
		t.Error("it is ready without routes")
	}
	s.answer(RouteType, "4", nil, named("80"))
	eventually(t, "ready", func() bool { return c.State().Ready })
}

// TestCertificate: one is asked for at once, and again when half of its life is over.
func TestCertificate(t *testing.T) {
	p := newPeer(t)
	p.valid = 3 * time.Second
	c, _ := running(t, p, nil)
	eventually(t, "two requests", func() bool { p.mu.Lock(); defer p.mu.Unlock(); return len(p.csrs) == 2 })
	total := Counts{Responses: map[string]int64{}, Bytes: map[string]int64{}, Resources: map[string]int64{}}
	eventually(t, "two certificates", func() bool {
		total.Certificates = 0
		c.Counts(&total, map[string]int64{})
		return total.Certificates == 2
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.Equal(p.csrs, []string{"Bearer token", "Bearer token"}) {
		t.Errorf("the calls had %q", p.csrs)
	}
}

// TestRefused: who is not let in says why, and tries again.
func TestRefused(t *testing.T) {
	p := newPeer(t)
	attempts := make(chan int, 16)
	c, _ := running(t, p, func(c *Config) {
		c.ServerName, c.Certificate = "somebody.else", nil
		c.Address = func(n int) (string, error) { attempts <- n; return p.address, nil }
	})
	for want := range 2 {
		if n := <-attempts; n != want {
			t.Errorf("attempt %d, want %d", n, want)
		}
	}
	if state := c.State(); state.Connected || !strings.Contains(state.Error, "somebody.else") {
		t.Errorf("its state is %+v", state)
	}
}

// TestStatus: the end of a call says what istiod says.
func TestStatus(t *testing.T) {
	if err := statusOf(http.Header{"Grpc-Status": {"0"}}); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if err := statusOf(http.Header{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	if err := statusOf(http.Header{"Grpc-Status": {"16"}, "Grpc-Message": {"no%20token"}}); err == nil || err.Error() != "gRPC status 16: no token" {
		t.Error(err)
	}
}
