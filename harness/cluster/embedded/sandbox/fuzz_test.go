package sandbox

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/harness/cluster"
)

// FuzzConfig reads what a sandbox is told: what is read is written and read again as the same.
func FuzzConfig(f *testing.F) {
	text, err := json.Marshal(Config{
		Name: "a", State: "/tmp/a", Server: "https://127.0.0.1:1", Nodes: []cluster.NodeGroup{{InstanceType: "m6i.large", Count: 2}},
		RealPerDeployment: 1, RealFor: []string{"ns1/web"}, Applications: &cluster.Applications{}, System: &cluster.System{},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"Nodes":[{}],"Applications":null}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, text []byte) {
		config, err := readConfig(io.NopCloser(bytes.NewReader(text)))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "read the sandbox's configuration: ") {
				t.Errorf("error %v", err)
			}
			return
		}
		first, err := json.Marshal(config)
		if err != nil {
			return // raw JSON in it that is none
		}
		again, err := readConfig(io.NopCloser(bytes.NewReader(first)))
		if err != nil {
			t.Fatal(err)
		}
		if second, err := json.Marshal(again); err != nil || !bytes.Equal(first, second) {
			t.Errorf("read %s, and again %s: %v", first, second, err)
		}
	})
}
