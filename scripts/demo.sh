#!/usr/bin/env bash
# One job's whole way on this machine: build, `atlas up`, a new project, submit, log, archive, stop. In a container when a
# Docker engine can be had, else as a plain process; it says which. Everything it makes lies in one temporary folder.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

patience_s=60
work="$(mktemp -d "${TMPDIR:-/tmp}/atlas-demo.XXXXXX")"
up=

main() {
  "$here/build.sh"
  PATH="$(target_dir)/debug:$PATH"
  choose_executor
  trap finish EXIT
  trap 'exit 130' INT TERM HUP PIPE
  start_atlas

  cd "$work"
  run atlas init demo
  cd demo
  run atlas submit "${image[@]}" scheduler . main.py 2>&1 | tee "$work/submit.log"
  run atlas jobs
  cd "$work"
  job="$(sed -nE "s/.*Job '([0-9a-f-]{36})' has completed.*/\1/p" "$work/submit.log")"
  [ -n "$job" ] || die "'atlas submit' did not say that its job has completed"
  run atlas get job scheduler "$job"
  say "" && say "What is kept of the job, in $work/$job:"
  find "$job" -type f -printf '%10s  %P\n' | sort -k 2
  stop_atlas
  trap - EXIT
  rm -rf "$work"
  say "" && say "That was Atlas: '$(basename "$0")' left nothing running and removed $work."
}

choose_executor() {
  executor=docker image=(--image atlas/worker:lean)
  if "$here/ensure-docker.sh" && "$here/../deploy/worker/build-image.sh" --lean; then
    say "The job will run in a container of atlas/worker:lean."
  else
    executor=process image=()
    say "No Docker here (see above): the job will run as a plain process, with nothing isolated but its files."
  fi
}

# Ports of its own choosing, data and configuration of its own: it touches no Atlas that runs here already.
start_atlas() {
  local data="$work/data" deadline=$((SECONDS + patience_s))
  say "" && say "\$ atlas up --executor $executor"
  set -m # a process group of its own, so that Ctrl-C here reaches it through us, in order
  atlas up --data "$data" --executor "$executor" \
    --http 127.0.0.1:0 --grpc 127.0.0.1:0 --node 127.0.0.1:0 >"$work/up.log" 2>&1 </dev/null &
  up=$!
  set +m
  until [ -s "$data/endpoints.json" ]; do
    kill -0 "$up" 2>/dev/null || die "'atlas up' ended before it was ready: $(cat "$work/up.log")"
    [ $SECONDS -lt $deadline ] || die "'atlas up' was not ready after $patience_s s: $(cat "$work/up.log")"
    sleep 0.1
  done
  cat "$work/up.log"

  export ATLAS_HOME="$work/home"
  mkdir -p "$ATLAS_HOME/config/submission"
  python3 -c 'import json, sys; print("scheduler_url:", json.load(open(sys.argv[1]))["grpc"])' "$data/endpoints.json" \
    >"$ATLAS_HOME/config/submission/scheduler.config.yaml"
}

run() {
  say "" && say "\$ $*"
  "$@"
}

# Ctrl-C to `atlas up`, and its own words on how that went.
stop_atlas() {
  local pid="$up" said
  said="$(wc -l <"$work/up.log")"
  say "" && say "\$ kill -INT $pid   # Ctrl-C"
  kill -INT "$pid"
  up=
  wait "$pid" || die "'atlas up' did not stop cleanly: $(tail -n 20 "$work/up.log")"
  tail -n "+$((said + 1))" "$work/up.log"
}

finish() {
  local status=$?
  if [ -n "$up" ]; then
    kill -INT "$up" 2>/dev/null || true
    wait "$up" || true
  fi
  say "The demo did not get to its end; its files are in $work."
  exit $status
}

main
