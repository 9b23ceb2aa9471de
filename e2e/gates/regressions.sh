#!/usr/bin/env bash
# Measures what a gate by pairs must find, each with at most eight pairs of one-pod: memory of a
# sidecar, a count, memory of istiod. A chart value really makes each dearer.
#
#   e2e/gates/regressions.sh [OUT [count] [memory] [istiod]]
#
# OUT is the folder (default runs/regressions-TIME); one of before goes on. Environment: MESHBENCH,
# the program (bin/meshbench); ISTIO, the version (1.23.2); LOAD=1 has another run of headless
# beside it all the time; LOCK, a file that is locked while it measures; MEMORY, the
# chart values that raise a sidecar's memory; METRIC and VALUE, what is judged of istiod and the
# chart value that raises it. Prints a table; exit code 1 if anything was not found.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-runs/regressions-$(date +%Y%m%d-%H%M%S)}
shift $(($# > 0))
meshbench=${MESHBENCH:-bin/meshbench} version=${ISTIO:-1.23.2}
metric=${METRIC:-istiod_live_heap_bytes} value=${VALUE:-pilot.env.PILOT_ENABLE_AMBIENT=true}
memory=${MEMORY:-'meshConfig.defaultConfig.proxyStatsMatcher.inclusionRegexps[0]=.*,set=meshConfig.accessLogFile=/dev/stdout'}
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
# look_for NAME WORD SET FLAG... measures a candidate with the chart value SET, of which WORD must
# be found.
look_for() {
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

# memory: all statistics of Envoy, and an access log: 3.6 % of one-pod on 2026-11-29. istiod: its
# indexes for ambient, 4.8 % of its live heap; they come with a cluster, which would be found first.
printf '| what | chart value | verdict | pairs | found |\n|---|---|---|---:|---|\n'
for what in "${@:-count memory istiod}"; do
  for name in $what; do
    case $name in
      count) look_for count cluster_rows 'meshConfig.defaultConfig.tracing.zipkin.address=zipkin.istio-system:9411' ;;
      memory) look_for memory sidecar_memory_bytes "$memory" ;;
      istiod) look_for istiod "$metric" "$value" --alarm counts=off ;;
      *) echo "unknown: $name; known are count, memory, istiod" >&2; exit 2 ;;
    esac
  done
done
[ "$missed" = 0 ]
