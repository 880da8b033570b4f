#!/usr/bin/env bash
# Everything that can be judged without running it: format, clippy, shell scripts. A warning is an error.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."

"$here/ensure-packages.sh" shellcheck # before what takes long
cargo fmt --all --check
cargo clippy --workspace --all-targets --features atlas-supervisor/static -- -D warnings
git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck --external-sources
