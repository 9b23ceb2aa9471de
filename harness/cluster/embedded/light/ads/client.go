// Package ads speaks to istiod as a sidecar does: delta ADS as an Envoy asks for it through
// its pilot-agent, with the pod's token, and requests for a certificate. It holds nothing of
// what it is sent but names and versions, so that a process can be a thousand of them. It
// knows nothing of Kubernetes.
package ads

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

type counter = atomic.Int64

// Config is what a client is told.
type Config struct {
	// Name is the client's, for [Shared.Watch].
	Name string
	// Address is where istiod is, IP:PORT, at the n-th attempt in a row.
	Address func(n int) (string, error)
	// ServerName is the name that istiod's certificate must have.
	ServerName string
	// TLS has the roots that istiod is trusted by.
	TLS func() (*tls.Config, error)
	// Token is the pod's, as it is now.
	Token func() string
	// Header is sent with each call.
	Header http.Header
	// Node describes the proxy, a marshalled envoy.config.core.v3.Node, in parts that follow one
	// another: most of it is the same for many clients, and is kept once.
	Node [][]byte
	// NameTable asks for istiod's table of names, as an agent does that answers DNS, and
	// ProxyConfig for its own configuration.
	NameTable, ProxyConfig bool
	// Drain is how long a listener that has gone keeps what it refers to.
	Drain time.Duration
	// Certificate is what certificate is asked for; nil for none.
	Certificate *Certificate
	// Changed is called when [Client.State] has changed. It must not block.
	Changed func()
}

// State is how far a client is.
type State struct {
	// Connected says that it has a stream on which istiod has answered.
	Connected bool
	// Ready says that it has had and acknowledged all that a sidecar waits for before it is
	// ready: clusters, endpoints, listeners, routes and its certificate. It stays so.
	Ready bool
	// Pending is what it has asked for on this stream and not been sent yet.
	Pending int
	// Error is the last one; "" while all is well.
	Error string
}

// Counts are what a client has done since it began.
type Counts struct {
	Streams int64 // that were opened
	// Responses, Bytes and Resources are of what istiod has sent, by type URL.
	Responses, Bytes, Resources map[string]int64
	Certificates                int64 // that istiod has signed
}

// Client is one proxy's side.
type Client struct {
	config Config
	shared *Shared
	decode decoder

	mu    sync.Mutex
	state State
	types []*subscription // in the order in which they were first asked for
	count Counts
	// certified is set once there is a certificate.
	certified bool
	// leaving are routes and the like that are not referred to any more, and when they are
	// let go.
	leaving map[*subscription]map[uint32]time.Time
	timer   *time.Timer
	out     *sender // of the present stream; nil without
}

// New makes a client. It does nothing until it is run.
func New(config Config, shared *Shared) *Client {
	return &Client{
		config: config, shared: shared, decode: decoder{shared: shared},
		count:   Counts{Responses: map[string]int64{}, Bytes: map[string]int64{}, Resources: map[string]int64{}},
		leaving: map[*subscription]map[uint32]time.Time{},
	}
}

// State is how far the client is.
func (c *Client) State() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.state
}

// An Envoy's backoff (SubscriptionFactory::RetryInitialDelayMs and RetryMaxDelayMs): any time
// up to a bound that doubles.
const (
	firstBackoff = 500 * time.Millisecond
	mostBackoff  = 30 * time.Second
)

// Run is the life of the client: it connects, and connects again, until ctx ends.
func (c *Client) Run(ctx context.Context) {
	var certificates sync.WaitGroup
	if c.config.Certificate != nil {
		certificates.Go(func() { c.renew(ctx) })
	} else {
		c.certified = true
	}
	bound, attempt := firstBackoff, 0
	for ctx.Err() == nil {
		worked, err := c.once(ctx, attempt)
		if ctx.Err() != nil {
			break
		}
		attempt++
		if worked {
			bound, attempt = firstBackoff, 0
		}
		c.disconnected(err)
		pause(ctx, rand.N(bound)+time.Millisecond)
		bound = min(2*bound, mostBackoff)
	}
	certificates.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.state.Connected = false
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// disconnected notes that a stream has ended.
func (c *Client) disconnected(err error) {
	c.mu.Lock()
	c.state.Connected, c.state.Pending, c.out = false, 0, nil
	c.state.Error = ""
	if err != nil {
		c.state.Error = err.Error()
	}
	for _, s := range c.types {
		s.asked = false
	}
	c.mu.Unlock()
	c.config.Changed()
}

// deltaMethod is that of the aggregated discovery service.
const deltaMethod = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"

// once opens a stream, and returns when it has ended, and whether it was one.
func (c *Client) once(ctx context.Context, attempt int) (worked bool, err error) {
	to, err := c.endpoint(attempt)
	if err != nil {
		return false, err
	}
	// As pilot-agent, each stream has a connection of its own.
	connection := dial(to, true)
	defer connection.close()
	s := connection.call(ctx, c.config.ServerName, deltaMethod, c.header())
	defer s.close()
	out := newSender(s)
	defer out.end()
	c.begin(out)
	for {
		reader, size, err := s.receive()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = nil // istiod has ended the stream in order
			}
			return worked, err
		}
		response, err := c.decode.read(reader, size)
		c.decode.done()
		if err != nil {
			return worked, fmt.Errorf("read istiod's response: %w", err)
		}
		worked = true
		c.respond(response)
	}
}

func (c *Client) endpoint(attempt int) (endpoint, error) {
	config, err := c.config.TLS()
	if err != nil {
		return endpoint{}, err
	}
	address, err := c.config.Address(attempt)
	if err != nil {
		return endpoint{}, err
	}
	return endpoint{address: address, name: c.config.ServerName, tls: config}, nil
}

// header is that of a call: the pod's token is read anew for each.
func (c *Client) header() http.Header {
	header := c.config.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	header.Set("Authorization", "Bearer "+c.config.Token())
	return header
}

// begin begins a stream: a first one asks for clusters, and one that follows another for all
// that was asked for before, as an Envoy does.
func (c *Client) begin(out *sender) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.count.Streams++
	c.out = out
	c.subscription(ClusterType, true)
	for _, s := range slices.Clone(c.types) { // the agent's own follow listeners
		if !s.asked && !agents(s.typeURL) {
			c.ask(s)
		}
	}
}

// agents tells whether pilot-agent asks for a type, not its Envoy.
func agents(typeURL string) bool { return typeURL == NameTableType || typeURL == ProxyConfigType }

// subscription is that of a type, which is made where there is none.
func (c *Client) subscription(typeURL string, wildcard bool) *subscription {
	if s := c.find(typeURL); s != nil {
		return s
	}
	s := &subscription{typeURL: typeURL, wildcard: wildcard}
	c.types = append(c.types, s)
	return s
}

func (c *Client) find(typeURL string) *subscription {
	for _, s := range c.types {
		if s.typeURL == typeURL {
			return s
		}
	}
	return nil
}

// ask sends the first request of a type on this stream.
func (c *Client) ask(s *subscription) {
	r := s.first(&c.shared.names)
	if len(c.out.first) == 0 {
		c.out.first, r.node = s.typeURL, c.config.Node
	}
	c.state.Pending++
	c.out.send(r)
	if s.typeURL != ListenerType {
		return
	}
	if c.config.NameTable {
		c.ask(c.subscription(NameTableType, true))
	}
	if c.config.ProxyConfig {
		c.ask(c.subscription(ProxyConfigType, true))
	}
}

// respond takes a response in, asks for what it leads to, and acknowledges it.
func (c *Client) respond(r response) {
	c.mu.Lock()
	s := c.find(r.typeURL)
	if s == nil {
		s = c.subscription(r.typeURL, false) // that nobody asked for: acknowledged, as an Envoy does
	}
	was := c.state
	c.state.Connected, c.state.Error = true, ""
	c.count.Responses[r.typeURL]++
	c.count.Bytes[r.typeURL] += int64(r.bytes)
	c.count.Resources[r.typeURL] += int64(len(r.resources))
	if !c.out.answered[r.typeURL] {
		c.out.answered[r.typeURL] = true
		c.state.Pending = max(0, c.state.Pending-1)
	}
	s.take(r)
	switch r.typeURL {
	case ClusterType:
		c.follow(s, EndpointType, func(r *references) []uint32 { return r.endpoints }, 0)
		c.secrets()
	case ListenerType:
		c.follow(s, RouteType, func(r *references) []uint32 { return r.routes }, c.config.Drain)
		c.follow(s, ExtensionType, func(r *references) []uint32 { return r.extensions }, c.config.Drain)
		c.secrets()
	}
	if !agents(r.typeURL) || len(r.resources) > 0 { // the agent passes over an empty one
		c.out.send(request{typeURL: r.typeURL, nonce: r.nonce})
	}
	acknowledged := time.Now()
	c.advance()
	changed := c.state != was
	c.mu.Unlock()
	c.shared.acknowledged(c.config.Name, r, acknowledged)
	if changed {
		c.config.Changed()
	}
}

// advance asks for listeners once clusters have their endpoints, as an Envoy does that has
// initialized its clusters, and finds whether the client is ready.
func (c *Client) advance() {
	answered := func(typeURL string) bool {
		s := c.find(typeURL)
		return s == nil || s.answered
	}
	clusters := c.find(ClusterType)
	if clusters == nil || !clusters.answered || !answered(EndpointType) {
		return
	}
	if c.find(ListenerType) == nil {
		if c.out != nil {
			c.ask(c.subscription(ListenerType, true))
		}
		return
	}
	if answered(ListenerType) && answered(RouteType) && answered(ExtensionType) && answered(SecretType) && c.certified {
		c.state.Ready = true
	}
}

// follow asks for what resources refer to, and not any more for what none of them does; that
// is let go after a time.
func (c *Client) follow(of *subscription, typeURL string, which func(*references) []uint32, after time.Duration) {
	var wanted []uint32
	for _, refs := range of.refers {
		wanted = append(wanted, which(refs)...)
	}
	c.wants(typeURL, wanted, after)
}

// secrets asks for the secrets that clusters and listeners name and istiod has.
func (c *Client) secrets() {
	var wanted []uint32
	for _, s := range c.types {
		for _, refs := range s.refers {
			wanted = append(wanted, refs.secrets...)
		}
	}
	c.wants(SecretType, wanted, 0)
}

// wants makes names what is asked for of a type.
func (c *Client) wants(typeURL string, wanted []uint32, after time.Duration) {
	slices.Sort(wanted)
	wanted = slices.Compact(wanted)
	s := c.find(typeURL)
	if s == nil {
		if len(wanted) == 0 {
			return
		}
		s = c.subscription(typeURL, false)
	}
	if after > 0 {
		wanted = c.linger(s, wanted, after)
	}
	added, removed := s.want(wanted)
	switch {
	case len(added)+len(removed) == 0 || c.out == nil:
	case !s.asked:
		c.ask(s)
	default:
		c.out.send(request{typeURL: typeURL, subscribe: c.shared.names.of(added), unsubscribe: c.shared.names.of(removed)})
	}
}

// linger adds to what is wanted what has not been unwanted for long.
func (c *Client) linger(s *subscription, wanted []uint32, after time.Duration) []uint32 {
	now := time.Now()
	leaving := c.leaving[s]
	for name := range leaving {
		if _, again := slices.BinarySearch(wanted, name); again {
			delete(leaving, name)
		}
	}
	all := wanted
	next := time.Duration(0)
	for _, name := range difference(s.wanted, wanted) {
		until, known := leaving[name]
		if !known {
			until = now.Add(after)
			if leaving == nil {
				leaving = map[uint32]time.Time{}
				c.leaving[s] = leaving
			}
			leaving[name] = until
		}
		left := until.Sub(now)
		if left <= 0 {
			delete(leaving, name)
			continue
		}
		all = add(all, name)
		if next == 0 || left < next {
			next = left
		}
	}
	if next > 0 {
		if c.timer != nil {
			c.timer.Stop()
		}
		c.timer = time.AfterFunc(next+time.Millisecond, c.drained)
	}
	return all
}

// drained lets go of what listeners referred to that have drained by now.
func (c *Client) drained() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.find(ListenerType); s != nil {
		c.follow(s, RouteType, func(r *references) []uint32 { return r.routes }, c.config.Drain)
		c.follow(s, ExtensionType, func(r *references) []uint32 { return r.extensions }, c.config.Drain)
	}
}
