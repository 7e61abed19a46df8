#!/usr/bin/env bash
# Runs the suites that touch what is underneath, the toolkit's own and that of stale entries, on every combination of storage and
# database, and that of misses on every database: matrix.sh [STORAGE/DATABASE...]. Starts the servers of them once, for all. The embedded default is not among them: the rest of
# `make e2e` runs on it. Uploads of all sizes run on one combination; on the others one in blocks, and small ones.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

storages=(filesystem s3 gcs azblob)
databases=(sqlite postgres mysql)
services=(postgres mariadb seaweedfs fake-gcs azurite)
cases=(cases/save-restore.test.mjs cases/stale.test.mjs)
all_sizes_on=s3/postgres

if [[ -z ${LARDER_TEST_MATRIX:-} ]]; then
  LARDER_TEST_MATRIX=1 exec "$here/with-services.sh" "${services[@]}" -- "$0" "$@"
fi

if ((!$#)); then
  for storage in "${storages[@]}"; do
    for database in "${databases[@]}"; do
      [[ $storage/$database == filesystem/sqlite ]] || set -- "$@" "$storage/$database"
    done
  done
fi

# The SDK that takes objects away tells every process that it will not stay with this version of Node.
export AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED=true
failed=()
for combination in "$@"; do
  echo "== storage/database: $combination"
  sizes=few
  more=()
  [[ $combination != filesystem/* ]] || more=(cases/misses.test.mjs)
  [[ $combination != "$all_sizes_on" ]] || sizes=all
  LARDER_TEST_STORAGE=${combination%/*} LARDER_TEST_DATABASE=${combination#*/} LARDER_TEST_SIZES=$sizes \
    "$here/e2e.sh" "${cases[@]}" "${more[@]}" || failed+=("$combination")
done
if ((${#failed[@]})); then
  echo "failed on ${failed[*]}" >&2
  exit 1
fi
