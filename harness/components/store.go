package components

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/gofrs/flock"
	"golang.org/x/sync/errgroup"
)

// RootEnv is the environment variable that sets the root of the cache.
const RootEnv = "MESHBENCH_CACHE"

// Store is the cache of components on this machine.
type Store struct {
	root  string // folder "components" of the cache
	units []*unit
	given Set

	examined examined
}

// Options say where the cache is and what is wanted of it.
type Options struct {
	// Root is the root of the cache; "" is $MESHBENCH_CACHE, or the folder meshbench in
	// the user's cache directory.
	Root string
	// Istio is the Istio release, "1.23.2", one of [IstioVersions]; "" is [DefaultIstio].
	Istio string
	// Envoy is the release of upstream Envoy, "1.40.0", one of [EnvoyVersions]; "" is
	// [DefaultEnvoy].
	Envoy string
	// Knative is the release of Knative Serving, "0.42.2", one of [KnativeVersions]; "" for
	// none. It is always built from modules.
	Knative string
	// Traffic adds what runs need that send requests: [CoreDNS] and [Fortio].
	Traffic bool
	// From is where programs come from; "" is [FromModules].
	From Source
	// Hubs say where [FromImages] takes images from instead of where they are published.
	Hubs Hubs
	// WithoutCharts leaves [FromImages] without Istio's charts, which are in no image: for
	// callers that have others.
	WithoutCharts bool
	// Given holds components that are there already, e.g. an Envoy of one's own
	// ([LocalEnvoy]): they are used as they are instead of those that are pinned.
	Given Set
}

// Source is where programs come from.
type Source string

// The sources.
const (
	// FromModules builds what is pinned from Go modules.
	FromModules Source = "modules"
	// FromImages takes the programs of any published Istio out of container images, those
	// of the control plane in the pinned versions.
	FromImages Source = "images"
)

// New opens the cache. Nothing is created.
func New(o Options) (*Store, error) {
	root, istio, envoy := o.Root, cmp.Or(o.Istio, DefaultIstio), cmp.Or(o.Envoy, DefaultEnvoy)
	if root == "" {
		root = os.Getenv(RootEnv)
	}
	if root == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, fmt.Errorf("find the cache directory: %w; set %s to a folder", err, RootEnv)
		}
		root = filepath.Join(dir, "meshbench")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	if _, ok := o.Given[Envoy]; ok {
		envoy = ""
	}
	var units []*unit
	switch root = filepath.Join(root, "components"); o.From {
	case FromModules, "":
		if units, err = unitsFor(istio, envoy); err == nil && o.Traffic {
			var more []*unit
			more, err = trafficUnits()
			units = append(units, more...)
		}
	case FromImages:
		units, err = imageUnits(istio, o, filepath.Join(root, referencesDir))
	default:
		err = fmt.Errorf("components from %s: known are %s and %s", o.From, FromModules, FromImages)
	}
	if err == nil && o.Knative != "" {
		var k *unit
		k, err = knativeUnit(o.Knative)
		units = append(units, k)
	}
	if err != nil {
		return nil, err
	}
	return &Store{root: root, units: units, given: o.Given}, nil
}

// unit is a group of components that are made in one go.
type unit struct {
	name, version string
	parts         []part
	builder       builder
	compiles      bool // takes all processors: units that do so take turns
}

// part is a component of a unit.
type part struct {
	name     Name
	version  string
	pinned   string // module@version or package==version
	payload  string // name of its file or folder in the cache folder
	onDemand bool   // not needed by a cluster
}

// builder makes components.
type builder interface {
	// inputs is all that decides what the component becomes, apart from the platform.
	inputs(Name) []string
	// fetch does everything that needs the network.
	fetch(context.Context, site, []Name) error
	// build leaves each component at site.out.
	build(context.Context, site, []Name) error
}

// site is where a builder works: an empty folder, swept afterwards, with folder tmp.
type site struct {
	dir      string
	payloads map[Name]string
	log      io.Writer
	report   func(Event)
}

func (s site) path(name string) string { return filepath.Join(s.dir, name) }

// staged is the folder that becomes the component's cache folder.
func (s site) staged(n Name) string { return filepath.Join(s.dir, "out", string(n)) }

// out is where the builder puts the component.
func (s site) out(n Name) string { return filepath.Join(s.staged(n), s.payloads[n]) }

func (u *unit) add(n Name, version, pinned, payload string, onDemand bool) {
	u.parts = append(u.parts, part{n, version, pinned, payload, onDemand})
	slices.SortFunc(u.parts, func(a, b part) int { return strings.Compare(string(a.name), string(b.name)) })
}

func (u *unit) id() string { return u.name + "-" + u.version }

// key is short for everything a component is made from.
func (u *unit) key(n Name) string {
	h := sha256.New()
	for _, in := range append(u.builder.inputs(n), runtime.GOOS, runtime.GOARCH) {
		fmt.Fprintf(h, "%d %s\n", len(in), in)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// dir is a component's folder in the cache.
func (s *Store) dir(u *unit, p part) string {
	return filepath.Join(s.root, string(p.name), p.version+"-"+u.key(p.name))
}

// Has reports whether the component is one of this store's, in the cache or not.
func (s *Store) Has(n Name) bool {
	_, _, err := s.cached([]Name{n})
	return err == nil
}

// Root is the root of the cache; the components are in its folder components.
func (s *Store) Root() string { return filepath.Dir(s.root) }

// Complete reports whether Obtain of the wanted components, by default all that an embedded
// cluster needs, would find all in the cache.
func (s *Store) Complete(want ...Name) bool {
	_, missing, err := s.cached(want)
	return err == nil && len(missing) == 0
}

// Obtain returns the wanted components, by default all that an embedded cluster needs,
// and makes those that are not in the cache yet, or not as they were made ([Store.Examine]).
// When nothing is missing that takes a second, writes nothing and needs neither network nor
// tools. Two processes never
// make the same unit at the same time: the second waits and uses what the first made.
// progress may be nil. An error of a build holds the last lines of its log, the log's
// path and what to do.
func (s *Store) Obtain(ctx context.Context, progress Progress, want ...Name) (Set, error) {
	if err := s.private(); err != nil {
		return nil, err
	}
	if err := s.Examine(ctx, want...); err != nil {
		return nil, err
	}
	set, missing, err := s.cached(want)
	if err != nil || len(missing) == 0 {
		return set, err
	}
	m := &meter{progress: progress}
	for _, parts := range missing {
		m.of += len(parts)
	}
	s.announce(missing, m)
	g, gctx := errgroup.WithContext(ctx)
	turn := make(chan struct{}) // closed when the units before have been compiled
	close(turn)
	for _, u := range s.units {
		parts := missing[u]
		if len(parts) == 0 {
			continue
		}
		mine, done := turn, make(chan struct{})
		if u.compiles {
			turn = done
		}
		g.Go(func() error {
			if err := s.make(gctx, u, parts, mine, m.unit(u.name+" "+u.version)); err != nil {
				return err
			}
			close(done)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		if ctx.Err() != nil {
			cause := context.Cause(ctx)
			if !errors.Is(cause, ctx.Err()) { // the name of a signal alone
				cause = fmt.Errorf("%w: %w", ctx.Err(), cause)
			}
			return nil, fmt.Errorf("obtain components: %w; what is already compiled is kept", cause)
		}
		return nil, s.examined.explain(err)
	}
	set, missing, err = s.cached(want)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("components were removed from %s while others were made: run the same command again", s.root)
	}
	return set, err
}

// cached returns what is in the cache of the wanted components, and what is not.
func (s *Store) cached(want []Name) (Set, map[*unit][]part, error) {
	set, missing := Set{}, map[*unit][]part{}
	known := map[Name]bool{}
	for n, c := range s.given {
		known[n] = true
		if len(want) == 0 || slices.Contains(want, n) {
			set[n] = c
		}
	}
	for _, u := range s.units {
		for _, p := range u.parts {
			known[p.name] = true
			if len(want) == 0 && p.onDemand || len(want) > 0 && !slices.Contains(want, p.name) {
				continue
			}
			m, err := s.whole(s.dir(u, p))
			if err != nil {
				missing[u] = append(missing[u], p)
				continue
			}
			if err := privateEntry(s.dir(u, p), m); err != nil {
				return nil, nil, err
			}
			c := Component{Version: p.version, Path: filepath.Join(s.dir(u, p), p.payload)}
			if m.Image != nil {
				c.Image = m.Image.String()
			}
			set[p.name] = c
		}
	}
	for _, n := range want {
		if !known[n] {
			return nil, nil, fmt.Errorf("there is no component %q", n)
		}
	}
	return set, missing, nil
}

// lockRetry is how often a waiting process looks whether the other one is done.
const lockRetry = 200 * time.Millisecond

// lock takes the unit's lock, for which the caller may have to wait.
func (s *Store) lock(ctx context.Context, id string, waiting func()) (*flock.Flock, error) {
	dir := filepath.Join(s.root, "locks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make the cache of components: %w; set %s to a folder you can write to", err, RootEnv)
	}
	l := flock.New(filepath.Join(dir, id+".lock"), flock.SetPermissions(0o644))
	ok, err := l.TryLock()
	if err == nil && !ok {
		waiting()
		_, err = l.TryLockContext(ctx, lockRetry)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	return l, nil
}

// make obtains parts of one unit: it holds the unit's lock all the while, and compiles
// when it is its turn.
func (s *Store) make(ctx context.Context, u *unit, parts []part, turn <-chan struct{}, report func(Event)) error {
	l, err := s.lock(ctx, u.id(), func() { report(Event{Phase: Waiting}) })
	if err != nil {
		return err
	}
	defer l.Unlock()

	img, _ := u.builder.(*image)
	if img != nil { // its digest decides where its components are
		if err := img.resolve(ctx, report); err != nil {
			return failure(ctx, u, "", err)
		}
	}
	var names []Name
	payloads := map[Name]string{}
	for _, p := range parts {
		if err := verify(ctx, s.dir(u, p)); err == nil { // another run was quicker
			s.examined.note(s.dir(u, p), nil)
			report(Event{Phase: Ready, Component: p.name})
			continue
		}
		names = append(names, p.name)
		payloads[p.name] = p.payload
	}
	if len(names) == 0 {
		return nil
	}

	work := filepath.Join(s.root, "work", u.id())
	if err := os.RemoveAll(work); err != nil { // of a run that was interrupted
		return err
	}
	defer os.RemoveAll(work)
	if err := errors.Join(os.MkdirAll(filepath.Join(work, "tmp"), 0o755), os.MkdirAll(filepath.Join(s.root, "logs"), 0o755)); err != nil {
		return fmt.Errorf("make the cache of components: %w", err)
	}
	log, err := os.Create(filepath.Join(s.root, "logs", u.id()+".log"))
	if err != nil {
		return err
	}
	defer log.Close()

	where := site{dir: work, payloads: payloads, log: log, report: report}
	if err := u.builder.fetch(ctx, where, names); err != nil {
		return failure(ctx, u, log.Name(), err)
	}
	select {
	case <-turn:
	default:
		report(Event{Phase: Queued})
		select {
		case <-turn:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := u.builder.build(ctx, where, names); err != nil {
		return failure(ctx, u, log.Name(), err)
	}
	for _, p := range parts {
		if !slices.Contains(names, p.name) {
			continue
		}
		m := manifest{Name: p.name, Version: p.version, Pinned: p.pinned, Go: runtime.Version(), Made: time.Now().UTC()}
		if img != nil {
			m.Go, m.Image = "", &img.origin
		}
		if err := seal(where.staged(p.name), m); err != nil {
			return fmt.Errorf("finish %s: %w", p.name, err)
		}
		if err := publish(where.staged(p.name), s.dir(u, p), where.path("trash-"+string(p.name))); err != nil {
			return fmt.Errorf("put %s into the cache: %w", p.name, err)
		}
		s.examined.note(s.dir(u, p), nil)
		report(Event{Phase: Ready, Component: p.name})
	}
	return nil
}

// failure is the error of a unit's build: what failed, how its log ends, what to do.
func failure(ctx context.Context, u *unit, log string, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if i, ok := u.builder.(*image); ok {
		return fmt.Errorf("obtain %s %s: %w\nwhat to do: %s", u.name, u.version, err, i.advice(err))
	}
	var tail string
	var ce *commandError
	if errors.As(err, &ce) {
		tail = strings.Join(ce.tail, "\n")
	}
	if tail == "" {
		return fmt.Errorf("obtain %s %s: %w\nlog: %s\nwhat to do: %s", u.name, u.version, err, log, advice(err.Error()))
	}
	return fmt.Errorf("obtain %s %s: %w\nthe last lines of %s:\n    %s\nwhat to do: %s",
		u.name, u.version, err, log, strings.ReplaceAll(tail, "\n", "\n    "), advice(tail+"\n"+err.Error()))
}
