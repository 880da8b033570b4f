#!/usr/bin/env bash
# Leaves a Docker engine that answers to this user, and prints which: one that runs already, else the machine's own
# service, else a dockerd started here, which stays. Exits non-zero and says why where Docker cannot be had.
set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

socket=/var/run/docker.sock
log=/var/log/atlas-dockerd.log
patience_s=60

main() {
  if ! engine_answers; then
    [ -z "${DOCKER_HOST:-}" ] || die "no Docker engine answers at DOCKER_HOST=$DOCKER_HOST: start it, or unset DOCKER_HOST"
    exec 9>"${TMPDIR:-/tmp}/atlas-ensure-docker.$(id -u).lock"
    flock 9 # two of us must not start two engines
    engine_answers || bring_up
  fi
  docker version --format 'Docker Engine {{.Server.Version}} (API {{.Server.APIVersion}})'
}

bring_up() {
  if [ -S "$socket" ] && [ ! -w "$socket" ] && ! can_be_root; then
    die "an engine has its socket at $socket, which is closed to $(id -un): whoever is root there opens it by 'usermod -aG docker $(id -un)'"
  fi
  need_root "starting a Docker engine"
  command -v dockerd >/dev/null || [ -x /usr/sbin/dockerd ] || "$here/ensure-packages.sh" docker.io
  command -v docker >/dev/null || "$here/ensure-packages.sh" docker-cli # apart from docker.io since Debian 13
  as_root docker version >/dev/null 2>&1 || start
  engine_answers || admit_user
  engine_answers || die "an engine runs, but 'docker version' fails for $(id -un): $(docker version 2>&1 | tail -n 1)"
}

start() {
  if [ -d /run/systemd/system ]; then
    as_root systemctl start docker || die "systemd could not start docker: see 'journalctl -u docker'"
  else
    start_dockerd
  fi
}

# In a session of its own and with no file of ours open, so that it outlives this script, its terminal and its pipes.
# Containers survive a restart of the engine (--live-restore), as jobs survive one of Atlas.
start_dockerd() {
  say "starting dockerd (log: $log)"
  local pid deadline=$((SECONDS + patience_s))
  # shellcheck disable=SC2016 # expanded by the inner shell
  pid=$(as_root env PATH="$PATH:/usr/sbin:/sbin" bash -c '
    for fd in /proc/self/fd/*; do fd=${fd##*/}; [ "$fd" -le 2 ] || exec {fd}>&-; done
    setsid dockerd --live-restore >>"$1" 2>&1 </dev/null & echo $!' bash "$log")
  until as_root docker version >/dev/null 2>&1; do
    [ -d "/proc/$pid" ] || die "dockerd ended at once; the end of $log: $(as_root tail -n 5 "$log")"
    [ $SECONDS -lt $deadline ] || die "dockerd does not answer after $patience_s s; the end of $log: $(as_root tail -n 5 "$log")"
    sleep 0.2
  done
}

# Who may use sudo may use the engine it has just started: until the engine's next start, without joining a group.
admit_user() {
  "$here/ensure-packages.sh" acl
  as_root setfacl -m "u:$(id -un):rw" "$socket" ||
    die "the engine's socket $socket is closed to $(id -un): 'sudo usermod -aG docker $(id -un)' and a new login open it"
  say "$(id -un) may use $socket until the engine's next start"
}

main
