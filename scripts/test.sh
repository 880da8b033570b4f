#!/usr/bin/env bash
# Runs every test, those with real processes and real containers included. What they need is installed, started and
# built first, and it is an error when it cannot be: no test is skipped. ATLAS_TEST_THREADS bounds how many run at once.
# Ends with the time of each step and one line that counts.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

# Each test with real processes is several of them: more at once than cores only makes them late.
cores="$(nproc)"
export RUST_TEST_THREADS="${ATLAS_TEST_THREADS:-$((cores < 8 ? cores : 8))}"
export ATLAS_TEST_IMAGE=atlas/worker:lean
log="$(mktemp)"
trap 'rm -f "$log"' EXIT
times=

step() {
  local name="$1" began=$SECONDS status=0
  shift
  say "== $name"
  "$@" >&2 || status=$?
  times+="$(printf '%6d s  %s' $((SECONDS - began)) "$name")"$'\n'
  return $status
}

# shellcheck disable=SC2317 # called by step
run_tests() { cargo test --workspace --no-fail-fast 2>&1 | tee "$log"; }

step 'Redis, a registry' "$here/ensure-packages.sh" redis-server openssl docker-registry
step 'hosts' "$here/ensure-packages.sh" iproute2 iptables util-linux
step 'Valkey' "$here/ensure-packages.sh" --backports valkey-server
step 'Docker' "$here/ensure-docker.sh"
step 'worker image' "$here/../deploy/worker/build-image.sh" --lean
step 'build' "$here/build.sh" --all-targets
status=0
step 'tests' run_tests || status=$?
step 'Python' "$here/test-python.sh" || status=$?
step 'REST' "$here/test-rest.sh" || status=$?

printf '%s' "$times" >&2
grep -E '^test .* \.\.\. (ignored|FAILED)' "$log" || true
awk '/^test result:/ { passed += $4; failed += $6; ignored += $8 }
  END { printf "%d passed, %d failed%s\n", passed, failed, ignored ? ", " ignored " ignored" : "" }' "$log"
exit $status
