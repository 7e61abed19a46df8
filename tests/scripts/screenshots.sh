#!/usr/bin/env bash
# Takes the pictures of the page that the README shows anew, in both themes, from the release binary: screenshots.sh [FOLDER]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath "${1:-$here/../../host/management/page}")
cd "$here/../e2e"
[[ node_modules/.package-lock.json -nt package-lock.json ]] || npm ci --no-audit --no-fund --loglevel=error
exec node screenshots.mjs "$folder"
