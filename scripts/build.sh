#!/usr/bin/env bash
# Builds everything into target/<profile>: the binaries, and beside them the supervisor, which runs inside any image and
# therefore carries its libc. Usage: build.sh [--release] [--all-targets]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

profile=() what=--bins
for option in "$@"; do
  case "$option" in
    --release) profile=(--release) ;;
    --all-targets) what=--all-targets ;; # the tests too
    *) die "unknown option '$option'; known are --release and --all-targets" ;;
  esac
done

command -v cargo >/dev/null || die "cargo is not on the PATH: https://rustup.rs installs it; rust-toolchain.toml chooses the version"
command -v cc >/dev/null || "$here/ensure-packages.sh" gcc libc6-dev # SQLite, zstd, and the linker

cargo build --workspace "$what" "${profile[@]}"
# Only for this one binary: with RUSTFLAGS every other crate would be built a second time.
cargo rustc --package atlas-supervisor --features static --bin atlas-supervisor "${profile[@]}" -- -C target-feature=+crt-static
