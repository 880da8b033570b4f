#!/usr/bin/env bash
# Checks what we depend on against deny.toml: licences, duplicate versions, sources, then known vulnerabilities. The last
# needs the internet for its database, which is why this is no part of the tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo-deny >/dev/null || cargo install cargo-deny --locked
cargo deny --all-features check bans licenses sources
cargo deny --all-features check advisories || {
  echo "error: the check of known vulnerabilities did not pass, or its database could not be fetched: see above" >&2
  exit 1
}
