package light

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/meshbench/meshbench/harness/cluster/embedded/light/ads"
)

// server speaks for all light proxies.
type server struct {
	ctx    context.Context
	shared *ads.Shared
	ended  sync.WaitGroup

	mu      sync.Mutex
	proxies map[string]*speaker
	hosts   map[string][]string // addresses by host name
	roots   map[[sha256.Size]byte]*tls.Config
	keys    map[string]crypto.Signer
	past    ads.Counts // of proxies that have gone
	listen  map[chan<- Change]bool

	describing sync.Mutex
	envoys     map[string]described
}

type described struct {
	fields []byte
	err    error
}

// speaker is one light proxy.
type speaker struct {
	client *ads.Client
	token  atomic.Pointer[string]
	end    context.CancelFunc
	done   chan struct{}
}

func newServer(ctx context.Context) *server {
	return &server{
		ctx: ctx, shared: ads.NewShared(),
		proxies: map[string]*speaker{}, hosts: map[string][]string{}, roots: map[[sha256.Size]byte]*tls.Config{},
		keys: map[string]crypto.Signer{}, past: newCounts(), listen: map[chan<- Change]bool{}, envoys: map[string]described{},
	}
}

func newCounts() ads.Counts {
	return ads.Counts{Responses: map[string]int64{}, Bytes: map[string]int64{}, Resources: map[string]int64{}}
}

// add begins to speak for a proxy.
func (s *server) add(p Proxy) error {
	set, err := p.read()
	if err != nil {
		return err
	}
	if s := set.env["ISTIO_DELTA_XDS"]; s == "false" || set.proxyConfig.ProxyMetadata["ISTIO_DELTA_XDS"] == "false" {
		return errors.New("it would ask for its configuration as a whole (ISTIO_DELTA_XDS=false), and light proxies speak delta xDS alone: leave the setting out, or let the pod's sidecar be real")
	}
	node, err := p.node(set)
	if err != nil {
		return err
	}
	description, err := s.describe(p.Envoy)
	if err != nil {
		return err
	}
	roots, err := s.trust(p.Roots)
	if err != nil {
		return err
	}
	speaker := &speaker{done: make(chan struct{})}
	speaker.token.Store(&p.Token)
	host, port, _ := net.SplitHostPort(set.proxyConfig.DiscoveryAddress) // read has looked
	config := ads.Config{
		Name:        p.Namespace + "/" + p.Pod,
		Address:     s.address(host, port, p.Turn),
		ServerName:  firstOf(set.env["ISTIOD_SAN"], pilotSAN(set.proxyConfig.DiscoveryAddress)),
		TLS:         func() (*tls.Config, error) { return roots, nil },
		Token:       func() string { return *speaker.token.Load() },
		Header:      header(set),
		Node:        [][]byte{node, description},
		NameTable:   set.is("ISTIO_META_DNS_CAPTURE") || set.proxyConfig.ProxyMetadata["ISTIO_META_DNS_CAPTURE"] == "true",
		ProxyConfig: set.is("PROXY_CONFIG_XDS_AGENT") || set.proxyConfig.ProxyMetadata["PROXY_CONFIG_XDS_AGENT"] == "true",
		Drain:       set.proxyConfig.DrainDuration.AsDuration(),
		Changed:     func() { s.changed(p.ID) },
	}
	if config.Certificate, err = s.certificate(&p, set); err != nil {
		return err
	}
	speaker.client = ads.New(config, s.shared)

	s.mu.Lock()
	defer s.mu.Unlock()
	if _, twice := s.proxies[p.ID]; twice {
		return fmt.Errorf("there is a light proxy %s already", p.ID)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	speaker.end = cancel
	s.proxies[p.ID] = speaker
	s.ended.Go(func() {
		defer close(speaker.done)
		speaker.client.Run(ctx)
	})
	return nil
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return t
		}
	}
	return ""
}

// headerPrefix begins the variables that pilot-agent sends as headers.
const headerPrefix = "XDS_HEADER_"

// header is what pilot-agent sends with each call.
func header(set *settings) http.Header {
	h := http.Header{"ClusterID": nil}
	delete(h, "ClusterID")
	h.Set("Clusterid", set.env["ISTIO_META_CLUSTER_ID"])
	for name, value := range set.env {
		if key, ok := strings.CutPrefix(name, headerPrefix); ok {
			h.Set(key, value)
		}
	}
	return h
}

// certificate is what the proxy's pod would ask for; nil if it would ask nobody.
func (s *server) certificate(p *Proxy, set *settings) (*ads.Certificate, error) {
	if provider := set.env["CA_PROVIDER"]; provider != "" && provider != "Citadel" || set.is("FILE_MOUNTED_CERTS") || set.env["PROV_CERT"] != "" {
		return nil, nil
	}
	key, err := s.key(set)
	if err != nil {
		return nil, err
	}
	domain := firstOf(set.env["TRUST_DOMAIN"], "cluster.local")
	c := &ads.Certificate{
		Key:        key,
		Identity:   "spiffe://" + domain + "/ns/" + p.Namespace + "/sa/" + set.env["SERVICE_ACCOUNT"],
		Lifetime:   set.duration("SECRET_TTL", 24*time.Hour),
		Signer:     set.env["ISTIO_META_CERT_SIGNER"],
		GraceRatio: set.ratio("SECRET_GRACE_PERIOD_RATIO", 0.5),
	}
	if address := set.env["CA_ADDR"]; address != "" && address != set.proxyConfig.DiscoveryAddress {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, fmt.Errorf("read the address of the CA: %w", err)
		}
		c.Address, c.ServerName = s.address(host, port, p.Turn), host
	}
	return c, nil
}

// key is one of the kind that the pod would make. All pods share it: see [ads.Certificate].
func (s *server) key(set *settings) (key crypto.Signer, err error) {
	kind := set.env["ECC_SIGNATURE_ALGORITHM"] + " " + set.env["ECC_CURVE"] + " " + set.env["WORKLOAD_RSA_KEY_SIZE"]
	s.mu.Lock()
	defer s.mu.Unlock()
	if key := s.keys[kind]; key != nil {
		return key, nil
	}
	if set.env["ECC_SIGNATURE_ALGORITHM"] == "ECDSA" {
		curve := elliptic.P256()
		if set.env["ECC_CURVE"] == "P384" {
			curve = elliptic.P384()
		}
		key, err = ecdsa.GenerateKey(curve, rand.Reader)
	} else {
		bits, e := strconv.Atoi(firstOf(set.env["WORKLOAD_RSA_KEY_SIZE"], "2048"))
		if e != nil {
			return nil, fmt.Errorf("read WORKLOAD_RSA_KEY_SIZE: %w", e)
		}
		key, err = rsa.GenerateKey(rand.Reader, bits)
	}
	if err != nil {
		return nil, fmt.Errorf("make a key for certificate requests: %w", err)
	}
	s.keys[kind] = key
	return key, nil
}

// describe is what an Envoy tells istiod of itself, asked once.
func (s *server) describe(envoy string) ([]byte, error) {
	if envoy == "" {
		return nil, nil
	}
	s.describing.Lock()
	defer s.describing.Unlock()
	known, ok := s.envoys[envoy]
	if !ok {
		known.fields, known.err = describe(s.ctx, envoy)
		s.envoys[envoy] = known
	}
	return known.fields, known.err
}

// trust is the TLS configuration with these roots, one for all that have the same.
func (s *server) trust(roots []byte) (*tls.Config, error) {
	sum := sha256.Sum256(roots)
	s.mu.Lock()
	defer s.mu.Unlock()
	if config := s.roots[sum]; config != nil {
		return config, nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(roots) {
		return nil, errors.New("the mesh's root has no certificate")
	}
	config := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	s.roots[sum] = config
	return config, nil
}

// address finds a host's addresses. Pods begin at different ones, so that several istiods
// share them.
func (s *server) address(host, port string, turn uint32) func(int) (string, error) {
	return func(attempt int) (string, error) {
		if net.ParseIP(host) != nil {
			return net.JoinHostPort(host, port), nil
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		all := s.hosts[host]
		if len(all) == 0 {
			return "", fmt.Errorf("%s has no ready endpoint", host)
		}
		return net.JoinHostPort(all[(int(turn)%len(all)+attempt)%len(all)], port), nil
	}
}

// remove stops speaking for a proxy, and returns when its connections have ended.
func (s *server) remove(id string) {
	s.mu.Lock()
	speaker := s.proxies[id]
	delete(s.proxies, id)
	s.mu.Unlock()
	if speaker == nil {
		return
	}
	speaker.end()
	<-speaker.done
	s.mu.Lock()
	defer s.mu.Unlock()
	speaker.client.Counts(&s.past, map[string]int64{})
}

func (s *server) find(id string) *speaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proxies[id]
}

// changed tells all listeners of a proxy's state. It is called under no lock.
func (s *server) changed(id string) {
	speaker := s.find(id)
	if speaker == nil {
		return
	}
	state := speaker.client.State()
	change := Change{ID: id, Ready: state.Ready, Connected: state.Connected, Error: state.Error}
	s.mu.Lock()
	defer s.mu.Unlock()
	for listener := range s.listen {
		select {
		case listener <- change:
		default:
			slog.Error("a change of a light proxy was not heard", "proxy", id)
		}
	}
}

// state is how far all are.
func (s *server) state() State {
	s.mu.Lock()
	all := make([]*speaker, 0, len(s.proxies))
	for _, p := range s.proxies {
		all = append(all, p)
	}
	total := newCounts()
	addCounts(&total, s.past)
	s.mu.Unlock()
	state := State{Clients: len(all), Held: map[string]int64{}}
	for _, p := range all {
		now := p.client.State()
		p.client.Counts(&total, state.Held)
		if now.Connected {
			state.Connected++
			if now.Ready && now.Pending == 0 {
				state.Acknowledged++
			}
		}
		if now.Error != "" && state.Error == "" {
			state.Error = now.Error
		}
	}
	state.Streams, state.Certificates = total.Streams, total.Certificates
	state.Responses, state.Bytes, state.Resources = total.Responses, total.Bytes, total.Resources
	state.Sent, state.Read = s.shared.Decoded()
	return state
}

func addCounts(total *ads.Counts, c ads.Counts) {
	total.Streams += c.Streams
	total.Certificates += c.Certificates
	for typeURL, n := range c.Responses {
		total.Responses[typeURL] += n
		total.Bytes[typeURL] += c.Bytes[typeURL]
		total.Resources[typeURL] += c.Resources[typeURL]
	}
}
