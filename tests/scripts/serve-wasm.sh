#!/usr/bin/env bash
# Prints the command that serves the composed component, and runs it where there is a wasmtime: serve-wasm.sh COMPONENT.
# LARDER_DATA is the directory, LARDER_LISTEN the address; without settings of its own it accepts every token, on the loopback
# interface only.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

component=$1
data=${LARDER_DATA:-data}
listen=${LARDER_LISTEN:-127.0.0.1:8080}
trust=SKIP_TOKEN_VALIDATION=true
[[ -z ${LARDER_HS256_SECRET:-} ]] || trust=LARDER_HS256_SECRET=$LARDER_HS256_SECRET
arguments=(serve -S cli=y --no-logging-prefix --dir "$data::/data" --addr "$listen"
  --env "API_BASE_URL=${API_BASE_URL:-http://$listen}" --env "$trust" "$component")

printf 'wasmtime'
printf ' %q' "${arguments[@]//${LARDER_HS256_SECRET:-no secret}/…}"
echo
if [[ $trust == SKIP* ]]; then
  echo 'tokens are NOT verified: set LARDER_HS256_SECRET, or the issuer and its keys (README)' >&2
  [[ $listen == 127.0.0.1:* || $listen == localhost:* ]] || { echo 'so only the loopback interface is served' >&2; exit 1; }
fi
if ! folder=$("$here/clients/wasmtime.sh"); then
  echo 'there is no wasmtime: install it (https://wasmtime.dev), then run the command above' >&2
  exit
fi
mkdir -p "$data"
exec "$folder/wasmtime" "${arguments[@]}"
