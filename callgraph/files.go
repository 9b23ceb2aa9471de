package callgraph

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/meshbench/meshbench/internal/bounded"
)

// File is a file that a proxy has written or answered.
type File struct {
	Proxy
	Path string
}

// Names of files in a folder that holds those of several proxies, by what is in them: what runs of
// this program keep, what istioctl bug-report keeps, and what people call them.
var (
	logNames     = []string{".log", ".log.txt"}
	clusterNames = []string{"clusters", "clusters.json", "clusters.txt"}
	dumpNames    = []string{"config_dump", "config_dump.json"}
)

// AccessLogs finds the access logs that an argument names, [NAMESPACE/POD=]PATH: a file, or a
// folder, in which the files' names tell whose they are ([proxyOf]).
func AccessLogs(argument string) ([]File, error) { return files(argument, logNames) }

// ClustersAnswers finds the answers to /clusters that an argument names, as [AccessLogs] does.
func ClustersAnswers(argument string) ([]File, error) { return files(argument, clusterNames) }

// Dumps finds the configuration dumps that an argument names, as [AccessLogs] does.
func Dumps(argument string) ([]File, error) { return files(argument, dumpNames) }

func files(argument string, names []string) ([]File, error) {
	of, path := Proxy{}, argument
	// A path may have a = in it, but no NAMESPACE/POD before it.
	if who, rest, ok := strings.Cut(argument, "="); ok {
		if namespace, pod, ok := strings.Cut(who, "/"); ok && podName(namespace, pod) {
			of, path = proxyNamed(namespace, pod), rest
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if of.Of.Namespace == "" {
			of = proxyOf(path)
		}
		of.Name = path
		return []File{{of, path}}, nil
	}
	if of.Of.Namespace != "" {
		return nil, fmt.Errorf("%s is a folder: leave NAMESPACE/POD= out, the names of its files tell whose they are", path)
	}
	var found []File
	err = filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !d.IsDir() && slices.ContainsFunc(names, func(n string) bool {
			return d.Name() == n || strings.HasSuffix(d.Name(), n) && strings.Contains(n, ".")
		}) {
			p := proxyOf(file)
			p.Name = file
			found = append(found, File{p, file})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there is no file %s in %s", strings.Join(names, " or "), path)
	}
	return found, nil
}

func podName(namespace, pod string) bool {
	return len(validation.IsDNS1123Label(namespace)) == 0 && len(validation.IsDNS1123Subdomain(pod)) == 0
}

func proxyNamed(namespace, pod string) Proxy {
	return Proxy{Of: Party{Namespace: namespace, Workload: WorkloadOf(pod)}, Name: namespace + "/" + pod}
}

// proxyOf tells by a file's path whose it is: proxies/NAMESPACE/POD/clusters and the like of
// istioctl bug-report, NAMESPACE.POD.clusters.json of a run, NAMESPACE_POD.log. Of others it is
// not known.
func proxyOf(path string) Proxy {
	parts := strings.Split(filepath.ToSlash(path), "/")
	for i := len(parts) - 4; i >= 0; i-- {
		if parts[i] == "proxies" && podName(parts[i+1], parts[i+2]) {
			return proxyNamed(parts[i+1], parts[i+2])
		}
	}
	name := parts[len(parts)-1]
	for _, end := range []string{".clusters.json", ".config_dump.json"} {
		if who, ok := strings.CutSuffix(name, end); ok {
			// A namespace has no dots, a pod may.
			if namespace, pod, ok := strings.Cut(who, "."); ok && podName(namespace, pod) {
				return proxyNamed(namespace, pod)
			}
		}
	}
	if namespace, rest, ok := strings.Cut(name, "_"); ok {
		pod, _, _ := strings.Cut(rest, ".")
		if podName(namespace, pod) {
			return proxyNamed(namespace, pod)
		}
	}
	return Proxy{}
}

// ReadFiles reads files of proxies one after the other and joins what they tell.
func ReadFiles(list []File, names Names, read func(Proxy, io.Reader, Names) (*Graph, error)) (*Graph, error) {
	var all Several
	for _, f := range list {
		in, err := bounded.Open(f.Path, bounded.Log)
		if err != nil {
			return nil, err
		}
		g, err := read(f.Proxy, in, names)
		in.Close()
		if err := all.Add(g, err); err != nil {
			return nil, err
		}
	}
	return all.Graph()
}

// Several joins graphs of different proxies, of which some may have logged nothing.
type Several struct {
	graphs []*Graph
	silent []error
}

// Add takes in what was read of a proxy, and returns the error unless it is [ErrNoLines].
func (s *Several) Add(g *Graph, err error) error {
	switch {
	case errors.Is(err, ErrNoLines):
		s.silent = append(s.silent, err)
	case err != nil:
		return err
	default:
		s.graphs = append(s.graphs, g)
	}
	return nil
}

// Graph is the sum. Where no proxy has logged anything, it is an error; where some have not, a
// note says so, since an access log may be off for some.
func (s *Several) Graph() (*Graph, error) {
	if len(s.graphs) == 0 && len(s.silent) > 0 {
		return nil, s.silent[0]
	}
	g := Sum(s.graphs...)
	if n := len(s.silent); n > 0 {
		g.Notes = append(g.Notes, fmt.Sprintf("%s without a line of an access log: no request was logged there, or the access log is off (%v)", plural(n, "proxy log"), s.silent[0]))
	}
	return g, nil
}

// Sum joins graphs of different proxies, whose counts add up, but for calls that both sides have
// counted: of these, the graph of each side has its own, and the higher one counts.
func Sum(graphs ...*Graph) *Graph {
	b := newBuilder()
	for _, g := range graphs {
		b.times.between(g.First, g.Last)
		for _, c := range g.Calls {
			by := bySource
			if !slices.Contains(g.Seen, c.From.Namespace) { // read at the callee's
				by = byDestination
			}
			b.call(c.From, c.To, by, amount{requests: c.Requests, connections: c.Connections}, c.Place())
			t := b.calls[callKey{c.From, c.To}]
			t.bypassed += c.Bypassed
			t.blocked += c.Blocked
			for _, p := range c.Places {
				t.places = appendPlace(t.places, p)
			}
		}
		for _, u := range g.Unknown {
			b.unknownCall(u.Side, u.Caller, u.Callee, amount{requests: u.Requests, connections: u.Connections}, "")
			x := b.unknown[unknownKey{u.Caller, u.Callee, u.Side}]
			for _, p := range u.Places {
				x.Places = appendPlace(x.Places, p)
			}
		}
		for _, ns := range g.Seen {
			b.seen[ns] = true
		}
		for _, n := range g.Notes {
			b.note("%s", n)
		}
	}
	return b.graph()
}
