package scenarios

import (
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// APIVersion is the version of the scenario file format that this package reads and
// writes. A file without an apiVersion is read as this version.
const APIVersion = "meshbench.dev/v1"

// otherVersion matches the name of a format of meshbench, whether it is known or not.
var otherVersion = regexp.MustCompile(`^meshbench\.dev/v[0-9]+([a-z]+[0-9]+)?$`)

// apiVersion reads the format's version ahead of everything else, takes it out of the
// node, and returns the version to decode the rest as. It returns "" for a format that
// this package does not know: what the other fields mean is then unknown, too.
func (d *decoder) apiVersion(root *yaml.Node) string {
	const field = "apiVersion"
	version := APIVersion
	var rest []*yaml.Node
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		switch {
		case key.Value != field:
			rest = append(rest, key, value)
		case d.at[field] != nil:
			d.problem(key, field, "duplicate field")
		default:
			d.at[field] = value
			if !d.isKnownVersion(value, field) {
				version = ""
			}
		}
	}
	root.Content = rest
	return version
}

// isKnownVersion notes a problem with any version but [APIVersion], and reports whether
// the rest of the file can be read nevertheless.
func (d *decoder) isKnownVersion(n *yaml.Node, path string) bool {
	place := n
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		d.problem(place, path, "want %s, got %s", APIVersion, got(n))
		return true
	}
	if n.Value == APIVersion {
		return true
	}
	hint := ""
	if isNear(n.Value, APIVersion) || strings.HasSuffix(APIVersion, "/"+strings.ToLower(n.Value)) {
		hint = "; did you mean \"" + APIVersion + "\"?"
	}
	d.problem(place, path, "unsupported version %q; supported: %s%s", n.Value, APIVersion, hint)
	return !otherVersion.MatchString(n.Value)
}
