#!/usr/bin/env bash
# Installs the named Debian packages that are missing, so that a clone needs no list of things to install first.
# Silent and without root when nothing is missing. Usage: ensure-packages.sh NAME…
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

missing=()
for package in "$@"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

command -v apt-get >/dev/null ||
  die "these packages are missing and there is no apt-get here to install them: ${missing[*]}"
need_root "installing ${missing[*]}"

# On a fresh machine something else often holds dpkg's lock for a while; what dpkg unpacks is of no interest, its errors are.
apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >/dev/null; }
install() { apt install -y --no-install-recommends "$@" "${missing[@]}"; }

say "installing ${missing[*]}"
# The machine's package lists may be absent, or older than the archive: refresh them when the packages cannot be fetched.
install --download-only 2>/dev/null || apt update
install || die "apt-get could not install ${missing[*]}; what it said is above"
