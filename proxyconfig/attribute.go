package proxyconfig

import (
	"errors"
	"fmt"
	"io"
	"strings"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/meshbench/meshbench/observations"
)

// attributing takes a dump apart.
type attributing struct {
	stream
	a *Attribution
	// names holds each text once: the same hosts stand in a dump again and again.
	names map[string]string
	// section are the parsed items of the section that is read; done is from where on in the
	// attribution's items those of each type of section stand.
	section []parsed
	items   []parsed
	done    map[string][2]int
	istio   bool            // a cluster has a name as Istio gives
	static  map[string]bool // clusters of the bootstrap
	camel   bool            // field names are not as Envoy writes them
	// elements are those of all lists so far.
	elements int
}

// parsed is an item before it is known whose it is.
type parsed struct {
	Item
	list string // of the section, in its quotes
	proxy,
	shared bool
	hosts  []string // that a listener leads to by name of a cluster or of a route configuration
	config []string // route configurations that a listener asks for
}

func newAttributing() *attributing {
	return &attributing{
		a: &Attribution{Services: map[string]Service{}}, names: map[string]string{}, done: map[string][2]int{},
		static: map[string]bool{},
	}
}

// word holds a text once.
func (r *attributing) word(s string) string {
	if kept, ok := r.names[s]; ok {
		return kept
	}
	s = strings.Clone(s)
	r.names[s] = s
	return s
}

// read reads a dump to its end.
func (r *attributing) read(dump io.Reader) (*Attribution, error) {
	sized := &sizing{r: dump}
	other, begun, err := startsWithout(sized, '{')
	if err != nil {
		return nil, err
	}
	if other {
		return nil, foreignText(begun)
	}
	r.stream = newStream(begun)
	var fields []string // beside the sections
	err = r.fields(func(name []byte) error {
		if string(name) == `"configs"` && r.PeekKind() == '[' {
			return r.each(r.readSection)
		}
		fields = append(fields, r.word(string(name)))
		return r.SkipValue()
	})
	if err == nil {
		err = r.end()
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("it is cut off after %d bytes: %w", sized.n, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, err
	}
	r.resolve()
	sum := r.a.Sum()
	if err := r.foreign(fields, sum); err != nil {
		return nil, err
	}
	r.a.Bytes = sized.n
	r.a.Items = append(r.a.Items, Item{Kind: KindText, Owner: OwnerProxy, Name: "between the objects", Bytes: sized.n - sum.Bytes})
	return r.a, nil
}

// sizing counts what is read.
type sizing struct {
	r io.Reader
	n int64
}

func (s *sizing) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.n += int64(n)
	return n, err
}

// span is how many bytes read takes in, with the comma and the white space before.
func (r *attributing) span(read func() error) (int64, error) {
	before := r.InputOffset()
	err := read()
	return r.InputOffset() - before, err
}

// lists are the kinds of items in the lists of each type of section.
var lists = map[string]struct {
	section, kind string
}{
	`"bootstrap"`:               {bootstrapDump, KindBootstrap},
	`"static_clusters"`:         {clustersDump, KindCluster},
	`"dynamic_active_clusters"`: {clustersDump, KindCluster},
	// Warming clusters are no rows.
	`"dynamic_warming_clusters"`: {clustersDump, KindCluster},
	`"static_listeners"`:         {listenersDump, KindListener},
	`"dynamic_listeners"`:        {listenersDump, KindListener},
	`"static_route_configs"`:     {routesDump, KindRoute},
	`"dynamic_route_configs"`:    {routesDump, KindRoute},
	`"static_endpoint_configs"`:  {endpointsDump, KindEndpoint},
	`"dynamic_endpoint_configs"`: {endpointsDump, KindEndpoint},
	`"ecds_filters"`:             {extensionsDump, KindExtension},
	`"static_secrets"`:           {secretsDump, KindSecret},
	`"dynamic_active_secrets"`:   {secretsDump, KindSecret},
	`"dynamic_warming_secrets"`:  {secretsDump, KindSecret},
}

const secretsDump = "type.googleapis.com/envoy.admin.v3.SecretsConfigDump"

// readSection reads a section. What it finds stands in r.items afterwards.
func (r *attributing) readSection() error {
	r.section = r.section[:0]
	kind := ""
	err := r.fields(func(name []byte) error {
		switch string(name) {
		case `"@type"`:
			token, err := r.ReadToken()
			kind = token.String()
			return err
		case `"bootstrap"`:
			return r.bootstrap()
		}
		if _, known := lists[string(name)]; !known {
			r.camel = r.camel || string(name) == `"dynamicActiveClusters"` || string(name) == `"dynamicListeners"`
			return r.SkipValue()
		}
		list := r.word(string(name))
		return r.each(func() error { return r.element(list) })
	})
	if err != nil {
		return err
	}
	// Of two sections of one type, istioctl takes the last.
	if before, twice := r.done[kind]; twice {
		for i := before[0]; i < before[1]; i++ {
			r.items[i].uncount()
		}
	}
	from := len(r.items)
	for _, p := range r.section {
		if lists[p.list].section != kind {
			p.uncount()
			p.Kind, p.proxy, p.hosts, p.config, p.shared = KindText, true, nil, nil, false
		}
		r.items = append(r.items, p)
	}
	r.done[kind] = [2]int{from, len(r.items)}
	if kind == endpointsDump {
		r.a.Endpoints = true
	}
	return nil
}

// uncount leaves the item's bytes alone.
func (p *parsed) uncount() {
	p.Objects, p.Routing, p.Rows = observations.ConfigObjects{}, observations.RoutingObjects{}, observations.Counts{}
}

// maxElements is how many objects of a dump are kept, half a kilobyte each: a dump of 70 MB has
// 30,000.
const maxElements = 500_000

// element reads an element of a list.
func (r *attributing) element(list string) error {
	if r.elements++; r.elements > maxElements {
		return fmt.Errorf("it has more than %d objects, and no Envoy has", maxElements)
	}
	at := len(r.section)
	r.section = append(r.section, parsed{list: list, Item: Item{Kind: lists[list].kind}})
	n, err := r.span(func() error {
		switch list {
		case `"dynamic_warming_clusters"`:
			return r.cluster(at, false, "warming")
		case `"static_clusters"`:
			return r.cluster(at, true, "")
		case `"dynamic_active_clusters"`:
			return r.cluster(at, false, "")
		case `"static_listeners"`:
			r.section[at].proxy = true
			return r.listener(at, "")
		case `"dynamic_listeners"`:
			return r.dynamicListener(at)
		case `"static_route_configs"`, `"dynamic_route_configs"`:
			return r.routeConfig(at)
		case `"static_endpoint_configs"`, `"dynamic_endpoint_configs"`:
			return r.endpoints(at)
		}
		return r.other(at)
	})
	// What parts of it have of their own is in theirs.
	for _, part := range r.section[at+1:] {
		n -= part.Bytes
	}
	r.section[at].Bytes += n
	return err
}

// decode reads a value into what a caller wants of it.
func decode[T any](s stream) (x T, null bool, err error) {
	text, err := s.ReadValue()
	if err != nil {
		return x, false, err
	}
	if text.Kind() == 'n' {
		return x, true, nil
	}
	err = jsonv2.Unmarshal(text, &x, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return x, false, err
}

// istioMetadata is what istiod writes into the metadata of an object.
type istioMetadata struct {
	Filter struct {
		Istio struct {
			External bool `json:"external"`
			Services []struct {
				Name      string `json:"name"`
				Namespace string `json:"namespace"`
				Host      string `json:"host"`
			} `json:"services"`
		} `json:"istio"`
	} `json:"filter_metadata"`
}

type attributedCluster struct {
	Routing  routingCluster `json:",inline"`
	Metadata istioMetadata  `json:"metadata"`
}

func (r *attributing) cluster(at int, static bool, state string) error {
	return r.within(`"cluster"`, func() error {
		c, null, err := decode[attributedCluster](r.stream)
		if err != nil || null {
			return err
		}
		item := &r.section[at]
		item.Name, item.State = r.word(c.Routing.Name), state
		item.listed = c.Routing.Type == "EDS" || c.Routing.Type == "STATIC" || c.Routing.Type == "" // STATIC is the default
		if state == "" {
			item.Objects.Clusters++
			item.Rows.Cluster++
			if !static {
				c.Routing.count(&item.Routing)
			}
		}
		if static {
			item.proxy = true
			r.static[item.Name] = true
			return nil
		}
		item.Host = r.word(clusterHost(c.Routing.Name))
		if isIstios(c.Routing.Name) {
			r.istio = true
		}
		for _, s := range c.Metadata.Filter.Istio.Services {
			// Of several with the host, of ServiceEntries, the first.
			if item.Host != "" && s.Host == item.Host {
				if _, known := r.a.Services[item.Host]; !known {
					r.a.Services[item.Host] = r.service(item.Host, s.Name, s.Namespace, c.Metadata.Filter.Istio.External)
				}
				break
			}
		}
		return nil
	})
}

// service takes what the metadata of a cluster says, and the rest from the host: istiods have
// put the host into the name.
func (r *attributing) service(host, name, namespace string, external bool) Service {
	s := serviceOf(host)
	if name != "" && name != host {
		s.Name = name
	}
	if namespace != "" {
		s.Namespace = namespace
	}
	return Service{Host: host, Name: r.word(s.Name), Namespace: r.word(s.Namespace), External: external}
}

// clusterHost is the host in a cluster's name: outbound|PORT|SUBSET|HOST, or, where a gateway
// passes TLS on, outbound_.PORT_.SUBSET_.HOST. The clusters of what comes in have none.
func clusterHost(name string) string {
	if parts := strings.SplitN(name, "|", 4); len(parts) == 4 {
		return parts[3]
	}
	if rest, ok := strings.CutPrefix(name, "outbound_."); ok {
		if parts := strings.SplitN(rest, "_.", 3); len(parts) == 3 {
			return parts[2]
		}
	}
	return ""
}

// isIstios says whether a cluster has a name that Istio gives.
func isIstios(name string) bool {
	return name == passthroughCluster || strings.HasPrefix(name, "outbound|") || strings.HasPrefix(name, "inbound|") || strings.HasPrefix(name, "outbound_.")
}

func (r *attributing) endpoints(at int) error {
	item := &r.section[at]
	return r.within(`"endpoint_config"`, func() error {
		return r.fields(func(name []byte) error {
			switch string(name) {
			case `"cluster_name"`:
				s, err := decodeNext[string](r.stream)
				item.Name, item.Host = r.word(s), r.word(clusterHost(s))
				return err
			case `"endpoints"`:
				return r.each(func() error {
					return r.within(`"lb_endpoints"`, func() error {
						n, err := r.length()
						item.Objects.Endpoints += n
						return err
					})
				})
			}
			return r.pass()
		})
	})
}

// other reads an element that is the proxy's own.
func (r *attributing) other(at int) error {
	item := &r.section[at]
	item.proxy = true
	return r.fields(func(name []byte) (err error) {
		if string(name) == `"name"` && r.PeekKind() == '"' {
			item.Name, err = decodeNext[string](r.stream)
			item.Name = r.word(item.Name)
			return err
		}
		return r.pass()
	})
}

type attributedNode struct {
	Node struct {
		ID       string `json:"id"`
		Metadata struct {
			Namespace word `json:"NAMESPACE"`
			Workload  word `json:"WORKLOAD_NAME"`
			Name      word `json:"NAME"`
			Istio     word `json:"ISTIO_VERSION"`
		} `json:"metadata"`
	} `json:"node"`
}

// word is a text, or "" for whatever else stands in its place.
type word string

func (w *word) UnmarshalJSON(text []byte) error {
	*w = ""
	if len(text) > 0 && text[0] == '"' {
		return jsonv2.Unmarshal(text, (*string)(w), jsontext.AllowInvalidUTF8(true))
	}
	return nil
}

// bootstrap reads who the proxy is.
func (r *attributing) bootstrap() error {
	n, err := r.span(func() error {
		b, _, err := decode[attributedNode](r.stream)
		m := b.Node.Metadata
		r.a.Node = Node{b.Node.ID, string(m.Namespace), string(m.Workload), string(m.Name), string(m.Istio)}
		return err
	})
	r.section = append(r.section, parsed{list: `"bootstrap"`, proxy: true, Item: Item{Kind: KindBootstrap, Name: "bootstrap", Bytes: n}})
	return err
}
