#!/usr/bin/env bash
# MariaDB for tests: mariadb.sh DIR PORT (see with-services.sh). LARDER_TEST_CACHE_MIB: the size of its cache, for measurements.
set -euo pipefail
dir=$1 port=$2
export PATH=$PATH:/usr/sbin
command -v mariadbd >/dev/null || DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y --no-install-recommends mariadb-server >&2

# The server refuses to run as root.
run=()
if ((EUID == 0)); then
  user=$(id -un mysql 2>/dev/null || echo nobody)
  chown "$user" "$dir"
  run=(setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups env "HOME=$dir" "PATH=$PATH")
fi
cd "$dir"
"${run[@]}" mariadb-install-db --no-defaults --datadir="$dir/data" --auth-root-authentication-method=normal --skip-test-db >&2
"${run[@]}" mariadbd --no-defaults --datadir="$dir/data" --port="$port" --bind-address=127.0.0.1 --socket="$dir/socket" \
  --pid-file="$dir/server.pid" --innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=0 --max-connections=400 \
  --skip-name-resolve --innodb-buffer-pool-size="${LARDER_TEST_CACHE_MIB:-128}M" >"$dir/server.log" 2>&1 &
server=$!
echo "$server" >"$dir/pids"
client() { mariadb --no-defaults --socket="$dir/socket" --user=root "$@"; }
for _ in {1..300}; do
  kill -0 "$server" || { cat "$dir/server.log" >&2; exit 1; }
  if client -e "CREATE DATABASE larder; CREATE USER larder@'127.0.0.1' IDENTIFIED BY 'larder'; GRANT ALL ON *.* TO larder@'127.0.0.1'" 2>/dev/null; then
    echo "LARDER_TEST_MYSQL_URL=mysql://larder:larder@127.0.0.1:$port/larder"
    exit 0
  fi
  sleep 0.1
done
cat "$dir/server.log" >&2
exit 1
