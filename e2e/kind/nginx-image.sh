#!/bin/sh
# Make the image nginx:latest of Debian's own package, without an image registry: for
# tests on a machine that has none. Needs root, mmdebstrap and a container engine.
#
#   nginx-image.sh [ENGINE]        ENGINE is docker (default), podman or nerdctl
#
# The suite is this Debian's own; APT_SOURCES says where packages come from.
set -eu
engine=${1:-docker}
: "${SUITE:=$(. /etc/os-release; echo "$VERSION_CODENAME")}"
: "${APT_SOURCES:=/etc/apt/sources.list.d/debian.sources}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=essential --include=nginx-light \
  --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  "$SUITE" "$work/nginx.tar" "$APT_SOURCES"
"$engine" import --change 'CMD ["nginx", "-g", "daemon off;"]' "$work/nginx.tar" docker.io/library/nginx:latest
