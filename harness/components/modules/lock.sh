#!/usr/bin/env bash
# Writes istio-RELEASE.mod and .sum beside this script:
#
#   lock.sh RELEASE VERSION      lock.sh 1.24.0 v0.0.0-20241105211601-8825a6b7f8c9
#
# VERSION is that of module istio.io/istio, which has no releases on module proxies: the
# pseudo-version of the release's commit. Needs the network. README.md says why the
# result looks as it does.
set -euo pipefail
release=$1 version=$2
cd "$(dirname "$0")"
here=$PWD
programs=(istio.io/istio/pilot/cmd/pilot-{discovery,agent} istio.io/istio/istioctl/cmd/istioctl)
export GOFLAGS=-mod=mod GONOSUMDB=istio.io/istio GOWORK=off CGO_ENABLED=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
upstream=$(cd / && go mod download -json "istio.io/istio@$version" | sed -n 's/^\t"GoMod": "\(.*\)",$/\1/p')
go_line=$(sed -n 's/^go //p' "$upstream")
replaces=$(sed -n 's/^replace \(.* => .*\)/\1/p; /^replace (/,/^)/ s/^\t\(.* => .*\)/\1/p' "$upstream")

# write_mod writes go.mod; standard input is "module version" lines.
write_mod() {
  {
    echo "// Istio $release: istiod, pilot-agent, istioctl and the charts. Versions that the"
    echo "// Kubernetes programs use too are theirs where these are higher, so that what both"
    echo "// import is compiled once. README.md beside this file says how it is made."
    printf 'module meshbench.invalid/istio\n\ngo %s\n\nrequire istio.io/istio %s\n\nrequire (\n' "$go_line" "$version"
    sort -u | sed '/^istio.io\/istio /d; s/^\(.*\)$/\t\1 \/\/ indirect/'
    printf ')\n'
    [ -z "$replaces" ] || printf '\nreplace %s\n' "$replaces"
  } >go.mod
}

# modules lists the modules that the programs import from, on both architectures.
modules() {
  for arch in amd64 arm64; do
    GOARCH=$arch go list -deps -f '{{with .Module}}{{.Path}} {{.Version}}{{end}}' "${programs[@]}"
  done | sed '/^$/d; /^meshbench.invalid/d' | sort -u
}

# Istio's API modules have releases; the commits that Istio's go.mod names are not on
# every proxy. What Kubernetes pins raises the versions here. Of it all only what is
# imported stays.
kubernetes=("$here"/kubernetes-*.mod)
{
  printf '%s\n' "istio.io/api v$release" "istio.io/client-go v$release"
  sed -n 's/^\t\([^ ]*\) \(v[^ ]*\)\( \/\/ indirect\)\{0,1\}$/\1 \2/p' "${kubernetes[-1]}" |
    grep -v -e '^k8s.io/kubernetes ' -e '^sigs.k8s.io/metrics-server ' -e '^github.com/imdario/mergo '
} | write_mod
modules >imported
write_mod <imported
rm -f go.sum
modules >/dev/null
GOFLAGS=-mod=readonly modules | cmp - imported
cp go.mod "$here/istio-$release.mod"
cp go.sum "$here/istio-$release.sum"
