package reliability

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "doc.md")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("a\n<!-- begin: x -->\nold\n<!-- end: x -->\nb\n")
	for range 2 { // filled again, it is the same
		if err := Fill(path, "x", "new\n"); err != nil {
			t.Fatal(err)
		}
		if text, _ := os.ReadFile(path); string(text) != "a\n<!-- begin: x -->\n\nnew\n\n<!-- end: x -->\nb\n" {
			t.Errorf("filled: %q", text)
		}
	}
	write("text\n")
	if err := Fill(path, "x", "new"); err == nil || !strings.HasPrefix(err.Error(), path+": ") {
		t.Errorf("error %v, want one that names the document", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "text\n" {
		t.Errorf("without markers the document is %q now", text)
	}
}
