package kube

import (
	"fmt"
	"net/http"
	"time"

	utilspdy "k8s.io/apimachinery/pkg/util/httpstream/spdy"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport/spdy"
)

// streamPing is how often a stream is asked whether it lives, as client-go does it.
const streamPing = 5 * time.Second

// Streams are what exec and port-forward begin with. client-go's own takes a connection of its
// own to the API server's address; where cfg has a transport, that one connects.
func Streams(cfg *rest.Config) (http.RoundTripper, spdy.Upgrader, error) {
	if cfg.Transport == nil {
		return spdy.RoundTripperFor(cfg)
	}
	upgrade, err := utilspdy.NewRoundTripperWithConfig(utilspdy.RoundTripperConfig{PingPeriod: streamPing, UpgradeTransport: cfg.Transport})
	if err != nil {
		return nil, nil, fmt.Errorf("prepare a stream: %w", err)
	}
	wrapped, err := rest.HTTPWrappersForConfig(cfg, upgrade)
	if err != nil {
		return nil, nil, fmt.Errorf("prepare a stream: %w", err)
	}
	return wrapped, upgrade, nil
}
