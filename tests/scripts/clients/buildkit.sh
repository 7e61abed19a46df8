#!/usr/bin/env bash
# Unpacks Docker's daemon with the BuildKit in it, and what both run, without installing anything into the system; prints the
# folder. Debian's stable release has no version that speaks version 2 of the cache's protocol, so the packages come from a
# newer suite, by the system's own mirror; the suite moves on, so whatever version is in it is taken. runc comes from the
# system's own suite, because its library has to fit.
. "$(dirname "$0")/tools.sh"

suite=forky
newer=(docker.io docker-buildx containerd)
own=(runc libseccomp2)

# The address of Debian's main archive that this system uses.
mirror() {
  apt-get indextargets --format '$(ORIGIN) $(LABEL) $(COMPONENT) $(REPO_URI)' 'Created-By: Packages' |
    awk '$1 == "Debian" && $2 == "Debian" && $3 == "main" { print $4; exit }'
}

install_buildkit() {
  command -v apt-get dpkg >/dev/null || { echo "BuildKit is had from Debian's packages, and this is no Debian" >&2; return 1; }
  local apt=$1/apt
  mkdir -p "$apt"/{lists,cache,debs} "$1/root"
  [[ -n $(mirror) ]] || apt-get update -qq
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $(mirror) $suite main" >"$apt/sources.list"
  local options=(-qq -o "APT::Sandbox::User=root" -o "Acquire::Languages=none" -o "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false")
  local elsewhere=(-o "Dir::Etc::sourcelist=$apt/sources.list" -o "Dir::Etc::sourceparts=-"
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache")
  cd "$apt/debs"
  apt-get "${options[@]}" "${elsewhere[@]}" update
  apt-get "${options[@]}" "${elsewhere[@]}" download "${newer[@]}"
  apt-get "${options[@]}" download "${own[@]}" || { apt-get update -qq && apt-get "${options[@]}" download "${own[@]}"; }
  local deb
  for deb in *.deb; do dpkg -x "$deb" "$1/root"; done
  cd "$1"
  mkdir bin
  mv root/usr/sbin/{dockerd,runc} root/usr/bin/{containerd,containerd-shim-runc-v2} bin
  mv root/usr/libexec/docker/cli-plugins/docker-buildx bin
  mkdir lib
  cp root/usr/lib/*/libseccomp.so.2 lib
  rm -rf root "$apt"
  bin/docker-buildx version
  bin/dockerd --version
}

once "buildkit-$suite" install_buildkit
