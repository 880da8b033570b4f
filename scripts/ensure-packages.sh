#!/usr/bin/env bash
# Installs the named Debian packages that are missing, so that a clone needs no list of things to install first.
# Silent and without root when nothing is missing. Usage: ensure-packages.sh [--backports] NAME…
# --backports takes what this release does not have yet from its backports, and leaves the machine's sources as they are.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

backports=
if [ "${1:-}" = --backports ]; then
  backports=yes
  shift
fi
missing=()
for package in "$@"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null ||
  die "these packages are missing and there is no apt-get here to install them: ${missing[*]}"
need_root "installing ${missing[*]}"

options=(-qq -o DPkg::Lock::Timeout=300)
# On a fresh machine something else often holds dpkg's lock for a while; what dpkg unpacks is of no interest, its errors are.
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" "$@" >/dev/null; }
install() { apt install -y --no-install-recommends "$@" "${missing[@]}"; }

# For this one call: the next plain update forgets them.
add_backports() {
  local codename
  codename="$(. /etc/os-release && [ "$ID" = debian ] && printf '%s' "$VERSION_CODENAME")" || return 0
  list="$(mktemp)" # no local: the trap outlives this function
  trap 'rm -f "$list"' EXIT
  chmod 644 "$list" # apt reads it as a user of its own
  cat /etc/apt/sources.list >"$list" 2>/dev/null || true
  printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian %s-backports main\n' \
    "$codename" >>"$list"
  options+=(-o "Dir::Etc::SourceList=$list")
}

say "installing ${missing[*]}"
[ -z "$backports" ] || install --download-only 2>/dev/null || add_backports
# The machine's package lists may be absent, or older than the archive: refresh them when the packages cannot be fetched.
install --download-only 2>/dev/null || apt update
install || die "apt-get could not install ${missing[*]}; what it said is above"
