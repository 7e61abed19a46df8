#!/usr/bin/env bash
# Runs the suite of real clients (tests/e2e) against the release binary: e2e.sh [FILE...]
# Installs the clients from the lock file first, where they are not there yet.
set -euo pipefail
cd "$(dirname "$0")/../e2e"

# npm writes this file last, so it tells which lock file the installed packages belong to.
if [[ ! node_modules/.package-lock.json -nt package-lock.json ]]; then
  npm ci --no-audit --no-fund --loglevel=error
fi
# Each file of cases has a server of its own, so two run at once; one server for all is disturbed by nothing but one file.
files_at_once=2
[[ -z ${LARDER_TEST_URL:-} ]] || files_at_once=1
(($#)) || set -- cases/*.test.mjs
# The limit is for a file, too, its process's end included: one that hangs is a failure with a name.
exec node --test --test-timeout=900000 --test-concurrency="$files_at_once" --test-reporter=spec "$@"
