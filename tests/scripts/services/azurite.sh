#!/usr/bin/env bash
# A server that speaks the protocol of Azure Blob Storage, for tests: azurite.sh DIR PORT (see ../with-services.sh).
# It checks signatures, with the account and key that every such emulator has. Installed once beside the other tools.
set -euo pipefail
dir=$1
port=$2
container=larder-test
version=3.37.0
tools=${XDG_CACHE_HOME:-$HOME/.cache}/larder/tools
home=$tools/azurite-$version
account=devstoreaccount1
key='Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=='
here=$(cd "$(dirname "$0")" && pwd)

install() {
  "$here/../need.sh" node npm
  rm -rf "$home.new"
  mkdir -p "$home.new"
  npm install --prefix "$home.new" --silent --no-audit --no-fund --no-save "azurite@$version"
  mv "$home.new" "$home"
}

mkdir -p "$tools"
exec 9>"$tools/azurite.lock"
flock 9
[[ -d $home ]] || install >&2
exec 9>&-
"$here/../need.sh" python3

node "$home/node_modules/azurite/dist/src/blob/main.js" --blobHost 127.0.0.1 --blobPort "$port" \
  --silent --disableTelemetry --inMemoryPersistence --skipApiVersionCheck >"$dir/log" 2>&1 &
echo $! >"$dir/pids"

# The container is made with a signed request, once the server answers.
python3 - "$port" "$account" "$key" "$container" >&2 <<'PYTHON' || { cat "$dir/log" >&2; exit 1; }
import base64, email.utils, hashlib, hmac, sys, time, urllib.error, urllib.request

port, account, key, container = sys.argv[1:]
path = f"/{account}/{container}"
for attempt in range(300):
    headers = {"x-ms-date": email.utils.formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
    signed = "".join(f"{name}:{value}\n" for name, value in sorted(headers.items()))
    text = "PUT\n" + "\n" * 11 + signed + f"/{account}{path}\nrestype:container"
    digest = hmac.new(base64.b64decode(key), text.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {account}:{base64.b64encode(digest).decode()}"
    url = f"http://127.0.0.1:{port}{path}?restype=container"
    try:
        urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=5)
        sys.exit(0)
    except urllib.error.HTTPError as error:
        sys.exit(f"the container cannot be made: {error} {error.read().decode()}")
    except OSError:
        time.sleep(0.1)
sys.exit("no answer")
PYTHON
echo "LARDER_TEST_AZBLOB_CONNECTION_STRING=DefaultEndpointsProtocol=http;AccountName=$account;AccountKey=$key;BlobEndpoint=http://127.0.0.1:$port/$account;"
echo "LARDER_TEST_AZBLOB_CONTAINER=$container"
