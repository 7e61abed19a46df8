#!/usr/bin/env bash
# PostgreSQL for tests: postgres.sh DIR PORT (see with-services.sh). LARDER_TEST_CACHE_MIB: the size of its cache, for measurements.
set -euo pipefail
dir=$1 port=$2

# Debian keeps the server's programs out of PATH.
find_programs() { dirname "$(command -v initdb || find /usr/lib/postgresql -path '*/bin/initdb' 2>/dev/null | sort -V | tail -n 1)"; }
if [[ ! -x $(find_programs)/initdb ]]; then
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends postgresql >&2
fi
programs=$(find_programs)

# The server refuses to run as root.
run=()
if ((EUID == 0)); then
  user=$(id -un postgres 2>/dev/null || echo nobody)
  chown "$user" "$dir"
  run=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env "HOME=$dir")
fi
cd "$dir"
"${run[@]}" "$programs/initdb" -D "$dir/data" -U larder --auth trust --encoding UTF8 --locale C --no-sync >&2
"${run[@]}" "$programs/postgres" -D "$dir/data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories="$dir" \
  -c shared_buffers="${LARDER_TEST_CACHE_MIB:-128}MB" -c fsync=off -c full_page_writes=off -c max_connections=400 >"$dir/server.log" 2>&1 &
server=$!
echo "$server" >"$dir/pids"
for _ in {1..300}; do
  kill -0 "$server" || { cat "$dir/server.log" >&2; exit 1; }
  if "${run[@]}" psql -h 127.0.0.1 -p "$port" -U larder -d postgres -qAtc 'SELECT 1' >/dev/null 2>&1; then
    echo "LARDER_TEST_POSTGRES_URL=postgres://larder@127.0.0.1:$port/postgres"
    exit 0
  fi
  sleep 0.1
done
cat "$dir/server.log" >&2
exit 1
