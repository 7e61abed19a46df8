#!/usr/bin/env bash
# Makes sure that cargo is there, and one way to build the guest for wasm32-unknown-unknown: the rustup toolchain's target, or
# Debian's packages that build the target's standard library from source. host/build.rs picks between the two; this installs.
# LARDER_GUEST_TOOLCHAIN=rustup|debian forces one way. Quick when everything is there.
set -euo pipefail

target=wasm32-unknown-unknown
rustup_limit_s=60
debian_packages=(rustc-web cargo-web rust-web-src)

fail() {
  echo "$*" >&2
  exit 1
}

both_ways="either: rustup target add $target
or, on Debian, as root: apt-get install --no-install-recommends ${debian_packages[*]}"

for tool in cargo rustc; do
  command -v "$tool" >/dev/null || fail "$tool is missing: install Rust (https://rustup.rs), then try again"
done

rustup_has_target() { compgen -G "$(rustc --print target-libdir --target "$target" 2>/dev/null)/*.rlib" >/dev/null; }
rustup_adds_target() {
  command -v rustup >/dev/null && timeout "$rustup_limit_s" rustup target add "$target" >&2 && rustup_has_target
}

debian_is_complete() {
  [[ -x /usr/bin/cargo && -x /usr/bin/rustc ]] &&
    [[ -e $(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library/std/Cargo.toml ]]
}
debian_installs() {
  [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 1
  echo "installing ${debian_packages[*]}" >&2
  apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${debian_packages[@]}" >&2 &&
    debian_is_complete
}

case ${LARDER_GUEST_TOOLCHAIN:-} in
  '') rustup_has_target || debian_is_complete || rustup_adds_target || debian_installs ;;
  rustup) rustup_has_target || rustup_adds_target ;;
  debian) debian_is_complete || debian_installs ;;
  *) fail "LARDER_GUEST_TOOLCHAIN is '$LARDER_GUEST_TOOLCHAIN'; allowed are 'rustup' and 'debian'" ;;
esac || fail "there is no way to build for $target yet; $both_ways"
