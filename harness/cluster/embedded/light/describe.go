package light

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/meshbench/meshbench/internal/bounded"
	"github.com/meshbench/meshbench/internal/childenv"
)

// An Envoy tells istiod all its extensions when it connects, some fifty kilobytes that istiod
// keeps for each connection. Only the Envoy itself knows them: it is started once, without
// anything to do, and asked.

// describeLimit is how long that may take.
const describeLimit = 20 * time.Second

// serverInfo is the part of an Envoy's /server_info that it sends to istiod.
type serverInfo struct {
	Node struct {
		UserAgentName         string `json:"user_agent_name"`
		UserAgentBuildVersion struct {
			Version struct {
				Major uint64 `json:"major_number"`
				Minor uint64 `json:"minor_number"`
				Patch uint64 `json:"patch"`
			} `json:"version"`
			Metadata map[string]any `json:"metadata"`
		} `json:"user_agent_build_version"`
		Extensions []struct {
			Name     string   `json:"name"`
			Category string   `json:"category"`
			Disabled bool     `json:"disabled"`
			TypeURLs []string `json:"type_urls"`
		} `json:"extensions"`
		ClientFeatures []string `json:"client_features"`
	} `json:"node"`
}

// describe is what an Envoy adds to its node, as fields of an envoy.config.core.v3.Node.
func describe(ctx context.Context, envoy string) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, describeLimit, fmt.Errorf("no answer after %s", describeLimit))
	defer cancel()
	// A name in the network namespace, which leaves nothing behind.
	socket := fmt.Sprintf("@meshbench-describe-%d-%s", os.Getpid(), filepath.Base(filepath.Dir(envoy)))
	config := fmt.Sprintf(`{"admin": {"address": {"pipe": {"path": %q}}}}`, socket)
	cmd := exec.CommandContext(ctx, envoy, "--config-yaml", config, "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "off")
	cmd.Env = childenv.None()
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start Envoy to ask what it can do: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		cancel()
		<-ended
	}()
	info, err := ask(ctx, socket, ended)
	if err != nil {
		return nil, fmt.Errorf("ask Envoy what it can do: %w", err)
	}
	return info.fields()
}

// ask asks an Envoy that is starting, until it answers.
func ask(ctx context.Context, socket string, ended chan error) (*serverInfo, error) {
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", socket)
		},
		DisableKeepAlives: true,
	}}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy/server_info", nil)
		if err != nil {
			return nil, err
		}
		response, err := client.Do(request)
		if err == nil {
			text, err := bounded.All(response.Body, bounded.Answer)
			response.Body.Close()
			if err != nil {
				return nil, err
			}
			info := &serverInfo{}
			if err := json.Unmarshal(text, info); err != nil {
				return nil, fmt.Errorf("read its answer: %w", err)
			}
			if len(info.Node.Extensions) == 0 {
				return nil, errors.New("its answer names no extension")
			}
			return info, nil
		}
		select {
		case err := <-ended:
			ended <- err // for who waits for its end
			return nil, fmt.Errorf("it ended: %w", err)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// fields are those of an envoy.config.core.v3.Node that describe the Envoy.
func (i *serverInfo) fields() ([]byte, error) {
	message := func(b []byte, field protowire.Number, value []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), value)
	}
	number := func(b []byte, field protowire.Number, value uint64) []byte {
		if value == 0 {
			return b
		}
		return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), value)
	}
	var b []byte
	b = message(b, 6, []byte(i.Node.UserAgentName))
	build := i.Node.UserAgentBuildVersion
	var version []byte
	version = number(version, 1, build.Version.Major)
	version = number(version, 2, build.Version.Minor)
	version = number(version, 3, build.Version.Patch)
	metadata, err := structpb.NewStruct(build.Metadata)
	if err != nil {
		return nil, fmt.Errorf("write the Envoy's version: %w", err)
	}
	marshalled, err := proto.Marshal(metadata)
	if err != nil {
		return nil, fmt.Errorf("write the Envoy's version: %w", err)
	}
	b = message(b, 8, message(message(nil, 1, version), 2, marshalled))
	for _, e := range i.Node.Extensions {
		x := message(message(nil, 1, []byte(e.Name)), 2, []byte(e.Category))
		if e.Disabled {
			x = number(x, 5, 1)
		}
		for _, typeURL := range e.TypeURLs {
			x = message(x, 6, []byte(typeURL))
		}
		b = message(b, 9, x)
	}
	for _, feature := range i.Node.ClientFeatures {
		b = message(b, 10, []byte(feature))
	}
	return b, nil
}
