#!/usr/bin/env bash
# Installs componentize-py, which makes components of Python, and prints the folder of it.
. "$(dirname "$0")/tools.sh"

# As `larder rules new --lang py` says.
version=0.25.1

install_componentize_py() {
  "$scripts/need.sh" python3 python3-venv
  python3 -m venv "$1/venv"
  "$1/venv/bin/pip" install --quiet --no-deps --disable-pip-version-check "componentize-py==$version"
  # Moved after it was made, so it is run by its interpreter.
  printf '#!/bin/sh\nbin=$(dirname "$(readlink -f "$0")")/venv/bin\nexec "$bin/python3" "$bin/componentize-py" "$@"\n' >"$1/componentize-py"
  chmod +x "$1/componentize-py"
  "$1/componentize-py" --version
}

once "componentize-py-$version" install_componentize_py
