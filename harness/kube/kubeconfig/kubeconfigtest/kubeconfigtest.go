// Package kubeconfigtest writes kubeconfigs for tests.
package kubeconfigtest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// Write writes a kubeconfig with the context ours of the server, and what else is given.
func Write(t testing.TB, server, current, user string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %q
clusters: [{name: c, cluster: {server: %q}}]
contexts: [{name: ours, context: {cluster: c, user: alice}}, {name: other, context: {cluster: c, user: alice}}]
users: [{name: alice, user: {%s}}]
`, current, server, user)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
