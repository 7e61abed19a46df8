#!/usr/bin/env bash
# Unpacks GitHub's command line from Debian's packages without installing it, and prints the folder. Debian's stable release has no version with
# `gh cache`, so it comes from a newer suite, by the system's own mirror; whatever version is in it is taken.
. "$(dirname "$0")/tools.sh"

suite=trixie

# The address of Debian's main archive that this system uses.
mirror() {
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "Debian" && $2 == "Debian" && $3 == "main" { print $4; exit }'
}

install_gh() {
  command -v apt-get dpkg >/dev/null || { echo "gh is had from Debian's packages, and this is no Debian" >&2; return 1; }
  local apt=$1/apt
  mkdir -p "$apt"/{lists,cache,debs} "$1/root"
  [[ -n $(mirror) ]] || apt-get update -qq
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $suite main" >"$apt/sources.list"
  local options=(-qq -o "APT::Sandbox::User=root" -o "Acquire::Languages=none" -o "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"
    -o "Dir::Etc::sourcelist=$apt/sources.list" -o "Dir::Etc::sourceparts=-" -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache")
  cd "$apt/debs"
  apt-get "${options[@]}" update
  apt-get "${options[@]}" download gh
  dpkg -x gh_*.deb "$1/root"
  mv "$1/root/usr/bin/gh" "$1/gh"
  rm -rf "$1/root" "$apt"
  "$1/gh" --version
  "$1/gh" cache list --help >/dev/null
}

once "gh-$suite" install_gh
