package sandbox

import (
	"testing"

	"github.com/meshbench/meshbench/harness/components"
)

// TestUpgradesByTag: an image's tag chooses between the versions of Istio, and one that is
// of none of the upgrades is the mesh's own.
func TestUpgradesByTag(t *testing.T) {
	set := func(version string) components.Set {
		of := func(name string) components.Component {
			return components.Component{Version: version, Path: "/cache/" + name + "/" + version}
		}
		return components.Set{
			components.PilotDiscovery: of("pilot-discovery"), components.PilotAgent: of("pilot-agent"),
			components.Envoy: of("envoy"), components.BootstrapTemplate: of("bootstrap"), components.MetricsServer: of("metrics-server"),
		}
	}
	found := map[string]string{} // program by repository and tag
	for _, image := range images(set("1.22.3"), []components.Set{set("1.23.2"), set("1.24.0")}) {
		key := image.Repository + ":" + image.Tag
		if found[key] == "" {
			found[key] = image.Program
		}
		if image.Repository != "proxyv2" {
			continue
		}
		version := image.Tag
		if version == "" {
			version = "1.22.3"
		}
		for _, mount := range image.Mounts {
			if want := "/cache/"; mount.Source != want+"envoy/"+version && mount.Source != want+"bootstrap/"+version {
				t.Errorf("%s holds %s", key, mount.Source)
			}
		}
	}
	for key, want := range map[string]string{
		"pilot:": "/cache/pilot-discovery/1.22.3", "pilot:1.23.2": "/cache/pilot-discovery/1.23.2", "pilot:1.24.0": "/cache/pilot-discovery/1.24.0",
		"proxyv2:": "/cache/pilot-agent/1.22.3", "proxyv2:1.23.2": "/cache/pilot-agent/1.23.2", "proxyv2:1.24.0": "/cache/pilot-agent/1.24.0",
		"metrics-server:": "/cache/metrics-server/1.22.3",
	} {
		if found[key] != want {
			t.Errorf("%s is %s, want %s", key, found[key], want)
		}
	}
	// The first that matches is taken: the tagged ones must come first.
	list := images(set("1.22.3"), []components.Set{set("1.23.2")})
	for i, image := range list {
		if image.Repository == "pilot" && image.Tag == "" && i < 2 {
			t.Error("the mesh's own image hides that of the upgrade")
		}
	}
}
