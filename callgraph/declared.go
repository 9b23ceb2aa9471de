package callgraph

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation"
)

// Problems are all that is wrong with a file of declared calls.
type Problems []Problem

// Problem is one of them.
type Problem struct {
	File string
	Line int
	Text string
}

// Error lists them, a line each.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, x := range p {
		lines[i] = fmt.Sprintf("%s:%d: %s", x.File, x.Line, x.Text)
	}
	return strings.Join(lines, "\n")
}

// maxDeclared bounds a file of declared calls, in bytes: 5,000 Services that call ten others
// each take 2 MB.
const maxDeclared = 64 << 20

// Declared reads a file in which calls are declared: CSV where its name ends in .csv, YAML
// otherwise. The error is [Problems] for what is wrong with its text.
//
// YAML has a list calls, whose items have from and to:
//
//	calls:
//	  - {from: shop, to: catalog/catalog}
//	  - from: shop/cart                 # NAMESPACE or NAMESPACE/WORKLOAD
//	    to:                             # one, or a list
//	      - payments/api                # NAMESPACE/SERVICE
//	      - stock/*                     # all of a namespace
//	      - api.example.com             # a host: of a ServiceEntry, or outside of the mesh
//	  - {from: stock, to: []}           # calls nobody
//
// CSV has the columns from and to, and a first line with these names if it has more.
func Declared(name string, text io.Reader, names Names) (*Graph, error) {
	data, err := io.ReadAll(io.LimitReader(text, maxDeclared+1))
	if err != nil {
		return nil, fmt.Errorf("read the calls in %s: %w", name, err)
	}
	if len(data) > maxDeclared {
		return nil, fmt.Errorf("cannot read the calls in %s: it has more than %d MiB", name, maxDeclared>>20)
	}
	d := &declared{file: name, names: names, to: newBuilder()}
	if strings.EqualFold(filepath.Ext(name), ".csv") {
		d.csv(data)
	} else {
		d.yaml(data)
	}
	if len(d.problems) > 0 {
		return nil, d.problems
	}
	return d.to.graph(), nil
}

// declared is a file that is being read.
type declared struct {
	file     string
	names    Names
	to       *builder
	problems Problems
}

func (d *declared) wrong(line int, format string, args ...any) {
	d.problems = append(d.problems, Problem{d.file, line, fmt.Sprintf(format, args...)})
}

func (d *declared) csv(data []byte) {
	r := csv.NewReader(bytes.NewReader(data))
	r.Comment, r.TrimLeadingSpace, r.FieldsPerRecord = '#', true, -1
	from, to, first := 0, 1, true
	for {
		row, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var bad *csv.ParseError
			if errors.As(err, &bad) {
				d.wrong(bad.Line, "invalid CSV: %v", bad.Err)
				return
			}
			d.wrong(1, "invalid CSV: %v", err)
			return
		}
		line, _ := r.FieldPos(0)
		if first {
			first = false
			if f, t := column(row, "from"), column(row, "to"); f >= 0 && t >= 0 {
				from, to = f, t
				continue
			}
		}
		if len(row) <= max(from, to) {
			d.wrong(line, "want the columns from and to, got %d; e.g. shop/cart,payments/api", len(row))
			continue
		}
		if caller, ok := d.caller(line, row[from]); ok {
			d.target(line, caller, row[to])
		}
	}
	if first {
		d.wrong(1, "is empty; want lines like shop/cart,payments/api")
	}
}

func column(row []string, name string) int {
	return slices.IndexFunc(row, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), name) })
}

// caller reads NAMESPACE or NAMESPACE/WORKLOAD.
func (d *declared) caller(line int, text string) (Party, bool) {
	namespace, workload, _ := strings.Cut(strings.TrimSpace(text), "/")
	if len(validation.IsDNS1123Label(namespace)) > 0 || workload != "" && len(validation.IsDNS1123Subdomain(workload)) > 0 || strings.HasSuffix(text, "/") {
		d.wrong(line, "invalid caller %q: want NAMESPACE or NAMESPACE/WORKLOAD, e.g. shop/cart", text)
		return Party{}, false
	}
	d.to.seen[namespace] = true
	return Party{Namespace: namespace, Workload: workload}, true
}

// target reads NAMESPACE/SERVICE, NAMESPACE/* or a host.
func (d *declared) target(line int, from Party, text string) {
	text = strings.TrimSpace(text)
	var to Target
	switch namespace, service, ok := strings.Cut(text, "/"); {
	case ok && len(validation.IsDNS1123Label(namespace)) == 0 && service == "*":
		to = Target{Namespace: namespace}
	case ok && len(validation.IsDNS1123Label(namespace)) == 0 && len(validation.IsDNS1123Label(service)) == 0:
		to = Target{Namespace: namespace, Service: service}
	case !ok && text != "" && (validHost(text)):
		if to = d.names.Target(text, from.Namespace); to.Host != "" && !strings.ContainsAny(text, ".:") {
			d.wrong(line, "invalid callee %q: want NAMESPACE/SERVICE, NAMESPACE/* or a host, e.g. payments/api, stock/*, api.example.com", text)
			return
		}
	default:
		d.wrong(line, "invalid callee %q: want NAMESPACE/SERVICE, NAMESPACE/* or a host, e.g. payments/api, stock/*, api.example.com", text)
		return
	}
	d.to.call(from, to, bySource, amount{}, d.file+":"+strconv.Itoa(line))
}

// validHost tells whether a text can be a host, with or without a port.
func validHost(text string) bool {
	host := strings.TrimPrefix(strings.TrimSuffix(withoutPort(text), "."), "*.")
	return len(validation.IsDNS1123Subdomain(strings.ToLower(host))) == 0 || strings.Contains(text, ":") && !strings.ContainsAny(text, " \t/")
}

func (d *declared) yaml(data []byte) {
	var document yaml.Node
	if err := yaml.Unmarshal(data, &document); err != nil {
		d.wrong(lineOf(err), "invalid YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
		return
	}
	if document.Kind == 0 {
		d.wrong(1, "is empty; want calls: with items like {from: shop/cart, to: payments/api}")
		return
	}
	root := document.Content[0]
	calls := root
	if root.Kind == yaml.MappingNode {
		calls = nil
		for i := 0; i+1 < len(root.Content); i += 2 {
			switch key := root.Content[i]; key.Value {
			case "calls":
				calls = root.Content[i+1]
			default:
				d.wrong(key.Line, "unknown field %q; want calls", key.Value)
			}
		}
		if calls == nil {
			d.wrong(root.Line, "calls is missing: a list with items like {from: shop/cart, to: payments/api}")
			return
		}
	}
	if calls.Kind != yaml.SequenceNode {
		d.wrong(calls.Line, "want a list of calls, with items like {from: shop/cart, to: payments/api}")
		return
	}
	for _, item := range calls.Content {
		d.item(item)
	}
}

// item reads {from, to}.
func (d *declared) item(item *yaml.Node) {
	if item.Kind != yaml.MappingNode {
		d.wrong(item.Line, "want a call like {from: shop/cart, to: payments/api}")
		return
	}
	var from, to *yaml.Node
	for i := 0; i+1 < len(item.Content); i += 2 {
		switch key, value := item.Content[i], item.Content[i+1]; key.Value {
		case "from":
			from = value
		case "to":
			to = value
		default:
			d.wrong(key.Line, "unknown field %q; want from and to", key.Value)
		}
	}
	if from == nil || to == nil {
		d.wrong(item.Line, "want both from and to, e.g. {from: shop/cart, to: payments/api}; who calls nobody has to: []")
		return
	}
	if from.Kind != yaml.ScalarNode {
		d.wrong(from.Line, "from: want NAMESPACE or NAMESPACE/WORKLOAD; make an item for each caller")
		return
	}
	caller, ok := d.caller(from.Line, from.Value)
	if !ok {
		return
	}
	switch to.Kind {
	case yaml.ScalarNode:
		d.target(to.Line, caller, to.Value)
	case yaml.SequenceNode:
		for _, one := range to.Content {
			if one.Kind != yaml.ScalarNode {
				d.wrong(one.Line, "to: want NAMESPACE/SERVICE, NAMESPACE/* or a host")
				continue
			}
			d.target(one.Line, caller, one.Value)
		}
	default:
		d.wrong(to.Line, "to: want NAMESPACE/SERVICE, NAMESPACE/* or a host, or a list of them")
	}
}

// lineOf finds the line in an error of the YAML library.
func lineOf(err error) int {
	_, rest, ok := strings.Cut(err.Error(), "line ")
	if !ok {
		return 1
	}
	end := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(rest)
	}
	line, err := strconv.Atoi(rest[:end])
	if err != nil {
		return 1
	}
	return line
}
