package proxyconfig_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"

	"github.com/meshbench/meshbench/proxyconfig"
)

// The rows that istioctl proxy-config would print of a sidecar, from the answers of its
// Envoy's admin port to /config_dump and /clusters?format=json.
func ExampleCount() {
	configDump, err := read("testdata/one-pod.config_dump.json.gz")
	if err != nil {
		fmt.Println(err)
		return
	}
	clusters, err := read("testdata/one-pod.clusters.json.gz")
	if err != nil {
		fmt.Println(err)
		return
	}
	rows, objects, err := proxyconfig.Count(configDump, clusters)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("rows: %d clusters, %d listeners, %d routes, %d endpoints\n",
		rows.Cluster, rows.Listener, rows.Route, rows.Endpoint)
	fmt.Printf("objects: %d listeners with %d filter chains, %d route configurations with %d virtual hosts\n",
		objects.Listeners, objects.FilterChains, objects.RouteConfigs, objects.VirtualHosts)
	// Output:
	// rows: 15 clusters, 21 listeners, 7 routes, 15 endpoints
	// objects: 12 listeners with 21 filter chains, 7 route configurations with 9 virtual hosts
}

func read(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(text)
}
