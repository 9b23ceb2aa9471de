#!/usr/bin/env bash
# Measures what a gate by pairs must find, each with at most eight pairs of one-pod: memory of a
# sidecar, a count, memory of istiod. A chart value really makes each dearer.
#
#   e2e/gates/regressions.sh [OUT]
#
# OUT is the folder (default runs/regressions-TIME); one of before goes on. Environment: MESHBENCH, the
# program (bin/meshbench); ISTIO, the version (1.23.2); LOAD=1 has another run of headless
# beside it all the time; LOCK, a file that is locked while it measures. Prints a table; exit
# code 1 if anything was not found.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-runs/regressions-$(date +%Y%m%d-%H%M%S)}
meshbench=${MESHBENCH:-bin/meshbench} version=${ISTIO:-1.23.2}
mkdir -p "$out"
if [ -n "${LOCK:-}" ]; then
  exec 9>"$LOCK"
  flock 9
fi

load=
if [ -n "${LOAD:-}" ]; then
  (
    trap 'kill -INT "$run" 2>/dev/null; wait "$run"; exit 0' TERM
    for ((n = 1; ; n++)); do
      "$meshbench" run headless --out "$out/load-$(date +%s)-$n" >/dev/null 2>&1 &
      run=$!
      wait "$run" || true
    done
  ) &
  load=$!
  trap 'kill "$load" 2>/dev/null; wait "$load" || true' EXIT
fi

missed=0
# find NAME WORD SET FLAG... measures a candidate with the chart value SET, of which WORD must
# be found.
find() {
  local name=$1 word=$2 set=$3 code=0
  shift 3
  "$meshbench" gate --reference "istio=$version" --candidate "istio=$version,set=$set" --scenario one-pod \
    --repeat 8 --out "$out/$name" "$@" >"$out/$name.txt" 2>"$out/$name.err" || code=$?
  if [ "$code" = 130 ] || [ ! -s "$out/$name/verdict.json" ]; then
    cat "$out/$name.err" >&2
    exit "$code"
  fi
  if [ "$code" != 5 ] || ! grep -q "^REGRESSION .*$word" "$out/$name.txt"; then
    missed=$((missed + 1))
  fi
  jq -r --arg name "$name" --arg set "$set" --argjson code "$code" '
    "| \($name) | `\($set)` | \(.kind) (exit code \($code)) | \(.pairs) of \(.planned) | \([.findings[].text] | join("; ")) |"' "$out/$name/verdict.json"
}

printf '| what | chart value | verdict | pairs | found |\n|---|---|---|---:|---|\n'
find memory sidecar_memory_bytes "$MEMORY"
find count cluster_rows 'meshConfig.defaultConfig.tracing.zipkin.address=zipkin.istio-system:9411'
find istiod "$ISTIOD_METRIC" "$ISTIOD" --alarm "$ISTIOD_METRIC=5%"
[ "$missed" = 0 ]
