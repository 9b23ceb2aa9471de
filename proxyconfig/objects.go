package proxyconfig

import (
	"encoding/json"
	"fmt"
)

// Objects are a proxy's configuration, taken apart by the rules of [Count]: what only
// drains or warms is left out. Each object is JSON as Envoy sent it.
type Objects struct {
	Bootstrap json.RawMessage // nil for none
	Clusters  []json.RawMessage
	Listeners []json.RawMessage
	Routes    []json.RawMessage // route configurations, those inside listeners too
	Endpoints []json.RawMessage // load assignments
	// Extensions are filters that came by the extension configuration service.
	Extensions []json.RawMessage
	// Hosts are the addresses that /clusters has for each cluster, also of clusters whose
	// hosts Envoy finds by itself.
	Hosts map[string][]json.RawMessage
}

// Split reads the same answers as [Count], with the same errors.
func Split(configDump, clusters []byte) (*Objects, error) {
	p, err := split[json.RawMessage, json.RawMessage, json.RawMessage, json.RawMessage](configDump)
	if err != nil {
		return nil, fmt.Errorf("read Envoy's configuration dump: %w", err)
	}
	o := &Objects{
		Clusters: values(p.clusters), Listeners: values(p.listeners), Routes: values(p.routes),
		Endpoints: values(p.endpoints), Extensions: values(p.extensions), Hosts: map[string][]json.RawMessage{},
	}
	if p.bootstrap != nil {
		o.Bootstrap = *p.bootstrap
	}
	statuses, err := clusterStatuses[struct {
		Address json.RawMessage `json:"address"`
	}](clusters)
	if err != nil {
		return nil, fmt.Errorf("read Envoy's clusters: %w", err)
	}
	for _, c := range statuses {
		for _, h := range c.Hosts {
			o.Hosts[c.Name] = append(o.Hosts[c.Name], h.Address)
		}
	}
	return o, nil
}

func values(list []*json.RawMessage) []json.RawMessage {
	out := make([]json.RawMessage, len(list))
	for i, x := range list {
		out[i] = *x
	}
	return out
}
