package proxyconfig

import "slices"

// attributedChain is a filter chain with what its filters lead to.
type attributedChain struct {
	Name    string `json:"name"`
	Filters []struct {
		Config attributedFilter `json:"typed_config"`
	} `json:"filters"`
}

type attributedFilter struct {
	Routing  routingFilter   `json:",inline"`
	Cluster  word            `json:"cluster"`
	Weighted weightedCluster `json:"weighted_clusters"`
	RDS      struct {
		Config word `json:"route_config_name"`
	} `json:"rds"`
	// Routes are those of a listener that asks for none.
	Routes struct {
		Hosts []attributedHost `json:"virtual_hosts"`
	} `json:"route_config"`
}

// hosts are those that a chain leads to by the name of a cluster or of a Service's route
// configuration, and config the other route configurations that it asks for.
func (r *attributing) leadsTo(c *attributedChain) (hosts, config []string) {
	to := func(cluster word) {
		if host := clusterHost(string(cluster)); host != "" && !slices.Contains(hosts, host) {
			hosts = append(hosts, r.word(host))
		}
	}
	for i := range c.Filters {
		f := &c.Filters[i].Config
		to(f.Cluster)
		for _, w := range f.Weighted.Clusters {
			to(w.Name)
		}
		for _, h := range f.Routes.Hosts {
			for _, route := range h.Routes {
				to(route.Route.Cluster)
				for _, w := range route.Route.Weighted.Clusters {
					to(w.Name)
				}
			}
		}
		name := string(f.RDS.Config)
		if host := hostOf(name); host != "" {
			if !slices.Contains(hosts, host) {
				hosts = append(hosts, r.word(host))
			}
		} else if name != "" && !slices.Contains(config, name) {
			config = append(config, r.word(name))
		}
	}
	return hosts, config
}

// dynamicListener reads an element whose listener may be active, drain, warm and have failed,
// all at once. What is not active follows as parts.
func (r *attributing) dynamicListener(at int) error {
	err := r.fields(func(field []byte) error {
		state := ""
		switch string(field) {
		case `"name"`:
			s, err := decodeNext[word](r.stream)
			r.section[at].Name = r.word(string(s))
			return err
		case `"active_state"`:
			return r.listener(at, "")
		case `"draining_state"`:
			state = "draining"
		case `"warming_state"`:
			state = "warming"
		case `"error_state"`:
			state = "error"
		default:
			return r.pass()
		}
		part := len(r.section)
		r.section = append(r.section, parsed{list: r.section[at].list, Item: Item{Kind: KindListener, State: state}})
		n, err := r.span(func() error {
			if state == "error" { // whatever it was, as text
				return r.pass()
			}
			return r.listener(part, state)
		})
		r.section[part].Bytes = n
		return err
	})
	for i := at + 1; i < len(r.section); i++ {
		if p := &r.section[i]; p.State != "" && p.Name == "" {
			p.Name = r.section[at].Name
		}
	}
	return err
}

// listener reads what holds a listener. Filter chains that lead to one Service follow it as
// parts, unless they are all of it or the listener is the proxy's own.
func (r *attributing) listener(at int, state string) error {
	from := len(r.section)
	return r.within(`"listener"`, func() error {
		if r.PeekKind() != 'n' && state == "" {
			r.section[at].Objects.Listeners++
		}
		err := r.fields(func(field []byte) error {
			switch string(field) {
			case `"name"`:
				s, err := decodeNext[word](r.stream)
				r.section[at].Name = r.word(string(s))
				return err
			case `"traffic_direction"`:
				s, err := decodeNext[word](r.stream)
				if s == "INBOUND" {
					r.section[at].proxy = true
				}
				return err
			case `"access_log"`:
				n, err := r.length()
				if state == "" {
					r.section[at].Routing.AccessLogs += n
				}
				return err
			case `"filter_chains"`:
				return r.each(func() error { return r.chain(at, state, true) })
			case `"default_filter_chain"`:
				return r.chain(at, state, false)
			}
			return r.pass()
		})
		r.join(at, from)
		return err
	})
}

// chain reads a filter chain, as a part of its own. One in the list counts, whatever it is; the
// default one unless it is null.
func (r *attributing) chain(at int, state string, listed bool) error {
	part := parsed{list: r.section[at].list, Item: Item{Kind: KindListener, State: state}}
	n, err := r.span(func() error {
		c, null, err := decode[attributedChain](r.stream)
		if err != nil || state != "" {
			part.hosts, part.config = r.leadsTo(&c)
			return err
		}
		if listed || !null {
			part.Objects.FilterChains++
			part.Rows.Listener++
		}
		for i := range c.Filters {
			c.Filters[i].Config.Routing.count(&part.Routing)
		}
		part.Name = c.Name
		part.hosts, part.config = r.leadsTo(&c)
		return nil
	})
	part.Bytes = n
	r.section = append(r.section, part)
	return err
}

// join puts the chains from an index on back into their listener, but those of a single Service
// where the listener leads to several.
func (r *attributing) join(at, from int) {
	item := &r.section[at]
	for _, c := range r.section[from:] {
		for _, host := range c.hosts {
			if !slices.Contains(item.hosts, host) {
				item.hosts = append(item.hosts, host)
			}
		}
		for _, config := range c.config {
			if !slices.Contains(item.config, config) {
				item.config = append(item.config, config)
			}
		}
	}
	split := !item.proxy && item.State == "" && len(item.hosts)+len(item.config) > 1
	kept := r.section[:from]
	for _, c := range r.section[from:] {
		if split && len(c.hosts) == 1 && len(c.config) == 0 {
			c.Host, c.hosts = c.hosts[0], nil
			kept = append(kept, c)
			continue
		}
		item.Objects, item.Routing, item.Rows = item.Objects.Add(c.Objects), item.Routing.Add(c.Routing), item.Rows.Add(c.Rows)
	}
	clear(r.section[len(kept):])
	r.section = kept
}
