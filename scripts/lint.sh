#!/usr/bin/env bash
# Everything that can be judged without running it: format, clippy, shell scripts, Python. A warning is an error.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

"$here/ensure-packages.sh" shellcheck # before what takes long
cargo fmt --all --check
cargo clippy --workspace --all-targets --features atlas-supervisor/static -- -D warnings
git ls-files -z '*.sh' .ci/run | xargs -0 shellcheck --external-sources

python3 -c 'import ensurepip' 2>/dev/null || "$here/ensure-packages.sh" python3-venv
tools="$(python_venv lint python3 client/python/requirements-lint.txt)/bin"
"$tools/ruff" check --quiet --no-cache client/python
"$tools/ruff" format --quiet --no-cache --check client/python
cd client/python
"$tools/mypy" --no-error-summary --cache-dir "$tools/../mypy"
