#!/usr/bin/env bash
# Behaves like `larder serve`, but what the variables say of tokens is of one tenant among a hundred, which is at the server's address:
# for the suite of real clients, as LARDER_TEST_BINARY, which is a link to this file beside the program.
set -euo pipefail
larder=$(dirname "$0")/larder
export LARDER_TENANTS_DIR=$LARDER_DATA/tenants.d
mkdir -p "$LARDER_TENANTS_DIR"

for number in {1..99}; do
  printf '[tenant]\nhosts = ["tenant-%s.test"]\n[auth]\nhs256_secrets = ["the secret of tenant %s"]\n' "$number" "$number" \
    >"$LARDER_TENANTS_DIR/tenant-$number.toml"
done
{
  printf '[tenant]\nhosts = ["127.0.0.1"]\n[auth]\nhs256_secrets = ["%s"]\n' "$LARDER_HS256_SECRET"
  [[ -z ${LARDER_DEFAULT_REPOSITORY:-} ]] || printf 'default_repository = "%s"\n' "$LARDER_DEFAULT_REPOSITORY"
} >"$LARDER_TENANTS_DIR/among-many.toml"

exec "$larder" "$@"
