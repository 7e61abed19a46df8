#!/usr/bin/env bash
# Behaves like `larder serve`, but runs the composed component under a stock wasmtime: for the suite of real clients, as
# LARDER_TEST_BINARY, which is a link to this file beside the component. The settings are the native server's variables.
set -euo pipefail
component=$(dirname "$0")/larder-serve.wasm
here=$(dirname "$(readlink -f "$0")")

wasmtime=$("$here/clients/wasmtime.sh")/wasmtime
listen=${LARDER_LISTEN:-127.0.0.1:0}
if [[ $listen == *:0 ]]; then
  # wasmtime has to be told the port in its settings, too: no Host field reaches a component.
  listen=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print("127.0.0.1:%d" % s.getsockname()[1])')
fi
mkdir -p "$LARDER_DATA"

settings=(--env "API_BASE_URL=${API_BASE_URL:-http://$listen}")
for name in ACTIONS_TOKEN_ISSUER DEBUG DEFAULT_ACTIONS_RESULTS_URL LARDER_CASE_SENSITIVE_KEYS LARDER_DEFAULT_REPOSITORY \
  LARDER_HS256_SECRET LARDER_JWKS_FILE LARDER_MAX_BYTES LARDER_PARALLEL_DOWNLOAD_URL LARDER_SWEEP_TOKEN RUST_LOG \
  SKIP_TOKEN_VALIDATION URL_SIGNING_SECRET; do
  [[ -z ${!name+set} ]] || settings+=(--env "$name=${!name}")
done
# The one setting of a configuration file that a case sets.
if [[ -n ${LARDER_CONFIG:-} ]]; then
  idle_ms=$(sed -n 's/^idle_upload_ms = //p' "$LARDER_CONFIG")
  [[ -z $idle_ms ]] || settings+=(--env "LARDER_IDLE_UPLOAD_MS=$idle_ms")
fi

"$wasmtime" serve -S cli=y --no-logging-prefix --dir "$LARDER_DATA::/data" --addr "$listen" \
  "${settings[@]}" "$component" &
server=$!
trap 'kill "$server" 2>/dev/null || true' TERM INT
until curl --silent --fail --output /dev/null "http://$listen/health"; do
  kill -0 "$server" 2>/dev/null || { wait "$server"; exit 1; }
  sleep 0.1
done
echo "listening on http://$listen"
# A signal interrupts the first wait.
wait "$server" || true
wait "$server" 2>/dev/null || true
