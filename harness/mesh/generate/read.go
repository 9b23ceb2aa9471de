package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/meshbench/meshbench/harness/mesh"
	"github.com/meshbench/meshbench/meshfacts"
)

// version is a pinned release with the versions of its modules.
type version struct {
	istio, module, api string
}

// pinned lists the releases that are pinned in a folder.
func pinned(locks string) ([]version, error) {
	files, err := filepath.Glob(filepath.Join(locks, "istio-*.mod"))
	if err != nil || len(files) == 0 {
		return nil, errors.Join(err, fmt.Errorf("no istio-VERSION.mod in %s", locks))
	}
	var versions []version
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read pins: %w", err)
		}
		v := version{istio: strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "istio-"), ".mod")}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
			if len(fields) < 2 {
				continue
			}
			switch fields[0] {
			case "istio.io/istio":
				v.module = fields[1]
			case "istio.io/api":
				v.api = fields[1]
			}
		}
		if v.module == "" || v.api == "" {
			return nil, fmt.Errorf("%s does not require istio.io/istio and istio.io/api", file)
		}
		versions = append(versions, v)
	}
	return versions, nil
}

// read reads the facts of a version and writes them as a file. env is added to the go
// command's environment.
func (v version) read(ctx context.Context, env ...string) ([]byte, error) {
	istio, err := download(ctx, "istio.io/istio", v.module, env...)
	if err != nil {
		return nil, err
	}
	api, err := download(ctx, "istio.io/api", v.api, env...)
	if err != nil {
		return nil, err
	}
	facts, err := mesh.Charts{Dir: filepath.Join(istio, "manifests", "charts")}.Facts(ctx, v.istio)
	if err != nil {
		return nil, err
	}
	if facts.Injector, err = injector(filepath.Join(istio, "pkg", "kube", "inject")); err != nil {
		return nil, err
	}
	files, err := descriptors(api)
	if err != nil {
		return nil, err
	}
	facts.MeshConfig = meshfacts.Compare(files)
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	if err := encoder.Encode(facts); err != nil {
		return nil, fmt.Errorf("write facts: %w", err)
	}
	return b.Bytes(), nil
}

// download is the folder of a module.
func download(ctx context.Context, module, version string, env ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", module+"@"+version)
	cmd.Dir = os.TempDir() // outside this module
	cmd.Env = append(append(os.Environ(), "GONOSUMDB=istio.io/istio", "GOFLAGS="), env...)
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("download module %s %s: %w", module, version, err)
	}
	var answer struct{ Dir string }
	if err := json.Unmarshal(out, &answer); err != nil {
		return "", fmt.Errorf("download module %s %s: %w", module, version, err)
	}
	return answer.Dir, nil
}

// injector reads the injector's rules: the words in the switch of injectRequired, and the
// namespaces that it ignores.
func injector(folder string) (rules meshfacts.Injector, err error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, filepath.Join(folder, "inject.go"), nil, 0)
	if err != nil {
		return rules, fmt.Errorf("read the injector's source: %w", err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		f, ok := n.(*ast.FuncDecl)
		if ok && f.Name.Name == "injectRequired" {
			words(f.Body, &rules)
		}
		return !ok
	})
	if len(rules.Asks) == 0 {
		return rules, errors.New("read the injector's source: injectRequired has another form")
	}
	// In every pinned version these are constants of pkg/config/constants.
	source, err := os.ReadFile(filepath.Join(folder, "initializer.go"))
	if err != nil {
		return rules, fmt.Errorf("read the injector's source: %w", err)
	}
	_, list, ok := strings.Cut(string(source), "IgnoredNamespaces = sets.New(")
	list, _, end := strings.Cut(list, ")")
	if !ok || !end {
		return rules, errors.New("read the injector's source: IgnoredNamespaces has another form")
	}
	constants, err := os.ReadFile(filepath.Join(folder, "..", "..", "config", "constants", "constants.go"))
	if err != nil {
		return rules, fmt.Errorf("read the injector's source: %w", err)
	}
	for name := range strings.SplitSeq(list, ",") {
		name = strings.TrimPrefix(strings.TrimSpace(name), "constants.")
		for line := range strings.Lines(string(constants)) {
			key, value, _ := strings.Cut(line, "=")
			if name != "" && strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(key), " string")) == name {
				rules.Ignored = append(rules.Ignored, strings.Trim(strings.TrimSpace(value), `"`))
			}
		}
	}
	if len(rules.Ignored) < 4 {
		return rules, fmt.Errorf("read the injector's source: IgnoredNamespaces are %v", rules.Ignored)
	}
	return rules, nil
}

// words reads the cases of the first switch over texts.
func words(body *ast.BlockStmt, rules *meshfacts.Injector) {
	for _, statement := range body.List {
		s, ok := statement.(*ast.SwitchStmt)
		if !ok || len(rules.Asks) > 0 {
			continue
		}
		_, rules.AnyCase = s.Tag.(*ast.CallExpr) // strings.ToLower
		for _, c := range s.Body.List {
			var texts []string
			for _, e := range c.(*ast.CaseClause).List {
				if literal, ok := e.(*ast.BasicLit); ok {
					if text, err := strconv.Unquote(literal.Value); err == nil && text != "" {
						texts = append(texts, text)
					}
				}
			}
			for _, assigned := range c.(*ast.CaseClause).Body {
				a, ok := assigned.(*ast.AssignStmt)
				if !ok || fmt.Sprint(a.Lhs[0]) != "inject" {
					continue
				}
				if fmt.Sprint(a.Rhs[0]) == "true" {
					rules.Asks = append(rules.Asks, texts...)
				} else {
					rules.Refuses = append(rules.Refuses, texts...)
				}
			}
		}
	}
}

// descriptors reads the protobuf files that istio.io/api's Go packages of the mesh
// configuration hold.
func descriptors(api string) ([]*descriptorpb.FileDescriptorProto, error) {
	var files []*descriptorpb.FileDescriptorProto
	for _, pattern := range []string{"mesh/v1alpha1/*.pb.go", "networking/v1alpha3/*.pb.go", "networking/v1beta1/*.pb.go", "type/v1beta1/*.pb.go"} {
		names, err := filepath.Glob(filepath.Join(api, pattern))
		if err != nil || len(names) == 0 {
			return nil, errors.Join(err, fmt.Errorf("%s has no %s", api, pattern))
		}
		slices.Sort(names)
		for _, name := range names {
			raw, err := rawDescriptor(name)
			if err != nil {
				return nil, err
			}
			file := &descriptorpb.FileDescriptorProto{}
			if err := (proto.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(raw, file); err != nil {
				return nil, fmt.Errorf("read the descriptor in %s: %w", name, err)
			}
			files = append(files, file)
		}
	}
	return files, nil
}

// rawDescriptor is the descriptor in a generated file: a list of bytes, or in newer ones a
// text in many parts.
func rawDescriptor(name string) ([]byte, error) {
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		return nil, fmt.Errorf("read generated code: %w", err)
	}
	var raw []byte
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || !strings.HasSuffix(spec.Names[0].Name, "_rawDesc") {
			return true
		}
		ast.Inspect(spec.Values[0], func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok {
				return true
			}
			if literal.Kind == token.INT {
				b, err := strconv.ParseUint(literal.Value, 0, 8)
				if err == nil {
					raw = append(raw, byte(b))
				}
			} else if text, err := strconv.Unquote(literal.Value); err == nil {
				raw = append(raw, text...)
			}
			return true
		})
		return false
	})
	if len(raw) == 0 {
		return nil, fmt.Errorf("no descriptor in %s", name)
	}
	return raw, nil
}
