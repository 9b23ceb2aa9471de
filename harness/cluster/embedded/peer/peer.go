// Package peer asks other processes of this program, which listen at a unix socket: HTTP, with
// JSON both ways. The embedded cluster is made of several.
package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/meshbench/meshbench/internal/bounded"
)

// Client asks one process.
type Client struct {
	// HTTP connects to the socket, whatever a request's host is.
	HTTP *http.Client
	name string
}

// New asks the process that listens at a socket; name is what errors call it, "the sandbox". It
// connects on first use, and keeps up to idle connections.
func New(name, socket string, idle int) *Client {
	return &Client{name: name, HTTP: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		MaxIdleConnsPerHost: idle,
		DisableKeepAlives:   idle == 0,
	}}}
}

// URL is that of a path at the process.
func URL(path string) string { return "http://peer" + path }

// Call sends body, nil for none, and decodes the answer into result, nil to pass it over. An
// answer with another status than 200 is an error with its text.
func (c *Client) Call(ctx context.Context, method, path string, body, result any) error {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode a request to %s: %w", c.name, err)
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, URL(path), reader)
	if err != nil {
		return fmt.Errorf("make a request to %s: %w", c.name, err)
	}
	response, err := c.HTTP.Do(request)
	if err != nil {
		return fmt.Errorf("ask %s: %w", c.name, err)
	}
	defer response.Body.Close()
	text, err := bounded.All(response.Body, bounded.Answer)
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c.name, err)
	}
	if response.StatusCode != http.StatusOK {
		return errors.New(strings.TrimSpace(string(text)))
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(text, result); err != nil {
		return fmt.Errorf("decode the answer of %s: %w", c.name, err)
	}
	return nil
}
