package ads

import (
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// references are the names of what a cluster or a listener makes an Envoy ask for.
type references struct {
	endpoints  []uint32 // ClusterLoadAssignments
	routes     []uint32 // RouteConfigurations
	extensions []uint32 // TypedExtensionConfigs
	secrets    []uint32 // Secrets that istiod has, not the agent
}

func (r *references) empty() bool {
	return len(r.endpoints)+len(r.routes)+len(r.extensions)+len(r.secrets) == 0
}

// edsType is Cluster.DiscoveryType EDS.
const edsType = 3

// clusterReferences reads an envoy.config.cluster.v3.Cluster.
func clusterReferences(b []byte, id func([]byte) uint32) (*references, error) {
	refs := &references{}
	var name, service []byte
	eds := false
	err := scan(b, func(field protowire.Number, v []byte) error {
		switch field {
		case 1:
			name = v
		case 3: // eds_cluster_config: service_name
			return fields(v, func(field protowire.Number, v []byte) error {
				if field == 2 {
					service = v
				}
				return nil
			})
		case 24:
			return refs.transportSocket(v, id)
		case 43: // transport_socket_matches
			return fields(v, func(field protowire.Number, v []byte) error {
				if field == 3 {
					return refs.transportSocket(v, id)
				}
				return nil
			})
		}
		return nil
	}, func(field protowire.Number, v uint64) { eds = eds || field == 2 && v == edsType })
	if eds {
		if len(service) == 0 {
			service = name
		}
		refs.endpoints = append(refs.endpoints, id(service))
	}
	return refs, err
}

// listenerReferences reads an envoy.config.listener.v3.Listener.
func listenerReferences(b []byte, id func([]byte) uint32) (*references, error) {
	refs := &references{}
	err := fields(b, func(field protowire.Number, v []byte) error {
		switch field {
		case 3, 25: // filter_chains, default_filter_chain
			return refs.filterChain(v, id)
		case 9: // listener_filters
			return refs.filter(v, id)
		}
		return nil
	})
	// Each name is asked for once, however many chains have it.
	for _, list := range []*[]uint32{&refs.routes, &refs.extensions, &refs.secrets} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return refs, err
}

func (r *references) filterChain(b []byte, id func([]byte) uint32) error {
	return fields(b, func(field protowire.Number, v []byte) error {
		switch field {
		case 3:
			return r.filter(v, id)
		case 6:
			return r.transportSocket(v, id)
		}
		return nil
	})
}

// managerType is the type of the filter that asks for routes.
const managerType = typePrefix + "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

// filter reads a Filter, HttpFilter or ListenerFilter: what has a configuration of its own
// (typed_config) or the name of one that is to be asked for (config_discovery).
func (r *references) filter(b []byte, id func([]byte) uint32) error {
	var name []byte
	discovered := false
	err := fields(b, func(field protowire.Number, v []byte) error {
		switch field {
		case 1:
			name = v
		case 4:
			return anyOf(v, func(typeURL string, value []byte) error {
				if typeURL == managerType {
					return r.manager(value, id)
				}
				return nil
			})
		case 5:
			discovered = true
		}
		return nil
	})
	if discovered {
		r.extensions = append(r.extensions, id(name))
	}
	return err
}

// manager reads an HttpConnectionManager.
func (r *references) manager(b []byte, id func([]byte) uint32) error {
	return fields(b, func(field protowire.Number, v []byte) error {
		switch field {
		case 3: // rds: route_config_name
			return fields(v, func(field protowire.Number, v []byte) error {
				if field == 2 {
					r.routes = append(r.routes, id(v))
				}
				return nil
			})
		case 5:
			return r.filter(v, id)
		}
		return nil
	})
}

// transportSocket reads the secrets of a TransportSocket: those of TLS contexts, of which one
// of a client (UpstreamTlsContext) and of a server have the same first field.
func (r *references) transportSocket(b []byte, id func([]byte) uint32) error {
	return fields(b, func(field protowire.Number, v []byte) error {
		if field != 3 {
			return nil
		}
		return anyOf(v, func(typeURL string, value []byte) error {
			switch typeURL {
			case typePrefix + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
				typePrefix + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext":
			default:
				return nil
			}
			return fields(value, func(field protowire.Number, v []byte) error {
				if field == 1 {
					return r.tls(v, id)
				}
				return nil
			})
		})
	})
}

// tls reads a CommonTlsContext.
func (r *references) tls(b []byte, id func([]byte) uint32) error {
	return fields(b, func(field protowire.Number, v []byte) error {
		switch field {
		case 6, 7: // tls_certificate_sds_secret_configs, validation_context_sds_secret_config
			return r.secret(v, id)
		case 8: // combined_validation_context: validation_context_sds_secret_config
			return fields(v, func(field protowire.Number, v []byte) error {
				if field == 2 {
					return r.secret(v, id)
				}
				return nil
			})
		}
		return nil
	})
}

// secret reads an SdsSecretConfig. One that says ads is istiod's; the others are the agent's.
func (r *references) secret(b []byte, id func([]byte) uint32) error {
	var name []byte
	istiods := false
	err := fields(b, func(field protowire.Number, v []byte) error {
		switch field {
		case 1:
			name = v
		case 2:
			return fields(v, func(field protowire.Number, _ []byte) error {
				istiods = istiods || field == 3
				return nil
			})
		}
		return nil
	})
	if istiods {
		r.secrets = append(r.secrets, id(name))
	}
	return err
}

// anyOf calls visit with what an Any holds.
func anyOf(b []byte, visit func(typeURL string, value []byte) error) error {
	var typeURL string
	var value []byte
	err := fields(b, func(field protowire.Number, v []byte) error {
		switch field {
		case 1:
			typeURL = string(v)
		case 2:
			value = v
		}
		return nil
	})
	if err != nil {
		return err
	}
	return visit(typeURL, value)
}
