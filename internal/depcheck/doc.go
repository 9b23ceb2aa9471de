// Package depcheck holds the tests of how the tree is cut: what a folder may import, and
// how long a file may be. It has no code of its own.
package depcheck
