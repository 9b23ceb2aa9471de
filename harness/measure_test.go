package harness

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/sample"
	"github.com/meshbench/meshbench/observations"
)

// TestUnread: a proxy of which there is no reading is named, since it is missing in every
// figure.
func TestUnread(t *testing.T) {
	sampler, err := sample.New(&rest.Config{Host: "http://127.0.0.1:1"}, sample.Scope{})
	if err != nil {
		t.Fatal(err)
	}
	defer sampler.Close()
	proxies := []sample.Pod{{Namespace: "ns1", Name: "a"}, {Namespace: "ns1", Name: "b"}}
	usage := []observations.Usage{
		{Namespace: "ns1", Pod: "a", Container: observations.SidecarContainer, MemoryBytes: 1},
		{Namespace: "ns1", Pod: "b", Container: "nginx", MemoryBytes: 1},
	}
	log := &records{}
	m := &meter{sampler: sampler, recorder: &draft{recorder: &recorder{log: log}}}
	m.unread(usage, slices.Clone(proxies))
	if len(log.events) != 1 || log.events[0].Object != "ns1/b" || !strings.Contains(log.events[0].Message, "the metrics API has no reading that is new enough of 1 proxies") {
		t.Errorf("%+v", log.events)
	}
	m.unread(usage, proxies[:1])
	if len(log.events) != 1 {
		t.Errorf("with all of them read: %+v", log.events[1:])
	}
}
