#!/usr/bin/env bash
# Counts the false alarms of gates of one version against itself: fills a store with pairs of
# one-pod, then judges disjoint slices of six pairs. Called again, it measures what is missing.
#
#   e2e/gates/falsealarms.sh [STORE [MINUTES]]
#
# STORE is the file of records (default docs/data/falsealarms.jsonl), MINUTES how long it may
# measure in this call (default 60; 0 judges what is there). Environment: MESHBENCH, the program
# (bin/meshbench); GATES, how many (20); ISTIO, the version (1.23.2); LOCK, a file that is locked
# while it measures. Use one build for all calls: runs of different versions of meshbench make no
# pairs of one gate. Exit code: 1 for any alarm or failure, 4 while pairs are missing.
set -euo pipefail
cd "$(dirname "$0")/../.."
store=${1:-docs/data/falsealarms.jsonl} minutes=${2:-60}
meshbench=${MESHBENCH:-bin/meshbench} gates=${GATES:-20} version=${ISTIO:-1.23.2}
pairs=6

# A pair is stored when both of its runs are done.
have=0
if [ -s "$store" ]; then
  have=$(jq -s '[group_by(.pair.set, .pair.number)[] | select(length == 2)] | length' "$store")
fi
missing=$((gates * pairs - have))
if [ "$minutes" -gt 0 ] && [ "$missing" -gt 0 ]; then
  measure=("$meshbench" gate --reference "istio=$version" --candidate "istio=$version" --scenario one-pod
    --collect --discard --repeat "$missing" --store "$store" --out "runs/falsealarms-$(date +%Y%m%d-%H%M%S)" --max-minutes "$minutes")
  code=0
  ${LOCK:+flock "$LOCK"} "${measure[@]}" || code=$?
  # 4 says that the time given is over.
  [ "$code" = 0 ] || [ "$code" = 4 ] || exit "$code"
fi

alarms=0 judged=0
verdict=$(mktemp)
trap 'rm -f "$verdict"' EXIT
printf '| pairs | verdict | change | interval | finds |\n|---|---|---:|---|---:|\n'
for ((i = 0; i < gates; i++)); do
  range=$((i * pairs + 1))-$(((i + 1) * pairs))
  code=0
  "$meshbench" gate --store "$store" --pairs "$range" --json "$verdict" >/dev/null 2>"$verdict.err" || code=$?
  if [ "$code" = 1 ] && grep -q 'too few pairs\|none of the number' "$verdict.err"; then
    rm -f "$verdict.err"
    break
  fi
  judged=$((judged + 1))
  case $code in
    0) ;;
    5) alarms=$((alarms + 1)) ;;
    *) cat "$verdict.err" >&2; exit 1 ;;
  esac
  rm -f "$verdict.err"
  jq -r --arg range "$range" '.kind as $kind | .figures[] | select(.judged) |
    "| \($range) | \($kind) | \(.change * 1000 | round / 10) % | \(.lo * 1000 | round / 10) to \(.hi * 1000 | round / 10) % | \((.finds // 0) * 1000 | round / 10) % |"' "$verdict"
done
jq -rs '"\nMachine: \(.[0].machine.os), \(.[0].machine.cpus) CPUs, kernel \(map(.machine.kernel) | unique | join(" and ")), memory by \(.[0].environment.memorySource); \(map(.date) | min[:10]) to \(map(.date) | max[:10]); \(length) runs of \(.[0].scenario) with Istio \(.[0].environment.istio)."' "$store"
printf '%d of %d gates of the same version raise an alarm.\n' "$alarms" "$judged"
[ "$alarms" = 0 ] || exit 1
[ "$judged" = "$gates" ] || exit 4
