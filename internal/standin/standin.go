// Package standin holds what the stand-in is told: the small server that answers in place of
// an application that does not run. The checker of scenarios and the nodes of the embedded
// cluster read it from pods' annotations by the same function; package server serves it.
package standin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	"golang.org/x/net/http/httpguts"

	"github.com/meshbench/meshbench/internal/yamlerror"
)

// Annotation of a pod whose value is a [Config] as YAML, for all of its containers that a
// stand-in answers for. Without it, a stand-in has the [Defaults] one.
const Annotation = "meshbench.dev/stand-in"

// Command is the program's first argument that makes it a stand-in.
const Command = "stand-in"

// Variables of the environment that a stand-in reads. [Environment] sets them.
const (
	// ConfigVariable is a [Config] as JSON; without it, that is the [Defaults] one.
	ConfigVariable = "MESHBENCH_STAND_IN"
	// PortsVariable are the ports to listen on, separated by commas.
	PortsVariable = "MESHBENCH_STAND_IN_PORTS"
	// SelfVariable is [Self] as JSON; without it, the pod's name is that of the host.
	SelfVariable = "MESHBENCH_STAND_IN_SELF"
)

// Limits of a [Config].
const (
	MaxText    = 64 << 10         // of an annotation, in bytes
	MaxDelay   = time.Minute      // of an answer
	MaxSize    = 10 << 20         // of an answer's body, in bytes
	MaxHeaders = 64               // of an answer
	MaxCalls   = 32               // for an answer
	MaxTimeout = 5 * time.Minute  // of a call
	MaxPorts   = 64               // to listen on
	callTime   = 10 * time.Second // of a call by default
)

// Config is how a stand-in answers.
type Config struct {
	// Status is that of HTTP answers, 200 to 599; 200 by default. gRPC answers have the code
	// that gRPC's mapping of HTTP's has for it.
	Status int `yaml:"status,omitempty" json:"status,omitempty"`
	// Delay is how long an answer waits before anything else, 5ms; none by default.
	Delay Duration `yaml:"delay,omitempty" json:"delay,omitempty"`
	// Headers are added to HTTP and gRPC answers.
	Headers map[string]string `yaml:"headers,omitempty" json:"headers,omitempty"`
	// Size is the smallest size of an HTTP answer's body in bytes: a shorter one is filled up.
	Size int `yaml:"size,omitempty" json:"size,omitempty"`
	// Calls are URLs that are requested for each HTTP request, one after the other, http only.
	// Their answers are nested in the answer, whose status is [Config.Status] even where calls
	// failed, as the applications of bookinfo do it.
	Calls []string `yaml:"calls,omitempty" json:"calls,omitempty"`
	// Timeout is the limit of each call; 10s by default.
	Timeout Duration `yaml:"timeout,omitempty" json:"timeout,omitempty"`
}

// Defaults answers 200 at once, and calls nobody.
func Defaults() Config { return Config{Status: 200, Timeout: Duration(callTime)} }

// Self is whom a stand-in answers for.
type Self struct {
	Namespace string            `json:"namespace,omitempty"`
	Pod       string            `json:"pod,omitempty"`
	Workload  string            `json:"workload,omitempty"` // its name, without its kind
	Labels    map[string]string `json:"labels,omitempty"`   // of the pod
}

// Duration is a time that is written 5ms.
type Duration time.Duration

// MarshalText writes 5ms.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalYAML reads 5ms.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	parsed, err := time.ParseDuration(n.Value)
	if err != nil {
		return fmt.Errorf("line %d: %q is no time such as 5ms or 2s", n.Line, n.Value)
	}
	*d = Duration(parsed)
	return nil
}

// Parse reads the value of an [Annotation] strictly: unknown fields, values out of range and
// further documents are errors, which name the line where the library does. An empty text is
// the [Defaults].
func Parse(text string) (Config, error) {
	c := Defaults()
	if len(text) > MaxText {
		return c, fmt.Errorf("%d bytes are too many; at most %d are read", len(text), MaxText)
	}
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	switch err := d.Decode(&c); {
	case errors.Is(err, io.EOF):
		return Defaults(), nil
	case err != nil:
		return Defaults(), syntax(err, text)
	}
	if err := d.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return Defaults(), errors.New("want one document")
	}
	if err := c.check(); err != nil {
		return Defaults(), err
	}
	return c, nil
}

// syntax words an error of the library for the reader of the annotation.
func syntax(err error, text string) error {
	var wrong *yaml.TypeError
	message, line := "", 0
	if errors.As(err, &wrong) && len(wrong.Errors) > 0 {
		message = wrong.Errors[0]
		if rest, found := strings.CutSuffix(message, " in type standin.Config"); found {
			message = strings.Replace(rest, "field ", "unknown field ", 1)
			message = strings.TrimSuffix(message, " not found") + "; the fields are status, delay, headers, size, calls, timeout"
		}
		message = strings.ReplaceAll(message, "standin.Config", "a mapping of fields such as status: 200")
		return errors.New(message)
	}
	line, message = yamlerror.Split(err, []byte(text))
	if line > 0 {
		message = fmt.Sprintf("line %d: %s", line, message)
	}
	return errors.New(message)
}

// check returns the first value out of range.
func (c *Config) check() error {
	limit := func(name string, d Duration, low, high time.Duration) error {
		if t := time.Duration(d); t < low || t > high {
			return fmt.Errorf("%s: %s is out of range; want %s to %s", name, t, low, high)
		}
		return nil
	}
	switch {
	case c.Status < 200 || c.Status > 599:
		return fmt.Errorf("status: %d is no final status of HTTP; want 200 to 599", c.Status)
	case c.Size < 0 || c.Size > MaxSize:
		return fmt.Errorf("size: %d is out of range; want 0 to %d bytes", c.Size, MaxSize)
	case len(c.Headers) > MaxHeaders:
		return fmt.Errorf("headers: %d are too many; want at most %d", len(c.Headers), MaxHeaders)
	case len(c.Calls) > MaxCalls:
		return fmt.Errorf("calls: %d are too many; want at most %d", len(c.Calls), MaxCalls)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		switch {
		case !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(c.Headers[name]):
			return fmt.Errorf("headers: %q is not valid as an HTTP header", name+": "+c.Headers[name])
		case slices.Contains([]string{"connection", "content-length", "transfer-encoding", "trailer", "grpc-status"}, strings.ToLower(name)):
			return fmt.Errorf("headers: %s is set by the server itself; omit it", name)
		}
	}
	for i, call := range c.Calls {
		u, err := url.Parse(call)
		if err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil {
			return fmt.Errorf("calls[%d]: %q is no address to request; want e.g. http://details:9080/details/0", i, call)
		}
	}
	return errors.Join(limit("delay", c.Delay, 0, MaxDelay), limit("timeout", c.Timeout, time.Millisecond, MaxTimeout))
}

// Environment is that of a stand-in's process, beside what any process has. Ports are those
// that it listens on.
func Environment(c Config, self Self, ports []int) ([]string, error) {
	config, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("write the stand-in's configuration: %w", err)
	}
	who, err := json.Marshal(self)
	if err != nil {
		return nil, fmt.Errorf("write whom the stand-in answers for: %w", err)
	}
	list := make([]string, len(ports))
	for i, port := range ports {
		list[i] = strconv.Itoa(port)
	}
	return []string{ConfigVariable + "=" + string(config), SelfVariable + "=" + string(who), PortsVariable + "=" + strings.Join(list, ",")}, nil
}

// FromEnvironment reads what [Environment] wrote; get is os.Getenv. Without a pod's name,
// hostname is taken.
func FromEnvironment(get func(string) string, hostname string) (Config, Self, []int, error) {
	c, self := Defaults(), Self{Pod: hostname}
	fail := func(name string, err error) (Config, Self, []int, error) {
		return Config{}, Self{}, nil, fmt.Errorf("%s: %w", name, err)
	}
	if text := get(ConfigVariable); text != "" {
		var err error
		if c, err = Parse(text); err != nil {
			return fail(ConfigVariable, err)
		}
	}
	if text := get(SelfVariable); text != "" {
		d := json.NewDecoder(bytes.NewReader([]byte(text)))
		d.DisallowUnknownFields()
		if err := d.Decode(&self); err != nil {
			return fail(SelfVariable, err)
		}
	}
	ports, err := parsePorts(get(PortsVariable))
	if err != nil {
		return fail(PortsVariable, err)
	}
	return c, self, ports, nil
}

// parsePorts reads 80,9080.
func parsePorts(text string) ([]int, error) {
	var ports []int
	for _, part := range strings.Split(text, ",") {
		port, err := strconv.Atoi(strings.TrimSpace(part))
		if err != nil || port < 1 || port > 65535 {
			return nil, fmt.Errorf("%q is no list of ports such as 80,9080", text)
		}
		if !slices.Contains(ports, port) {
			ports = append(ports, port)
		}
	}
	if len(ports) > MaxPorts {
		return nil, fmt.Errorf("%d ports are too many; want at most %d", len(ports), MaxPorts)
	}
	return ports, nil
}
