package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/meshbench/meshbench/harness/sample"
)

func TestMemorySource(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	const url = "--prometheus-url=https://prom.example/prefix"
	for _, test := range []struct {
		args []string
		want sample.Source
		err  string
	}{
		{nil, sample.Source{Through: "metrics"}, ""},
		{[]string{"--memory-source=kubelet"}, sample.Source{Through: "kubelet"}, ""},
		{[]string{"--memory-source=prometheus", url, "--prometheus-token-file", file, "--prometheus-ca", file, "--prometheus-job=kubelet", "--prometheus-match=cluster=prod"},
			sample.Source{Through: "prometheus", Prometheus: sample.Prometheus{
				URL: "https://prom.example/prefix", TokenFile: file, CAFile: file, Match: map[string]string{"job": "kubelet", "cluster": "prod"},
			}}, ""},
		{[]string{"--memory-source=top"}, sample.Source{}, "--memory-source top: known are: metrics, prometheus, kubelet"},
		{[]string{"--memory-source=prometheus"}, sample.Source{}, "--memory-source prometheus: add --prometheus-url, e.g. http://127.0.0.1:9090"},
		{[]string{url}, sample.Source{}, "--prometheus-url is for another source: add --memory-source prometheus"},
		{[]string{"--memory-source=prometheus", "--prometheus-url=localhost:9090"}, sample.Source{}, "--prometheus-url localhost:9090: give a URL like http://127.0.0.1:9090"},
		{[]string{"--memory-source=prometheus", "--prometheus-url=http://me:secret@prom"}, sample.Source{}, "--prometheus-url: a run records its command line, so leave user and password out, and give a token with --prometheus-token-file"},
		{[]string{"--memory-source=prometheus", url + "/api/v1/"}, sample.Source{}, "--prometheus-url https://prom.example/prefix/api/v1/: leave out /api/v1"},
		{[]string{"--memory-source=prometheus", url + "?x=y"}, sample.Source{}, "--prometheus-url https://prom.example/prefix?x=y: leave out what comes after the path"},
		{[]string{"--memory-source=prometheus", url, "--prometheus-cert", file}, sample.Source{}, "--prometheus-cert and --prometheus-key belong together: give both"},
		{[]string{"--memory-source=prometheus", url, "--prometheus-insecure", "--prometheus-ca", file}, sample.Source{}, "--prometheus-insecure checks no certificate: leave --prometheus-ca out"},
		{[]string{"--memory-source=prometheus", "--prometheus-url=http://prom", "--prometheus-insecure"}, sample.Source{}, "--prometheus-url http://prom: certificates are for https"},
		{[]string{"--memory-source=prometheus", url, "--prometheus-token-file=none"}, sample.Source{}, "--prometheus-token-file: open none: no such file or directory"},
		{[]string{"--memory-source=prometheus", url, "--prometheus-match=a-b=c"}, sample.Source{}, "--prometheus-match a-b: give the name of a label, e.g. cluster=prod"},
		{[]string{"--memory-source=prometheus", url, "--prometheus-job=a", "--prometheus-match=job=b"}, sample.Source{}, "--prometheus-job a and --prometheus-match job=b: give one of them"},
	} {
		var m memorySource
		f := pflag.NewFlagSet("test", pflag.ContinueOnError)
		m.flags(f)
		if err := f.Parse(test.args); err != nil {
			t.Fatal(err)
		}
		got, err := m.read(f)
		if said := text(err); said != test.err {
			t.Errorf("%q: error %q, want %q", test.args, said, test.err)
		}
		if diff := cmp.Diff(test.want, got); test.err == "" && diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.args, diff)
		}
	}
}

// text is an error's; "" for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
