// Package skip is how this repository's tests leave out what they cannot show. A skip is
// invisible without -v, so that a suite which skips all of its tests looks like one that
// passes. Tests therefore skip through this package alone: it appends each skip to a list
// that make test prints at the end, and with MESHBENCH_REQUIRE=1, as in CI, it fails where
// somebody could have provided what was missing.
package skip

import (
	"fmt"
	"os"
	"runtime"
	"strings"
)

const (
	// RequireEnv is the environment variable that turns what is [Missing] into a failure,
	// when it is set to anything but "" or 0.
	RequireEnv = "MESHBENCH_REQUIRE"
	// ListEnv is the environment variable that names the file to which skips are appended,
	// one a line: package, test and reason between tabs. No list is kept without it.
	//
	// Inside the module the file also keeps the go command from caching the result of a
	// package that skips, since the package has opened a file that was just written.
	ListEnv = "MESHBENCH_SKIPS"
)

// T is the part of *testing.T and of GinkgoT() that is used.
type T interface {
	Helper()
	Name() string
	Skip(args ...any)
	Fatal(args ...any)
}

// Required reports whether what is missing must be provided.
func Required() bool {
	value := os.Getenv(RequireEnv)
	return value != "" && value != "0"
}

// Missing skips a test for want of something that somebody could provide on this machine:
// a component, a package, another flag. The reason says what, and how. With
// MESHBENCH_REQUIRE=1 the test fails instead.
func Missing(t T, format string, args ...any) {
	t.Helper()
	reason := fmt.Sprintf(format, args...)
	if Required() {
		t.Fatal(reason + "\nthis would be a skip without " + RequireEnv)
		return
	}
	skip(t, reason)
}

// NotHere skips a test that does not apply to this machine or this user, whatever is
// installed: it needs root, another kernel, or belongs to a suite of its own.
func NotHere(t T, format string, args ...any) {
	t.Helper()
	skip(t, fmt.Sprintf(format, args...))
}

func skip(t T, reason string) {
	t.Helper()
	if err := list(caller(), t.Name(), reason); err != nil {
		t.Fatal(err)
		return
	}
	t.Skip(reason)
}

// list appends a line. Test binaries run at the same time: a short write to a file that is
// opened for appending is not torn.
func list(pkg, test, reason string) error {
	path := os.Getenv(ListEnv)
	if path == "" {
		return nil
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("cannot list a skipped test: %w", err)
	}
	defer file.Close()
	line := strings.Join(strings.Fields(reason), " ")
	if _, err := fmt.Fprintf(file, "%s\t%s\t%s\n", pkg, test, line); err != nil {
		return fmt.Errorf("cannot list a skipped test: %w", err)
	}
	return nil
}

// module is the path before all packages of this module.
const module = "github.com/meshbench/meshbench/"

// caller is the package of whoever called Missing or NotHere.
func caller() string {
	pc, _, _, ok := runtime.Caller(3)
	if !ok {
		return "?"
	}
	function := runtime.FuncForPC(pc).Name() // PATH/package.Function.func1
	slash := strings.LastIndexByte(function, '/')
	pkg, _, _ := strings.Cut(function[slash+1:], ".")
	return strings.TrimPrefix(function[:slash+1], module) + pkg
}
