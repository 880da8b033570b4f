#!/usr/bin/env bash
# Builds the wheel that carries both the Python SDK and the program `atlas`, for this machine's processor and libc, into
# target/wheels. Prints its path. Usage: wheel.sh [--debug]
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

profile=--release
case "${1:-}" in
  '') ;;
  --debug) profile=--profile=dev ;; # what is built already is not built again
  *) die "unknown option '$1'; known is --debug" ;;
esac

python3 -c 'import ensurepip' 2>/dev/null || "$here/ensure-packages.sh" python3-venv
venv="$(python_venv wheel python3 client/requirements-wheel.txt)"
out="$(target_dir)/wheels"
rm -rf "$out"
"$venv/bin/maturin" build --quiet "$profile" --locked --manifest-path client/Cargo.toml --out "$out" >&2
printf '%s\n' "$out"/foundations-*.whl
