// Package childenv says what other programs are told of this program's environment. Each gets
// what it needs by name and nothing else: a token for a cloud or a registry that stands in
// somebody's shell is nothing that a compiler, an Envoy or an application of a scenario has to
// know, and LD_PRELOAD is nothing that may change what is measured.
package childenv

import (
	"os"
	"slices"
	"strings"
)

// SearchPath is the PATH of programs of a cluster, whatever the caller's is.
const SearchPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// None is the environment of programs that are asked for something simple. It is not nil, which
// os/exec takes for all of this program's.
func None() []string { return []string{} }

// Variables that kinds of programs need. A name that ends in * stands for all that begin so.
var (
	// person says whose files and which language: where caches and settings are.
	person = []string{"PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "LANG", "LANGUAGE", "LC_*", "TZ", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
	// network says how others are reached, proxies and certificates. A proxy's password may be
	// in it: without it nothing is reached.
	network = []string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"}
	// golang is what the go command reads (go help environment); its settings of builds are set
	// by who calls it. Modules are fetched by git and the like where there is no proxy for them.
	golang = []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOSUMCHECK", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOVCS", "GOAUTH", "GOENV", "GOROOT", "GOPATH",
		"GOCACHE", "GOMODCACHE", "GOTOOLCHAIN", "GOTOOLDIR", "GOMAXPROCS", "GOGC", "GOMEMLIMIT", "GOTELEMETRY", "GODEBUG", "NETRC",
		"GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_TERMINAL_PROMPT", "GIT_CONFIG_*", "GOAMD64", "GOARM64"}
	// python is what pip reads, with where a Python of one's own is.
	python = []string{"PIP_*", "PYTHONHOME", "VIRTUAL_ENV", "PYENV_ROOT", "PYENV_VERSION", "CONDA_PREFIX", "NETRC"}
	// engines are what clients of container engines read.
	engines = []string{"DOCKER_*", "CONTAINER_HOST", "CONTAINER_CONNECTION", "CONTAINERS_*", "CONTAINERD_*", "NERDCTL_*", "REGISTRY_AUTH_FILE", "STORAGE_*",
		"XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "KIND_EXPERIMENTAL_*"}
)

// Go is the environment of the go command.
func Go() []string { return pick(os.Environ(), person, network, golang) }

// Python is the environment of pip.
func Python() []string { return pick(os.Environ(), person, network, python) }

// Engine is the environment of a container engine's client. The agent of SSH is in it only where
// the engine is reached so.
func Engine() []string {
	env := os.Environ()
	for _, name := range []string{"DOCKER_HOST", "CONTAINER_HOST"} {
		if strings.HasPrefix(os.Getenv(name), "ssh://") {
			return pick(env, person, network, engines, []string{"SSH_AUTH_SOCK"})
		}
	}
	return pick(env, person, network, engines)
}

// pick are the variables of an environment that have one of the names.
func pick(env []string, names ...[]string) []string {
	wanted := slices.Concat(names...)
	picked := []string{}
	for _, variable := range env {
		name, _, _ := strings.Cut(variable, "=")
		if slices.ContainsFunc(wanted, func(w string) bool {
			begin, all := strings.CutSuffix(w, "*")
			return w == name || all && strings.HasPrefix(name, begin)
		}) {
			picked = append(picked, variable)
		}
	}
	return picked
}
