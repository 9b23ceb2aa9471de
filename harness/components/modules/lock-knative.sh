#!/usr/bin/env bash
# Writes knative-RELEASE.mod and .sum beside this script:
#
#   lock-knative.sh RELEASE        lock-knative.sh 0.42.2
#
# RELEASE is the version of module knative.dev/serving. Needs the network. README.md says
# why the result looks as it does. "own" as second argument keeps the versions of
# Kubernetes' modules that the release itself names, for those that do not compile with
# the pinned Kubernetes'.
set -euo pipefail
release=$1 kubernetes_versions=${2:-shared}
cd "$(dirname "$0")"
here=$PWD
serving=knative.dev/serving
programs=("$serving"/cmd/{activator,autoscaler,controller,webhook})
export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
upstream=$(cd / && go mod download -json "$serving@v$release" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
go_line=$(sed -n 's/^go //p' "$upstream")
replaces=$(sed -n 's/^replace \(.* => .*\)/\1/p; /^replace (/,/^)/ s/^\t\(.* => .*\)/\1/p' "$upstream")

# write_mod writes go.mod; standard input is "module version" lines.
write_mod() {
  {
    echo "// Knative Serving $release: controller, webhook, autoscaler, activator, and their"
    echo "// configuration. README.md beside this file says how it is made."
    printf 'module meshbench.invalid/knative\n\ngo %s\n\nrequire %s v%s\n\nrequire (\n' "$go_line" "$serving" "$release"
    sort -u | sed '/^$/d; /^knative.dev\/serving /d; s/^\(.*\)$/\t\1 \/\/ indirect/'
    printf ')\n'
    [ -z "$replaces" ] || sed 's/^/\nreplace /' <<<"$replaces"
  } >go.mod
}

# modules lists the modules that the programs import from, on both architectures.
modules() {
  for arch in amd64 arm64; do
    GOARCH=$arch go list -deps -f '{{with .Module}}{{.Path}} {{.Version}}{{end}}' "${programs[@]}"
  done | sed '/^$/d; /^meshbench.invalid/d' | sort -u
}

# What Kubernetes pins raises the versions here, and it replaces one module that Knative
# imports through client-go. Of it all only what is imported stays.
kubernetes=("$here"/kubernetes-*.mod)
pins=
if [ "$kubernetes_versions" = shared ]; then
  mergo=$(sed -n 's/^replace \(github.com\/imdario\/mergo => .*\)/\1/p' "${kubernetes[-1]}")
  replaces=$(printf '%s\n%s' "$replaces" "$mergo" | sed '/^$/d')
  pins=$(sed -n 's/^\t\([^ ]*\) \(v[^ ]*\)\( \/\/ indirect\)\{0,1\}$/\1 \2/p' "${kubernetes[-1]}" |
    grep -v -e '^k8s.io/kubernetes ' -e '^sigs.k8s.io/metrics-server ')
fi
write_mod <<<"$pins"
modules >imported
write_mod <imported
rm -f go.sum
modules >/dev/null
GOFLAGS=-mod=readonly modules | cmp - imported
cp go.mod "$here/knative-$release.mod"
cp go.sum "$here/knative-$release.sum"
