#!/usr/bin/env bash
# Runs a command beside real servers: with-services.sh NAME... -- COMMAND [ARG...]
# Each NAME is a script in tests/scripts/services: `NAME.sh DIR PORT` installs what it needs, starts its server on
# 127.0.0.1:PORT with its data in DIR, writes the ids of its processes to DIR/pids, waits until the server answers, and
# prints the lines `NAME=value` that the command's environment gets. All servers are stopped when the command ends.
# A server that cannot be had is a failure.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

names=()
while (($#)) && [[ $1 != -- ]]; do
  names+=("$1")
  shift
done
[[ ${1:-} == -- && $# -gt 1 ]] || { echo "usage: with-services.sh NAME... -- COMMAND [ARG...]" >&2; exit 2; }
shift

root=$(mktemp -d)
# Some servers run as another user.
chmod 755 "$root"
stop() {
  local status=$? pids=() pid left=100
  for file in "$root"/*/pids; do
    [[ -e $file ]] && while read -r pid; do pids+=("$pid"); done <"$file"
  done
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do
    while ((left-- > 0)) && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  done
  rm -rf "$root"
  exit "$status"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A port that is free, with the seven behind it (one server takes them, too), below the range that the kernel hands out itself.
free_port() {
  local port at
  for _ in {1..200}; do
    port=$((20000 + RANDOM % 1500 * 8))
    for at in {0..7}; do
      if (exec 3<>"/dev/tcp/127.0.0.1/$((port + at))") 2>/dev/null; then continue 2; fi
    done
    echo "$port"
    return
  done
  echo "no free port" >&2
  return 1
}

for name in "${names[@]}"; do
  dir=$root/$name
  mkdir -m 755 "$dir"
  "$here/services/$name.sh" "$dir" "$(free_port)" >"$dir/environment" 2>"$dir/start.log" || {
    echo "the service '$name' did not start:" >&2
    tail -n 40 "$dir/start.log" >&2
    exit 1
  }
  while IFS= read -r line; do export "${line?}"; done <"$dir/environment"
done
"$@"
