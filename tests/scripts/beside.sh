#!/usr/bin/env bash
# Runs a command, and another one beside it in the time that it leaves: beside.sh OTHER -- COMMAND [ARG...]. OTHER is one word, for a
# shell. It begins later, so that the command has found what it needs of cargo's, which locks the build products, and what it prints
# comes at the end. Fails if one of both does.
set -euo pipefail
other=$1
[[ ${2:-} == -- && $# -gt 2 ]] || { echo "usage: beside.sh OTHER -- COMMAND [ARG...]" >&2; exit 2; }
shift 2

output=$(mktemp)
pids=()
stop() {
  local status=$?
  ((!${#pids[@]})) || kill "${pids[@]}" 2>/dev/null || true
  rm -f "$output"
  exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

"$@" &
pids=($!)
(sleep 20 && exec nice -n 19 bash -c "$other") >"$output" 2>&1 &
pids+=($!)

failed=0
wait "${pids[0]}" || failed=$?
wait "${pids[1]}" || { failed=$?; echo "failed: $other" >&2; }
pids=()
cat "$output"
exit "$failed"
