package components

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshbench/meshbench/internal/childenv"
)

// envoyVersion is the line of `envoy --version`: the build as Envoy itself reports it,
// commit/release/state/type/TLS library.
var envoyVersion = regexp.MustCompile(`(?m)^\S*envoy\s+version:\s+(\S+)\s*$`)

// LocalEnvoy is an executable Envoy of one's own, for [Options.Given]. Its version is the
// build's own string, as 30b7…/1.36.2/Clean/RELEASE/BoringSSL.
func LocalEnvoy(ctx context.Context, path string) (Component, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return Component{}, fmt.Errorf("find Envoy: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return Component{}, fmt.Errorf("look for Envoy: %w", err)
	}
	if !info.Mode().IsRegular() || unix.Access(path, unix.X_OK) != nil {
		return Component{}, fmt.Errorf("%s is no file that can be run: name an executable of Envoy", path)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var out bytes.Buffer
	err = command{args: []string{path, "--version"}, dir: os.TempDir(), env: childenv.None(), stdout: &out}.run(ctx, io.Discard)
	if err != nil {
		return Component{}, fmt.Errorf("ask Envoy for its version: %w: name an executable of Envoy for this machine", err)
	}
	m := envoyVersion.FindSubmatch(out.Bytes())
	if m == nil {
		return Component{}, fmt.Errorf("%s --version says %q, not which Envoy it is: name an executable of Envoy", path, bytes.TrimSpace(out.Bytes()))
	}
	return Component{Version: string(m[1]), Path: path}, nil
}

// istioFilters are in every Envoy that has Istio's own filters: the name of one of them.
const istioFilters = "istio_stats"

// HasIstioFilters tells whether an Envoy has Istio's own filters, as Istio's build of it
// has and upstream's has not. No Envoy says so by itself, but the filters' names are in
// its file.
func HasIstioFilters(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, fmt.Errorf("read Envoy: %w", err)
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	kept := 0 // bytes of the last piece, in which the name may begin
	for {
		n, err := f.Read(buf[kept:])
		if bytes.Contains(buf[:kept+n], []byte(istioFilters)) {
			return true, nil
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read Envoy: %w", err)
		}
		tail := min(kept+n, len(istioFilters)-1)
		copy(buf, buf[kept+n-tail:kept+n])
		kept = tail
	}
}
