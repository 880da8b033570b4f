#!/usr/bin/env bash
# Tries the REST API of a live `atlas up` with whatever its document allows, and with what it does not (Schemathesis): nothing may
# be answered otherwise than it is described, nor with a 5xx. Arguments go to Schemathesis' `run`.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

patience_s=60
python3 -c 'import ensurepip' 2>/dev/null || "$here/ensure-packages.sh" python3-venv
venv="$(python_venv rest python3 tests/rest/requirements.txt)"
binaries="$(target_dir)/debug"
[ -x "$binaries/atlas" ] || die "$binaries/atlas is not there: scripts/build.sh builds it"

work="$(mktemp -d "${TMPDIR:-/tmp}/atlas-rest.XXXXXX")"
"$binaries/atlas" up --data "$work/data" --executor process --http 127.0.0.1:0 --grpc 127.0.0.1:0 --node 127.0.0.1:0 \
  >"$work/up.log" 2>&1 </dev/null &
up=$!
finish() {
  kill -INT "$up" 2>/dev/null || true
  wait "$up" || true
  rm -rf "$work"
}
trap finish EXIT

deadline=$((SECONDS + patience_s))
until [ -s "$work/data/endpoints.json" ]; do
  kill -0 "$up" 2>/dev/null || die "'atlas up' ended before it was ready: $(cat "$work/up.log")"
  [ $SECONDS -lt $deadline ] || die "'atlas up' was not ready after $patience_s s: $(cat "$work/up.log")"
  sleep 0.1
done
ATLAS_URL="$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["http"])' "$work/data/endpoints.json")"
export ATLAS_URL

# What is looked at has to be there: a job that is done, with a log and a file.
mkdir -p "$work/home/config/submission" "$work/job"
echo "scheduler_url: $ATLAS_URL" >"$work/home/config/submission/scheduler.config.yaml"
echo 'echo hello | tee result' >"$work/job/main.sh"
ATLAS_JOB="$(ATLAS_HOME="$work/home" "$binaries/atlas" submit --quiet --detach scheduler "$work/job" sh main.sh)"
export ATLAS_JOB
ATLAS_HOME="$work/home" "$binaries/atlas" wait "$ATLAS_JOB" >&2

config="$PWD/tests/rest/schemathesis.toml"
cd "$work" # where it leaves what it remembers
"$venv/bin/st" --config-file "$config" run "$ATLAS_URL/api/v1/openapi.json" "$@"
