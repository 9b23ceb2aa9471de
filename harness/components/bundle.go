package components

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"unicode"
)

// A bundle is a file with components for other machines: a tar archive, compressed by
// zstd. Its first entry lists all the others in their order, which are the components'
// files under the folders that they have in the cache:
//
//	bundle.json
//	kube-apiserver/1.31.4-4525e2e5fd7e/kube-apiserver
//	...
//
// Hashes guard against damage, not against malice: whoever wrote the files wrote the
// hashes, too.

const (
	bundleName   = "bundle.json"
	bundleFormat = 1

	// Limits of what is read. The pinned components are 0.6 GiB in 40 files for each Istio.
	maxBundleList  = 16 << 20
	maxBundleFiles = 100_000
	maxBundleFile  = 8 << 30
	maxBundleTotal = 64 << 30
	maxBundleBack  = 128 << 20 // memory of the decompressor; ours writes with 8 MiB
)

// bundle is the list at the head of a bundle.
type bundle struct {
	Format     int       `json:"format"`
	Meshbench  string    `json:"meshbench"` // version that made it
	Platform   string    `json:"platform"`  // linux/amd64
	Components []bundled `json:"components"`
}

// bundled is a component in a bundle.
type bundled struct {
	// Key is that of the component's folder in the cache: a hash of all that it was made of.
	Key string `json:"key"`
	manifest
}

// folder is where the component lies in the bundle, and below the cache's.
func (b bundled) folder() string { return string(b.Name) + "/" + b.Version + "-" + b.Key }

func (b bundled) String() string { return string(b.Name) + " " + b.Version }

// bundlePlatform is that of this program's components.
func bundlePlatform() string { return runtime.GOOS + "/" + runtime.GOARCH }

// bundleWord is the form of names, versions and keys.
var bundleWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,127}$`)

// parseBundle reads the list at the head of a bundle and checks all that it says.
func parseBundle(text []byte) (*bundle, error) {
	var b bundle
	if err := json.Unmarshal(text, &b); err != nil {
		return nil, fmt.Errorf("%s in it cannot be read: %w", bundleName, err)
	}
	if b.Format != bundleFormat {
		return nil, fmt.Errorf("it has format %d, this meshbench reads format %d: use the meshbench that it was made for", b.Format, bundleFormat)
	}
	if b.Platform != bundlePlatform() {
		return nil, fmt.Errorf("it is for %q, this machine is %s", b.Platform, bundlePlatform())
	}
	if strings.ContainsFunc(b.Meshbench, func(r rune) bool { return !unicode.IsPrint(r) }) || len(b.Meshbench) > 128 {
		return nil, fmt.Errorf("%s: %.128q is no version of meshbench", bundleName, b.Meshbench)
	}
	if len(b.Components) == 0 {
		return nil, errors.New("it holds no component")
	}
	var files int
	var total int64
	seen := map[string]bool{}
	for _, c := range b.Components {
		for _, word := range []string{string(c.Name), c.Version, c.Key} {
			if !bundleWord.MatchString(word) {
				return nil, fmt.Errorf("%s: %.128q is no name, version or key", bundleName, word)
			}
		}
		if seen[c.folder()] {
			return nil, fmt.Errorf("%s lists %s twice", bundleName, c.folder())
		}
		seen[c.folder()] = true
		if len(c.Files) == 0 {
			return nil, fmt.Errorf("%s lists no file of %s", bundleName, c)
		}
		for _, f := range c.Files {
			whole := c.folder() + "/" + f.Path
			switch {
			case !localPath(f.Path):
				return nil, fmt.Errorf("%s: %.128q of %s is no path below its folder", bundleName, f.Path, c)
			case seen[whole]:
				return nil, fmt.Errorf("%s lists %s twice", bundleName, whole)
			case f.Size < 0 || f.Size > maxBundleFile:
				return nil, fmt.Errorf("%s: %s has %d bytes; at most %d Mi are taken", bundleName, whole, f.Size, maxBundleFile/bytesPerMebi)
			}
			seen[whole] = true
			files++
			total += f.Size
			if files > maxBundleFiles || total > maxBundleTotal {
				return nil, fmt.Errorf("%s lists more than %d files or %d Mi", bundleName, maxBundleFiles, maxBundleTotal/bytesPerMebi)
			}
		}
	}
	return &b, nil
}

// localPath reports whether p is a path, in its simplest form, of a file of a component.
func localPath(p string) bool {
	return p != manifestName && path.Clean(p) == p && p != "." && filepath.IsLocal(filepath.FromSlash(p)) && !strings.Contains(p, `\`) &&
		!strings.ContainsFunc(p, func(r rune) bool { return !unicode.IsPrint(r) })
}

// pinnedUnits are the units of this store and those of all that is pinned here.
func (s *Store) pinnedUnits() ([]*unit, error) {
	units := slices.Clone(s.units)
	for _, v := range IstioVersions() {
		more, err := unitsFor(v, "")
		if err != nil {
			return nil, err
		}
		units = append(units, more...)
	}
	for _, v := range EnvoyVersions() {
		e, err := envoyUnit(v)
		if err != nil {
			return nil, err
		}
		units = append(units, e)
	}
	for _, v := range KnativeVersions() {
		k, err := knativeUnit(v)
		if err != nil {
			return nil, err
		}
		units = append(units, k)
	}
	more, err := trafficUnits()
	return append(units, more...), err
}
