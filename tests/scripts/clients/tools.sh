# Sourced by the scripts beside it. Each of them installs one client into the tools cache, where it is not there yet, and
# prints the folder that it is in. $tools is that cache; `once FOLDER FUNCTION` runs FUNCTION with a new folder that becomes
# $tools/FOLDER when it succeeds, one process at a time.
set -euo pipefail

scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools=${XDG_CACHE_HOME:-$HOME/.cache}/larder/tools
mkdir -p "$tools"

once() {
  local done=$tools/$1 new
  exec 9>"$tools/.lock"
  flock 9
  if [[ ! -d $done ]]; then
    new=$(mktemp -d "$tools/.$1.XXXXXX")
    # A subshell of its own, so that `set -e` counts in it.
    if (set -e; "$2" "$new") >&2; then
      mv "$new" "$done"
    else
      rm -rf "$new"
      echo "$1 cannot be installed" >&2
      return 1
    fi
  fi
  echo "$done"
}
