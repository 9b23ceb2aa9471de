#!/usr/bin/env bash
# Writes UNIT-RELEASE.mod and .sum beside this script:
#
#   lock.sh UNIT RELEASE [own]        lock.sh knative 0.42.2
#
# UNIT is knative, coredns or fortio, RELEASE the version of its module. Needs the network.
# README.md says why the result looks as it does. "own" as third argument keeps the versions
# of Kubernetes' modules that the release itself names, for those that do not compile with
# the pinned Kubernetes'.
set -euo pipefail
unit=$1 release=$2 kubernetes_versions=${3:-shared}
cd "$(dirname "$0")"
here=$PWD
main=
case $unit in
knative)
  module=knative.dev/serving
  programs=("$module"/cmd/{activator,autoscaler,controller,webhook})
  about=("Knative Serving $release: controller, webhook, autoscaler, activator, and their" "configuration.") ;;
coredns)
  module=github.com/coredns/coredns
  programs=(meshbench.invalid/coredns/coredns)
  main=$here/coredns.txt
  about=("CoreDNS $release with the plugins that coredns.txt names.") ;;
fortio)
  module=fortio.org/fortio
  programs=(meshbench.invalid/fortio/fortio)
  about=("Fortio $release, which sends requests and answers them, without its scripts.") ;;
*) echo "lock.sh: no unit $unit" >&2; exit 2 ;;
esac
about[-1]+=" README.md beside this file says how it is made."
export GOFLAGS=-mod=mod GOWORK=off CGO_ENABLED=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
module_file() { (cd / && go mod download -json "$module@v$release" | sed -n 's/^\t"'"$1"'": "\(.*\)",$/\1/p'); }
if [ "$unit" = fortio ]; then # as traffic.go has it: main is package cli without one import
  main=$work/main.txt
  grep -v '"fortio.org/fortio/grol"' "$(module_file Dir)/cli/fortio_main.go" >"$main"
fi
if [ -n "$main" ]; then
  mkdir "$unit"
  cp "$main" "$unit/main.go"
fi
upstream=$(module_file GoMod)
go_line=$(sed -n 's/^go //p' "$upstream")
replaces=$(sed -n 's/^replace \(.* => .*\)/\1/p; /^replace (/,/^)/ s/^\t\(.* => .*\)/\1/p' "$upstream")

# write_mod writes go.mod; standard input is "module version" lines.
write_mod() {
  {
    printf '// %s\n' "${about[@]}"
    printf 'module meshbench.invalid/%s\n\ngo %s\n\nrequire %s v%s\n\nrequire (\n' "$unit" "$go_line" "$module" "$release"
    sort -u | sed "/^\$/d; \\|^$module |d; s/^\\(.*\\)\$/\\t\\1 \\/\\/ indirect/"
    printf ')\n'
    [ -z "$replaces" ] || awk '{ print "\nreplace " $0 }' <<<"$replaces"
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
cp go.mod "$here/$unit-$release.mod"
cp go.sum "$here/$unit-$release.sum"
