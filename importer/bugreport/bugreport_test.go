package bugreport

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/meshbench/meshbench/importer/bugreport/bugreporttest"
)

// visited names what was visited, with the length of its text.
func visited(data []byte, within Limits) (names []string, err error) {
	err = Walk(bytes.NewReader(data), within, func(f File, r io.Reader) error {
		text, err := io.ReadAll(r)
		names = append(names, f.Name+":"+string(text))
		return err
	})
	return names, err
}

func TestWalk(t *testing.T) {
	got, err := visited(bugreporttest.Pack(t,
		"bug-report/cluster/k8s-resources", "a", "bug-report/cluster/secrets", "hunter2", "bug-report/versions", "b",
		"bug-report/proxies/shop/cart-1/clusters", "c", "bug-report/proxies/shop/cart-1/config_dump?include_eds", "d", "bug-report/proxies/shop/cart-1/istio-proxy.log", "e",
	), DefaultLimits())
	want := []string{"bug-report/cluster/k8s-resources:a", "bug-report/proxies/shop/cart-1/clusters:c", "bug-report/proxies/shop/cart-1/config_dump?include_eds:d"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestOf(t *testing.T) {
	for name, want := range map[string]File{
		"bug-report/cluster/crs":                            {Kind: Objects},
		"cluster/k8s-cluster-resources":                     {Kind: Objects},
		"bug-report/cluster/secrets":                        {Kind: Secrets},
		"bug-report/cluster/events":                         {},
		"proxies/shop/cart-1/config_dump":                   {Kind: Dump, Namespace: "shop", Pod: "cart-1"},
		"bug-report/proxies/shop/cart-1/config_dump?mask=x": {Kind: Dump, Namespace: "shop", Pod: "cart-1"},
		"bug-report/istio/istio-system/istiod-1/debug/mesh": {},
		"": {},
	} {
		want.Name = name
		if got := Of(name); got.Kind != want.Kind || got.Kind == Dump && got != want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// What is no archive, cut, too long, or leads elsewhere is refused by its name.
func TestRefused(t *testing.T) {
	whole := bugreporttest.Pack(t, "bug-report/cluster/k8s-resources", strings.Repeat("apiVersion: v1\n", 5000))
	link := func(kind byte, name string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: kind, Linkname: "/etc/passwd"}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		z.Close()
		return b.Bytes()
	}
	bomb := bugreporttest.Pack(t, "bug-report/versions", strings.Repeat("0", 64<<20))
	small := DefaultLimits()
	small.Free = 1 << 20
	for name, tt := range map[string]struct {
		data   []byte
		within Limits
		want   string
	}{
		"text":              {[]byte("apiVersion: v1"), DefaultLimits(), "it is no archive"},
		"gzip of text":      {gzipped(t, "hello"), DefaultLimits(), "the archive ends in the middle"},
		"no files":          {bugreporttest.Pack(t), DefaultLimits(), "holds no files"},
		"cut":               {whole[:len(whole)/2], DefaultLimits(), "the archive ends in the middle"},
		"cut at its end":    {whole[:len(whole)-4], DefaultLimits(), "the archive ends in the middle"},
		"a bomb":            {bomb, small, "too long for its archive"},
		"too long":          {whole, Limits{File: 1 << 30, All: 1000, Ratio: 1000, Free: 1 << 30}, "too long for its archive"},
		"a long file":       {whole, Limits{File: 1000, All: 1 << 30, Ratio: 1000, Free: 1 << 30}, "at most 1000 are read"},
		"a link":            {link(tar.TypeSymlink, "bug-report/cluster/k8s-resources"), DefaultLimits(), `"bug-report/cluster/k8s-resources": it is a link`},
		"a hard link":       {link(tar.TypeLink, "x"), DefaultLimits(), "it is a link"},
		"a path out of it":  {bugreporttest.Pack(t, "bug-report/../../etc/passwd", "x"), DefaultLimits(), "leads out of the archive"},
		"an absolute path":  {bugreporttest.Pack(t, "/etc/passwd", "x"), DefaultLimits(), "leads out of the archive"},
		"another's archive": {bugreporttest.Pack(t, "readme", "x"), DefaultLimits(), ""},
	} {
		_, err := visited(tt.data, tt.within)
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func gzipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Whatever the bytes, reading ends, and no more than the limits is read.
func FuzzWalk(f *testing.F) {
	f.Add(bugreporttest.Pack(f, "bug-report/cluster/crs", "a"))
	f.Add([]byte{0x1f, 0x8b})
	within := Limits{File: 1 << 16, All: 1 << 18, Ratio: 100, Free: 1 << 14}
	f.Fuzz(func(t *testing.T, data []byte) {
		n := 0
		_ = Walk(bytes.NewReader(data), within, func(_ File, r io.Reader) error {
			m, err := io.Copy(io.Discard, r)
			n += int(m)
			return err
		})
		if n > 1<<18 {
			t.Errorf("%d bytes were read", n)
		}
	})
}
