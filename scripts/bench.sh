#!/usr/bin/env bash
# The measurements of docs/operating/performance.md. First the machine, the commit and the disk's sync time, without which
# a figure says nothing; then every measurement of tests/benches on release binaries, with what it is compared to beside it.
# Arguments name the measurements to take, as in: bench.sh latency-docker
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

cache="${ATLAS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/atlas}"
hyperqueue="$cache/hyperqueue" mlflow="$cache/mlflow"

main() {
  "$here/ensure-packages.sh" redis-server
  "$here/ensure-docker.sh"
  "$here/../deploy/worker/build-image.sh" --lean
  "$here/build.sh" --release
  ensure hyperqueue "$hyperqueue"
  ensure mlflow "$mlflow"
  export ATLAS_BENCH_HQ_PYTHON="$hyperqueue/bin/python" ATLAS_BENCH_MLFLOW_PYTHON="$mlflow/bin/python" ATLAS_BENCH_IMAGE=atlas/worker:lean
  conditions
  cargo bench --package atlas-tests --bench '*' -- "$@"
}

# Peers, each a Python package in a virtual environment of its own. That of HyperQueue, the scheduler nearest to ours, carries server, worker
# and client (hyperqueue.cluster.LocalCluster).
ensure() {
  "$2/bin/python" -c "import $1" 2>/dev/null && return
  python3 -c 'import ensurepip' 2>/dev/null || "$here/ensure-packages.sh" python3-venv
  python3 -m venv "$2"
  "$2/bin/pip" install --quiet "$1"
}

conditions() {
  printf 'machine  %s, %s cores, %s of memory, Linux %s\n' \
    "$(sed -nE 's/^model name\s*: (.*)/\1/p' /proc/cpuinfo | head -n 1)" "$(nproc)" \
    "$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo)" "$(uname -r)"
  printf 'load     %s\n' "$(cut -d ' ' -f 1-3 /proc/loadavg)"
  printf 'commit   %s%s\n' "$(git rev-parse --short HEAD)" "$(git diff --quiet HEAD || printf ' with changes')"
  printf 'engine   %s\n' "$("$here/ensure-docker.sh")"
  printf 'redis    %s\n' "$(redis-server --version)"
  printf 'peer     HyperQueue %s\n' \
    "$("$hyperqueue/bin/python" -c 'from importlib.metadata import version; print(version("hyperqueue"))')"
  printf 'peer     MLflow %s\n' "$("$mlflow/bin/python" -c 'from importlib.metadata import version; print(version("mlflow"))')"
  python3 - "${TMPDIR:-/tmp}" <<'PYTHON'
import os, statistics, sys, tempfile, time

times = []
with tempfile.TemporaryFile(dir=sys.argv[1]) as file:
    for _ in range(200):
        os.write(file.fileno(), b"x" * 4096)
        start = time.perf_counter()
        os.fdatasync(file.fileno())
        times.append(1000 * (time.perf_counter() - start))
times.sort()
print(f"disk     fdatasync of 4 KiB in {sys.argv[1]}: median {statistics.median(times):.2f} ms, p99 {times[197]:.2f} ms")
PYTHON
}

main "$@"
