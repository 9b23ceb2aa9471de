package history

import (
	"bytes"
	"fmt"
	"strings"
)

// The lines between which a generated text stands in a document that is written by hand.
const (
	begin = "<!-- meshbench history: what follows is generated -->"
	end   = "<!-- meshbench history: end -->"
)

// Insert puts generated Markdown between the two lines of a document that mark its place.
// Headings move a level down, for the document has a title of its own.
func Insert(document []byte, generated string) ([]byte, error) {
	before, rest, found := bytes.Cut(document, []byte(begin+"\n"))
	if !found {
		return nil, fmt.Errorf("it has no line %q, which marks where the history belongs", begin)
	}
	_, after, found := bytes.Cut(rest, []byte(end+"\n"))
	if !found {
		return nil, fmt.Errorf("the line %q is not followed by a line %q", begin, end)
	}
	if bytes.Contains(after, []byte(begin+"\n")) {
		return nil, fmt.Errorf("it has the line %q twice", begin)
	}
	lines := strings.Split(strings.TrimSpace(generated), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "#") {
			lines[i] = "#" + line
		}
	}
	var b bytes.Buffer
	b.Write(before)
	fmt.Fprintf(&b, "%s\n\n%s\n\n%s\n", begin, strings.Join(lines, "\n"), end)
	b.Write(after)
	return b.Bytes(), nil
}
