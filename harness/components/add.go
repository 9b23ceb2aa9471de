package components

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"
)

// istioModule is Istio's main module. It has no releases on module proxies, only commits.
const istioModule = "istio.io/istio"

// gatewayAPIModule is that of the Gateway API, which Istio's requires.
const gatewayAPIModule = "sigs.k8s.io/gateway-api"

// istioPrograms are the main packages of [istioModule] that are built.
var istioPrograms = []string{istioModule + "/pilot/cmd/pilot-discovery", istioModule + "/pilot/cmd/pilot-agent", istioModule + "/istioctl/cmd/istioctl"}

// Pinned is what [AddIstio] did.
type Pinned struct {
	// Version is that of module istio.io/istio: the pseudo-version of the release's commit.
	Version string
	// Files are the two that were written.
	Files []string
	// Unverified are the modules that the checksum database does not have, so that their
	// checksums are what the module proxy sent.
	Unverified []string
}

// AddIstio pins a further Istio release: it resolves the modules that its programs import
// and writes istio-<release>.mod and .sum into dir, the folder harness/components/modules
// of a source checkout. modules/README.md says why they look as they do. It needs the
// network and the go command, and takes a minute. release is in the form 1.27.0; commit
// is the release's commit, or all of the module's version v0.0.0-<time>-<commit>; "" asks
// the module proxy for the release's tag, which not every proxy answers. say is told what
// is being done.
func AddIstio(ctx context.Context, release, commit, dir string, say func(string)) (_ *Pinned, err error) {
	if !semver.IsValid("v"+release) || semver.Canonical("v"+release) != "v"+release {
		return nil, fmt.Errorf("Istio release %q: write it as 1.27.0, or 1.27.0-alpha.NAME for a commit between releases", release)
	}
	work, err := os.MkdirTemp("", "meshbench-add-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to resolve modules in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	r := &resolver{dir: work, unverified: []string{istioModule}}

	say("asking for the version of module " + istioModule)
	version, err := r.version(ctx, istioModule, cmp.Or(commit, release))
	if err != nil {
		return nil, fmt.Errorf("module %s of Istio %s cannot be had: %w\nname the release's commit with --commit (a module proxy may know only all of v0.0.0-TIME-COMMIT), or %s",
			istioModule, release, err, byImages(release))
	}
	upstream, err := r.upstream(ctx, version)
	if err != nil {
		return nil, fmt.Errorf("module %s %s of Istio %s cannot be had: %w\n%s", istioModule, version, release, err, byImages(release))
	}
	var apis []module.Version
	for _, api := range []string{"istio.io/api", "istio.io/client-go"} {
		v, err := r.apiVersion(ctx, api, release, upstream)
		if err != nil {
			return nil, fmt.Errorf("module %s of Istio %s cannot be had: %w\n%s", api, release, err, byImages(release))
		}
		apis = append(apis, module.Version{Path: api, Version: v})
	}
	say("resolving the modules of Istio " + release)
	mod, sum, err := r.resolve(ctx, release, version, upstream, apis)
	if err != nil {
		return nil, fmt.Errorf("resolve the modules of Istio %s: %w", release, err)
	}
	base := filepath.Join(dir, "istio-"+release)
	if err := writeBoth(base+".mod", mod, base+".sum", sum); err != nil {
		return nil, fmt.Errorf("write what was resolved: %w", err)
	}
	return &Pinned{Version: version, Files: []string{base + ".mod", base + ".sum"}, Unverified: r.unverified}, nil
}

// byImages is the way for a release whose modules cannot be had.
func byImages(release string) string {
	return "take the programs out of Istio's images: --istio " + release + " --from images"
}

// writeBoth writes two files, or neither: they get their names when both are whole.
func writeBoth(a string, textA []byte, b string, textB []byte) error {
	const partial = ".partial"
	defer os.Remove(a + partial)
	defer os.Remove(b + partial)
	if err := os.WriteFile(a+partial, textA, 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(b+partial, textB, 0o644); err != nil {
		return err
	}
	if err := os.Rename(a+partial, a); err != nil {
		return err
	}
	return os.Rename(b+partial, b)
}

// resolver runs the go command in a module of its own.
type resolver struct {
	dir        string
	unverified []string // modules that the checksum database does not have
}

// lacking finds, in what the go command says, a module that the checksum database does
// not have. A checksum that differs says something else.
var lacking = regexp.MustCompile(`(\S+)@\S+: verifying (?:module|go\.mod): .*: (?:404 Not Found|410 Gone)`)

// run runs the go command and returns its output. Modules that the checksum database
// does not have are noted and asked for again without it.
func (r *resolver) run(ctx context.Context, args ...string) ([]byte, error) {
	return r.runFor(ctx, "", args...)
}

// runFor is run for an architecture, "" for this machine's.
func (r *resolver) runFor(ctx context.Context, arch string, args ...string) ([]byte, error) {
	for {
		env := append(goEnv(r.dir), "GOFLAGS=-mod=mod",
			"GONOSUMDB="+strings.Trim(os.Getenv("GONOSUMDB")+","+strings.Join(r.unverified, ","), ","))
		if arch != "" {
			env = append(env, "GOARCH="+arch)
		}
		var out bytes.Buffer
		more := len(r.unverified)
		err := command{args: append([]string{"go"}, args...), dir: r.dir, env: env, stdout: &out, line: func(line string) {
			if m := lacking.FindStringSubmatch(line); m != nil && !slices.Contains(r.unverified, m[1]) {
				r.unverified = append(r.unverified, m[1])
			}
		}}.run(ctx, io.Discard)
		if err == nil {
			return out.Bytes(), nil
		}
		if len(r.unverified) > more {
			continue
		}
		var ce *commandError
		if errors.As(err, &ce) && len(ce.tail) > 0 {
			return nil, fmt.Errorf("%w\n    %s", err, strings.Join(ce.tail, "\n    "))
		}
		return nil, err
	}
}

// version resolves a query, e.g. a commit or a tag, to a module's version.
func (r *resolver) version(ctx context.Context, path, query string) (string, error) {
	out, err := r.run(ctx, "list", "-m", "-f", "{{.Version}}", path+"@"+query)
	return strings.TrimSpace(string(out)), err
}

// upstream is the go.mod of Istio's module.
func (r *resolver) upstream(ctx context.Context, version string) (*modfile.File, error) {
	out, err := r.run(ctx, "mod", "download", "-json", istioModule+"@"+version)
	if err != nil {
		return nil, err
	}
	var m struct{ GoMod string }
	if err := json.Unmarshal(out, &m); err != nil {
		return nil, fmt.Errorf("go mod download -json %s: %w", istioModule, err)
	}
	text, err := os.ReadFile(m.GoMod)
	if err != nil {
		return nil, fmt.Errorf("read Istio's go.mod: %w", err)
	}
	f, err := modfile.Parse(m.GoMod, text, nil)
	if err != nil {
		return nil, fmt.Errorf("read Istio's go.mod: %w", err)
	}
	if f.Go == nil {
		return nil, fmt.Errorf("Istio's go.mod (%s) has no go line", m.GoMod)
	}
	return f, nil
}

// apiVersion is the version of one of Istio's API modules: the release's own, since the
// commits that Istio's go.mod names are not on every proxy; for what is no release the
// go.mod's, else the newest release of the same line.
func (r *resolver) apiVersion(ctx context.Context, path, release string, upstream *modfile.File) (string, error) {
	queries := []string{"v" + release}
	if semver.Prerelease("v"+release) != "" {
		queries = []string{semver.MajorMinor("v" + release)}
		for _, q := range upstream.Require {
			if q.Mod.Path == path {
				queries = slices.Insert(queries, 0, q.Mod.Version)
			}
		}
	}
	var errs []error
	for _, q := range queries {
		v, err := r.version(ctx, path, q)
		if err == nil {
			_, err = r.run(ctx, "mod", "download", path+"@"+v)
		}
		if err == nil {
			return v, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}

// resolve makes the go.mod that requires exactly what the programs import, and its go.sum.
// What Kubernetes pins raises the versions.
func (r *resolver) resolve(ctx context.Context, release, version string, upstream *modfile.File, apis []module.Version) (mod, sum []byte, err error) {
	kubernetes, err := kubernetesRequires()
	if err != nil {
		return nil, nil, err
	}
	write := func(required []module.Version) error {
		text := istioMod(release, version, upstream, required, nil)
		return os.WriteFile(filepath.Join(r.dir, "go.mod"), text, 0o644)
	}
	sums := filepath.Join(r.dir, "go.sum")
	if err := write(append(apis, kubernetes...)); err != nil {
		return nil, nil, err
	}
	imported, err := r.imported(ctx)
	if err != nil {
		return nil, nil, err
	}
	if err := write(imported); err != nil {
		return nil, nil, err
	}
	if err := os.Remove(sums); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	again, err := r.imported(ctx)
	if err != nil {
		return nil, nil, err
	}
	if !slices.Equal(imported, again) {
		return nil, nil, errors.New("requiring only what is imported changes what is imported: pin it by hand, see harness/components/modules/README.md")
	}
	if sum, err = os.ReadFile(sums); err != nil {
		return nil, nil, err
	}
	// Of those that were asked for on the way, some are not needed.
	r.unverified = slices.DeleteFunc(r.unverified, func(m string) bool { return !bytes.Contains(sum, []byte(m+" v")) })
	return istioMod(release, version, upstream, imported, r.unverified), sum, nil
}

// imported are the modules that the programs import from, on both architectures.
func (r *resolver) imported(ctx context.Context) ([]module.Version, error) {
	var all []module.Version
	for _, arch := range []string{"amd64", "arm64"} {
		args := []string{"list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}}{{end}}{{end}}"}
		out, err := r.runFor(ctx, arch, append(args, istioPrograms...)...)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(out)) {
			if path, version, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
				all = append(all, module.Version{Path: path, Version: version})
			}
		}
	}
	return sortedModules(all), nil
}

func sortedModules(all []module.Version) []module.Version {
	slices.SortFunc(all, func(a, b module.Version) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), semver.Compare(a.Version, b.Version))
	})
	return slices.Compact(all)
}

// kubernetesRequires is what the Kubernetes programs are built from, less what only they
// use.
func kubernetesRequires() ([]module.Version, error) {
	_, pins, err := readModules("kubernetes-" + kubernetesRelease)
	if err != nil {
		return nil, err
	}
	for _, own := range []string{"k8s.io/kubernetes", "sigs.k8s.io/metrics-server", "github.com/imdario/mergo"} {
		delete(pins, own)
	}
	all := slices.Clone(besideKubernetes)
	for path, version := range pins {
		all = append(all, module.Version{Path: path, Version: version})
	}
	return all, nil
}

// besideKubernetes are the lowest versions, of modules that only Istio uses, that compile
// with what Kubernetes pins: OpenTelemetry's modules come out together, but a lower one
// does not ask for the others' lower ones.
var besideKubernetes = []module.Version{
	{Path: "go.opentelemetry.io/otel/sdk/metric", Version: "v1.27.0"},
	{Path: "go.opentelemetry.io/otel/exporters/prometheus", Version: "v0.49.0"},
}

// istioMod is the text of a .mod file.
func istioMod(release, version string, upstream *modfile.File, required []module.Version, unverified []string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "// Istio %s: istiod, pilot-agent, istioctl and the charts. Versions that the\n", release)
	b.WriteString("// Kubernetes programs use too are theirs where these are higher, so that what both\n")
	b.WriteString("// import is compiled once. README.md beside this file says how it is made.\n")
	if len(unverified) > 1 {
		b.WriteString("//\n// Not in the checksum database, so as the module proxy sent it:\n")
		for _, m := range slices.Sorted(slices.Values(unverified)) {
			fmt.Fprintf(&b, "// %s\n", m)
		}
	}
	fmt.Fprintf(&b, "module meshbench.invalid/istio\n\ngo %s\n\nrequire %s %s\n\nrequire (\n", upstream.Go.Version, istioModule, version)
	for _, m := range sortedModules(required) {
		if m.Path != istioModule {
			fmt.Fprintf(&b, "\t%s %s // indirect\n", m.Path, m.Version)
		}
	}
	b.WriteString(")\n")
	for _, x := range upstream.Replace {
		if x.New.Version == "" {
			continue // a folder, which a module's zip does not have
		}
		old := x.Old.Path
		if x.Old.Version != "" {
			old += " " + x.Old.Version
		}
		fmt.Fprintf(&b, "\nreplace %s => %s %s\n", old, x.New.Path, x.New.Version)
	}
	return b.Bytes()
}
