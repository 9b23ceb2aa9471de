#!/usr/bin/env bash
# The first step of action.yml: installs meshbench, prepares the machine, and names the
# cache of components. In: VERSION, ACTION_REF, SCENARIO, ARGUMENTS and GitHub's own
# variables. Out: a folder on PATH; outputs cache (its folder), pins and wishes (parts of
# its key).
set -euo pipefail

bin=${RUNNER_TEMP:?}/meshbench-bin
mkdir -p "$bin"
export CGO_ENABLED=0
if [ -n "${VERSION:-}" ]; then
  GOBIN=$bin go install "github.com/meshbench/meshbench/cmd/meshbench@$VERSION"
  pins=$("$bin/meshbench" --version | tr -c '[:alnum:].\n' - | tail -n 1)
else
  # Another repository gets the action without its history, so the ref names the version.
  flags="-s -w${ACTION_REF:+ -X main.version=$ACTION_REF}"
  GOGC="${GOGC:-300}" go build -C "${GITHUB_ACTION_PATH:?}" -trimpath -gcflags=all=-dwarf=false -ldflags "$flags" -o "$bin/meshbench" ./cmd/meshbench
  pins=$(cat "$GITHUB_ACTION_PATH"/harness/components/modules/* "$GITHUB_ACTION_PATH"/harness/components/*.go | sha256sum | cut -c 1-16)
fi
"$bin/meshbench" --version

# Ubuntu 24.04 forbids user namespaces to ordinary users; the embedded cluster needs them.
# Where this is not allowed, or not necessary, meshbench says so itself.
sudo -n sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 fs.inotify.max_user_instances=1024 2>/dev/null || true

echo "$bin" >>"${GITHUB_PATH:?}"
{
  echo "cache=${MESHBENCH_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/meshbench}"
  echo "pins=$pins"
  echo "wishes=$(printf '%s\n' "${SCENARIO:-}" "${ARGUMENTS:-}" | sha256sum | cut -c 1-16)"
} >>"${GITHUB_OUTPUT:?}"
