#!/usr/bin/env bash
# `cargo build --release` for wasm32-unknown-unknown, in the folder that it is called in, by what toolchain.sh has found or
# installed: the rustup toolchain's target, or Debian's packages, which build the target's standard library from source.
# Products go to ./target, or to WASM_TARGET_DIR; WASM_PROFILE is another profile than `release`.
set -euo pipefail

target=wasm32-unknown-unknown
unset "${!CARGO_PROFILE@}" RUSTFLAGS CARGO_TARGET_DIR CARGO_BUILD_TARGET
build=(build --profile "${WASM_PROFILE:-release}" --target "$target" --target-dir "${WASM_TARGET_DIR:-target}")

if compgen -G "$(rustc --print target-libdir --target "$target" 2>/dev/null)/*.rlib" >/dev/null; then
  exec cargo "${build[@]}"
fi
# The wasm linker is the one in the toolchain that builds the host.
host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER
CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$(rustc --print sysroot)/lib/rustlib/$host/bin/rust-lld
RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 exec /usr/bin/cargo "${build[@]}" -Z build-std=std,panic_abort
