package proxyconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// stream reads JSON token by token: what is not counted is passed over and never held.
type stream struct{ *jsontext.Decoder }

func newStream(r io.Reader) stream {
	in := &holding{in: r}
	// Envoy names a field once, and what is inside a text does not count.
	in.decoder = jsontext.NewDecoder(in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	return stream{in.decoder}
}

// mostHeld is the longest value of a dump that is held as a whole, in bytes: a route
// configuration or a listener at most. 2 MB were seen.
const mostHeld = 64 << 20

// holding ends reading a value that is too long to be held.
type holding struct {
	in      io.Reader
	decoder *jsontext.Decoder
	read    int64
}

func (h *holding) Read(p []byte) (int, error) {
	if h.decoder != nil && h.read-h.decoder.InputOffset() > mostHeld {
		return 0, fmt.Errorf("a part of it is longer than %d MiB, and no Envoy's is", mostHeld>>20)
	}
	n, err := h.in.Read(p)
	h.read += int64(n)
	return n, err
}

// fields calls read with the name, in its quotes, of each field of the object that comes
// next; read takes the value in. null is an object without fields.
func (s stream) fields(read func(name []byte) error) error {
	if open, err := s.open('{', "an object"); !open || err != nil {
		return err
	}
	for s.PeekKind() != '}' {
		name, err := s.ReadValue()
		if err != nil {
			return err
		}
		if err := read(name); err != nil {
			return err
		}
	}
	_, err := s.ReadToken()
	return err
}

// each calls read before each element of the array that comes next; read takes it in. null
// is an empty array.
func (s stream) each(read func() error) error {
	if open, err := s.open('[', "an array"); !open || err != nil {
		return err
	}
	for s.PeekKind() != ']' {
		if err := read(); err != nil {
			return err
		}
	}
	_, err := s.ReadToken()
	return err
}

// open reads the begin of an object or an array; null is none.
func (s stream) open(want jsontext.Kind, what string) (bool, error) {
	switch kind := s.PeekKind(); kind {
	case want:
		_, err := s.ReadToken()
		return err == nil, err
	case 'n':
		return false, s.pass()
	default:
		if _, err := s.ReadToken(); err != nil {
			return false, err // what follows is no JSON
		}
		return false, fmt.Errorf("%s: want %s", s.StackPointer(), what)
	}
}

// pass passes over a value. It is held as a whole, which is faster than token by token.
func (s stream) pass() error {
	_, err := s.ReadValue()
	return err
}

// set passes over a value and tells whether it is more than null.
func (s stream) set() (bool, error) {
	null := s.PeekKind() == 'n'
	return !null, s.pass()
}

// length passes over an array and counts its elements.
func (s stream) length() (n int, err error) {
	err = s.each(func() error {
		n++
		return s.pass()
	})
	return n, err
}

// decodeNext decodes the value that comes next.
func decodeNext[T any](s stream) (x T, err error) {
	text, err := s.ReadValue()
	if err != nil {
		return x, err
	}
	if err := json.Unmarshal(text, &x); err != nil {
		return x, fmt.Errorf("%s: %w", s.StackPointer(), err)
	}
	return x, nil
}

// end is an error where something follows.
func (s stream) end() error {
	if _, err := s.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("something follows after the end")
		}
		return err
	}
	return nil
}

// tally is what is counted.
type tally struct{ clusters, listeners, chains, routeConfigs, hosts, routes, endpoints int }

// sections reads a configuration dump to its end: what read finds in each of its sections, by
// the section's type.
func sections[T any](s stream, read func() (kind string, found T, err error)) (map[string]T, error) {
	all := map[string]T{}
	err := s.fields(func(name []byte) error {
		if string(name) != `"configs"` {
			return s.SkipValue()
		}
		return s.each(func() error {
			kind, found, err := read()
			// Of two sections of one type, istioctl takes the last.
			all[kind] = found
			return err
		})
	})
	if err == nil {
		err = s.end()
	}
	return all, err
}

// section reads a section of any type. in chooses what reads each element of the list with a
// name, which comes in its quotes; nil passes over it.
func (s stream) section(in func(list string) (each func() error)) (kind string, err error) {
	err = s.fields(func(name []byte) error {
		if string(name) == `"@type"` {
			token, err := s.ReadToken()
			kind = token.String()
			return err
		}
		if each := in(string(name)); each != nil {
			return s.each(each)
		}
		return s.SkipValue()
	})
	return kind, err
}

// dump counts what is in a configuration dump.
func (s stream) dump() (all tally, err error) {
	found, err := sections(s, s.tally)
	if err != nil {
		return all, err
	}
	// Only the sections' own: what another type has under the same names is not known here.
	all.clusters = found[clustersDump].clusters
	all.listeners, all.chains = found[listenersDump].listeners, found[listenersDump].chains
	routes := found[routesDump]
	all.routeConfigs, all.hosts, all.routes = routes.routeConfigs, routes.hosts, routes.routes
	all.endpoints = found[endpointsDump].endpoints
	return all, nil
}

// tally counts what is in a section.
func (s stream) tally() (kind string, all tally, err error) {
	kind, err = s.section(func(list string) func() error {
		var count func(*tally) error
		switch list {
		case `"static_clusters"`, `"dynamic_active_clusters"`:
			count = s.cluster
		case `"static_listeners"`:
			count = s.listener
		case `"dynamic_listeners"`:
			count = s.dynamicListener
		case `"static_route_configs"`, `"dynamic_route_configs"`:
			count = s.routeConfig
		case `"static_endpoint_configs"`, `"dynamic_endpoint_configs"`:
			count = s.endpointConfig
		default:
			return nil
		}
		return func() error { return count(&all) }
	})
	return kind, all, err
}

// within reads one field of an object, and passes over the others.
func (s stream) within(field string, read func() error) error {
	return s.fields(func(name []byte) error {
		if string(name) == field {
			return read()
		}
		return s.pass()
	})
}

func (s stream) cluster(t *tally) error {
	return s.within(`"cluster"`, func() error {
		set, err := s.set()
		if set {
			t.clusters++
		}
		return err
	})
}

func (s stream) dynamicListener(t *tally) error {
	return s.within(`"active_state"`, func() error { return s.listener(t) })
}

func (s stream) listener(t *tally) error {
	return s.within(`"listener"`, func() error {
		if s.PeekKind() != 'n' {
			t.listeners++
		}
		return s.fields(func(name []byte) error {
			switch string(name) {
			case `"filter_chains"`:
				n, err := s.length()
				t.chains += n
				return err
			case `"default_filter_chain"`:
				set, err := s.set()
				if set {
					t.chains++
				}
				return err
			}
			return s.pass()
		})
	})
}

func (s stream) routeConfig(t *tally) error {
	return s.within(`"route_config"`, func() error {
		if s.PeekKind() != 'n' {
			t.routeConfigs++
		}
		return s.within(`"virtual_hosts"`, func() error {
			return s.each(func() error { return s.virtualHost(t) })
		})
	})
}

func (s stream) virtualHost(t *tally) error {
	t.hosts++
	routes, shown := 0, 0
	err := s.within(`"routes"`, func() error {
		return s.each(func() error {
			routes++
			through, err := s.passesThrough()
			if !through {
				shown++
			}
			return err
		})
	})
	if routes == 0 {
		shown = 1
	}
	t.routes += shown
	return err
}

// passesThrough reads a route and tells whether it leads to PassthroughCluster.
func (s stream) passesThrough() (through bool, err error) {
	err = s.within(`"route"`, func() error {
		return s.within(`"cluster"`, func() error {
			name, err := s.ReadValue()
			through = string(name) == `"`+passthroughCluster+`"`
			return err
		})
	})
	return through, err
}

func (s stream) endpointConfig(t *tally) error {
	return s.within(`"endpoint_config"`, func() error {
		return s.within(`"endpoints"`, func() error {
			return s.each(func() error {
				return s.within(`"lb_endpoints"`, func() error {
					n, err := s.length()
					t.endpoints += n
					return err
				})
			})
		})
	})
}

// addresses counts the clusters and the hosts in the answer to /clusters.
func (s stream) addresses() (clusters, hosts int, err error) {
	err = s.within(`"cluster_statuses"`, func() error {
		return s.each(func() error {
			clusters++
			return s.within(`"host_statuses"`, func() error {
				n, err := s.length()
				hosts += n
				return err
			})
		})
	})
	if err == nil {
		err = s.end()
	}
	return clusters, hosts, err
}
