package scenarios

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDocs loads every scenario that a page of docs/ shows.
func TestDocs(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	schema, found := compileSchema(t), 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range strings.Split(string(text), "```yaml\n")[1:] {
			block, _, closed := strings.Cut(block, "```")
			if !closed || !strings.HasPrefix(block, "name: ") {
				continue
			}
			found++
			s, err := Load(page, []byte(block), nil)
			if err != nil {
				t.Errorf("example %d of %s: %v", i+1, page, err)
				continue
			}
			rendersToItself(t, s)
			if err := schema.Validate(instance(t, []byte(block))); err != nil {
				t.Errorf("example %d of %s: %v", i+1, page, err)
			}
		}
	}
	if found < 2 {
		t.Errorf("%d examples found", found)
	}
}
