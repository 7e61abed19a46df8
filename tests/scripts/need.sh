#!/usr/bin/env bash
# Makes sure that tools are there: need.sh TOOL...
# A missing one is installed from Debian's packages when this runs as root on Debian; otherwise this names it and fails.
# Quick when everything is there. Called by the Makefile.
set -euo pipefail

package_of() {
  case $1 in
    openssl) echo openssl ;;
    node) echo nodejs ;;
    nginx) echo nginx-light ;;
    promtool) echo prometheus ;;
    zstd | wrk | npm | strace | ccache | python3 | python3-venv | curl | chromium | prometheus) echo "$1" ;;
    *) echo "need.sh: unknown tool '$1'" >&2; return 1 ;;
  esac
}

is_there() {
  case $1 in
    python3-venv) python3 -c 'import ensurepip' 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}

missing=()
for tool in "$@"; do
  package=$(package_of "$tool")
  is_there "$tool" || missing+=("$package")
done

if ((${#missing[@]})); then
  if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]} (the names of the Debian packages). Install them, then try again." >&2
    exit 1
  fi
  echo "installing ${missing[*]}" >&2
  export DEBIAN_FRONTEND=noninteractive
  # In run level 1 Debian's packages do not start their services: a bench needs nginx's binary, not a server on port 80.
  export RUNLEVEL=1
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

if [[ " $* " == *" node "* ]]; then
  version=$(node --version)
  major=${version#v}
  if ((${major%%.*} < 20)); then
    echo "node is $version; the suite of real clients needs 20 or newer" >&2
    exit 1
  fi
fi
