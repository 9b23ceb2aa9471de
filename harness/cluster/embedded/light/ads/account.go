package ads

// Counts adds what the client has done, and how many resources of each type it has, to
// totals.
func (c *Client) Counts(total *Counts, held map[string]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	total.Streams += c.count.Streams
	total.Certificates += c.count.Certificates
	for typeURL, n := range c.count.Responses {
		total.Responses[typeURL] += n
		total.Bytes[typeURL] += c.count.Bytes[typeURL]
		total.Resources[typeURL] += c.count.Resources[typeURL]
	}
	for _, s := range c.types {
		held[s.typeURL] += int64(len(s.held))
	}
}

// Subscriptions are what the client asks for by name, by type URL; nil for all there are.
func (c *Client) Subscriptions() map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string][]string{}
	for _, s := range c.types {
		all[s.typeURL] = c.shared.names.of(s.wanted)
	}
	return all
}

// Held are the names of what the client has, by type URL.
func (c *Client) Held() map[string][]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := map[string][]string{}
	for _, s := range c.types {
		all[s.typeURL] = c.shared.names.of(s.held)
	}
	return all
}
