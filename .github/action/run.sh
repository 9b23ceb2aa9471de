#!/usr/bin/env bash
# The last step of action.yml: runs a scenario, gates it, and writes the summary. In:
# SCENARIO, ARGUMENTS, OUT, BASELINE, GATE_ARGUMENTS. Out: outputs run, summary, exit-code
# and gate-exit-code; the job summary; and the exit code of the run, or of the gate if the
# run was good.
set -euo pipefail

scenario=${SCENARIO:-}
name=$(basename "$scenario" .yaml)
out=${OUT:-runs/$name-$(date +%Y%m%d-%H%M%S)}
summary=$out/summary.md

# split INPUT TEXT puts the words of TEXT into the array words. Quotes are a shell's, but
# nothing is expanded.
split() {
  local list
  list=$(mktemp)
  if ! xargs -r printf '%s\0' <<<"$2" >"$list"; then
    echo "cannot split the input $1 into words: $2" >&2
    rm -f "$list"
    exit 2
  fi
  mapfile -d '' -t words <"$list"
  rm -f "$list"
}

# meaning CODE says what an exit code of run or gate stands for.
meaning() {
  case $1 in
    0) echo passed ;;
    2) echo "bad usage, or a bad scenario file" ;;
    3) echo "an expectation was missed" ;;
    4) echo "the time limit was hit, or the run is not complete" ;;
    5) echo "a regression" ;;
    6) echo "a step was measured before the mesh settled" ;;
    7) echo "the pairs cannot tell" ;;
    130) echo interrupted ;;
    *) echo failed ;;
  esac
}

# table FILE prints a report's verdict and table: what stands before its first section.
table() {
  sed -e '/^## /,$d' -e 's/^# /### /' "$1"
}

# result prints the summary.
result() {
  local reports
  printf '## meshbench: %s\n\n' "$name"
  printf -- '- run: %s (exit code %d)\n' "$(meaning "$code")" "$code"
  if [ -n "$gate_code" ]; then
    printf -- '- gate: %s (exit code %d)\n' "$(meaning "$gate_code")" "$gate_code"
  elif [ -n "${BASELINE:-}" ]; then
    printf -- '- gate: not done, since the run did not finish\n'
  fi
  mapfile -t reports < <(find "$out" -name report.md | sort)
  if [ ${#reports[@]} -gt 0 ]; then
    printf '\n'
    table "${reports[0]}"
    if [ ${#reports[@]} -gt 1 ]; then
      printf '\nThis is the first of %d runs; the others are in %s.\n' ${#reports[@]} "$out"
    fi
  fi
  if [ -s "$out/gate.md" ]; then
    printf '\n'
    sed 's/^#/###/' "$out/gate.md"
  fi
  if [ -s "$out/gate.err" ]; then
    # Indented text is code whatever is in it.
    printf '\n'
    sed 's/^/    /' "$out/gate.err"
  fi
}

split arguments "${ARGUMENTS:-}"
arguments=("${words[@]}")
split gate-arguments "${GATE_ARGUMENTS:-}"
gate_arguments=("${words[@]}")

# What meshbench says has names and lines of logs in it, which a runner would take for commands
# of a workflow where they begin with ::.
quiet=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
echo "::stop-commands::$quiet"
trap 'echo "::$quiet::"' EXIT

code=0 gate_code=""
meshbench run "$scenario" "${arguments[@]}" --out "$out" || code=$?
mkdir -p "$out"
# A run that did not finish has nothing to be judged by.
if [ -n "${BASELINE:-}" ] && [[ $code =~ ^(0|3|6)$ ]]; then
  gate_code=0
  meshbench gate --baseline "$BASELINE" "${gate_arguments[@]}" \
    --markdown "$out/gate.md" --html "$out/gate.html" "$out" 2>"$out/gate.err" || gate_code=$?
  cat "$out/gate.err" >&2
fi
result >"$summary"
cat "$summary" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
{
  echo "run=$out"
  echo "summary=$summary"
  echo "exit-code=$code"
  echo "gate-exit-code=$gate_code"
} >>"${GITHUB_OUTPUT:-/dev/null}"
[ "$code" = 0 ] || exit "$code"
exit "${gate_code:-0}"
