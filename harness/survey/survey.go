// Package survey reads a mesh on somebody's cluster for package importer. It asks for nothing but
// get and list, never for Secrets, and only for the kinds that a scenario is made of.
package survey

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/rest"

	"github.com/meshbench/meshbench/harness/rights"
	"github.com/meshbench/meshbench/importer"
	"github.com/meshbench/meshbench/manifests"
)

// page is how many objects are asked for at one time.
const page = 500

// mostAnswer is the longest answer that is read, in bytes: a page of the largest objects that an
// API server keeps would be longer, and of real ones none is.
const mostAnswer = 256 << 20

// Denied says what the user may not read.
type Denied struct{ Missing []rights.Right }

// Error names each verb and resource, those of a verb in one line.
func (d *Denied) Error() string {
	var lines []string
	of := map[string][]string{}
	for _, r := range d.Missing {
		verb := strings.Join(r.Verbs, ", ")
		what := strings.TrimPrefix(r.String(), verb+" ")
		if of[verb] == nil {
			lines = append(lines, verb)
		}
		of[verb] = append(of[verb], what)
	}
	for i, verb := range lines {
		lines[i] = "  " + verb + " " + strings.Join(of[verb], ", ")
	}
	return "this user may not\n" + strings.Join(lines, "\n")
}

// Read reads the mesh of the cluster into a collection. Kinds that the collection skips are not
// asked for. status is told what is being read. The error is [*Denied] for
// what the user may not read, all of it at once; the collection is then of no use.
func Read(ctx context.Context, cfg *rest.Config, into *importer.Collection, status func(string)) error {
	cfg = rest.CopyConfig(cfg)
	if cfg.QPS == 0 {
		cfg.QPS, cfg.Burst = 20, 40 // a careful guest
	}
	client, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return fmt.Errorf("make a client for the cluster: %w", err)
	}
	kinds, err := served(client)
	if err != nil {
		return err
	}
	s := &survey{client: client.RESTClient(), into: into, status: status}
	for _, k := range kinds {
		if into.Skips(k.group, k.kind) {
			continue
		}
		if err := s.list(ctx, k); err != nil {
			return err
		}
	}
	for _, m := range into.ConfigMaps() {
		if err := s.configMap(ctx, m[0], m[1]); err != nil {
			return err
		}
	}
	if len(s.missing) > 0 {
		return &Denied{rights.Merge(s.missing)}
	}
	return nil
}

// resource is a kind that the cluster serves.
type resource struct{ group, version, name, kind string }

// path is the resource's in the API.
func (r resource) path() string {
	if r.group == "" {
		return path.Join("/api", r.version, r.name)
	}
	return path.Join("/apis", r.group, r.version, r.name)
}

// served are the kinds that are wanted and that the cluster serves, in their preferred versions.
func served(client discovery.DiscoveryInterface) ([]resource, error) {
	lists, err := client.ServerPreferredResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		return nil, fmt.Errorf("ask the cluster for its kinds: %w", err)
	}
	var broken *discovery.ErrGroupDiscoveryFailed
	if errors.As(err, &broken) {
		for version, why := range broken.Groups {
			if importer.Wants(version.Group, "") {
				return nil, fmt.Errorf("ask the cluster for the kinds of %s: %w", version, why)
			}
		}
	}
	var all []resource
	for _, list := range lists {
		group, version, grouped := strings.Cut(list.GroupVersion, "/")
		if !grouped {
			group, version = "", list.GroupVersion
		}
		for _, r := range list.APIResources {
			if importer.Wants(group, r.Kind) && slices.Contains(r.Verbs, "list") && !strings.Contains(r.Name, "/") {
				all = append(all, resource{group, version, r.Name, r.Kind})
			}
		}
	}
	slices.SortFunc(all, func(a, b resource) int { return strings.Compare(a.path(), b.path()) })
	return all, nil
}

type survey struct {
	client  rest.Interface
	into    *importer.Collection
	status  func(string)
	missing []rights.Right
}

// list reads all objects of a kind, a page at a time.
func (s *survey) list(ctx context.Context, r resource) error {
	limit, next := page, ""
	for n := 1; ; n++ {
		s.status(fmt.Sprintf("reading %s (page %d)", r.name, n))
		request := s.client.Get().AbsPath(r.path())
		if limit > 0 {
			request = request.Param("limit", strconv.Itoa(limit))
		}
		if next != "" {
			request = request.Param("continue", next)
		}
		text, err := answer(ctx, request)
		switch {
		case apierrors.IsForbidden(err):
			s.missing = append(s.missing, rights.Right{Group: r.group, Resource: r.name, Verbs: []string{"list"}})
			return nil
		case apierrors.IsResourceExpired(err) && limit > 0:
			limit, next = 0, "" // the pages were too slow: all of it at one time
			continue
		case apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err):
			return nil // served a moment ago
		case err != nil:
			return fmt.Errorf("list %s: %w", r.name, err)
		}
		var list struct {
			Metadata metav1.ListMeta `json:"metadata"`
		}
		if err := json.Unmarshal(text, &list); err != nil {
			return fmt.Errorf("list %s: read the answer: %w", r.name, err)
		}
		if err := s.into.Add(source(r.name, text)); err != nil {
			return err
		}
		if next = list.Metadata.Continue; next == "" {
			return nil
		}
	}
}

// configMap reads one config map; none is no error.
func (s *survey) configMap(ctx context.Context, namespace, name string) error {
	s.status(fmt.Sprintf("reading config map %s/%s", namespace, name))
	text, err := answer(ctx, s.client.Get().AbsPath("/api/v1/namespaces", namespace, "configmaps", name))
	switch {
	case apierrors.IsForbidden(err):
		s.missing = append(s.missing, rights.Right{Resource: "configmaps", Verbs: []string{"get"}, Namespace: namespace})
		return nil
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("get config map %s/%s: %w", namespace, name, err)
	}
	return s.into.Add(source(namespace+"/"+name, text))
}

// answer reads the answer to a request.
func answer(ctx context.Context, request *rest.Request) ([]byte, error) {
	stream, err := request.SetHeader("Accept", "application/json").Stream(ctx)
	if err != nil {
		return nil, err
	}
	defer stream.Close()
	text, err := io.ReadAll(io.LimitReader(stream, mostAnswer+1))
	if err == nil && len(text) > mostAnswer {
		err = fmt.Errorf("the answer is longer than %d bytes", mostAnswer)
	}
	return text, err
}

func source(name string, text []byte) manifests.Source {
	return manifests.Source{Name: name, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil }}
}
