package reliability

import (
	"fmt"
	"os"
	"strings"
)

// Fill puts text between the markers of a name in the document at path, as [Between] does, with
// an empty line before and after it.
func Fill(path, name, text string) error {
	document, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	filled, err := Between(string(document), name, "\n"+strings.TrimSpace(text)+"\n\n")
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(filled), 0o644); err != nil {
		return fmt.Errorf("write the document: %w", err)
	}
	return nil
}
