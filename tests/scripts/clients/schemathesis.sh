#!/usr/bin/env bash
# Installs schemathesis, which tries an API against its OpenAPI description, and prints the folder of it.
. "$(dirname "$0")/tools.sh"

version=4.32.5

install_schemathesis() {
  "$scripts/need.sh" python3 python3-venv
  python3 -m venv "$1/venv"
  "$1/venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$version"
  # Moved after it was made, so it is run by its module.
  printf '#!/bin/sh\nexec "$(dirname "$(readlink -f "$0")")/venv/bin/python3" -m schemathesis.cli "$@"\n' >"$1/schemathesis"
  chmod +x "$1/schemathesis"
  "$1/schemathesis" --version
}

once "schemathesis-$version" install_schemathesis
