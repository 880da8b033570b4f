#!/usr/bin/env bash
# Builds the image that jobs run in, and does nothing when it is there already.
#
#   build-image.sh [--lean] [--fresh]    from Debian packages: needs a Debian mirror, no registry
#   build-image.sh --base IMAGE          from the Dockerfile beside this script, on an image of a registry
#
# The full image carries python, pip, numpy, pandas, scikit-learn and, where pip can have it, xgboost; it is tagged
# atlas/worker:latest and atlas-ce/worker:latest. --lean leaves out all but python, pip and venv: atlas/worker:lean.
# --fresh builds again with today's packages. ATLAS_DEBIAN_MIRROR overrides the mirror, ATLAS_CACHE the cache folder.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
scripts="$here/../../scripts"
# shellcheck source-path=SCRIPTDIR source=../../scripts/lib.sh
. "$scripts/lib.sh"

suite=bookworm
packages=(ca-certificates python3 python3-pip python3-venv python-is-python3)
full_packages=(python3-numpy python3-pandas python3-sklearn)
label=atlas.worker.recipe

variant=full fresh=false base=
while [ $# -gt 0 ]; do
  case "$1" in
    --lean) variant=lean ;;
    --fresh) fresh=true ;;
    --base) base="${2:?--base needs the name of an image}" && shift ;;
    *) die "unknown option '$1'; known are --lean, --fresh and --base IMAGE" ;;
  esac
  shift
done
tags=(atlas/worker:latest atlas-ce/worker:latest)
if [ "$variant" = lean ]; then
  tags=(atlas/worker:lean)
else
  packages+=("${full_packages[@]}")
fi
cache="${ATLAS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/atlas}/worker"

main() {
  if [ -n "$base" ]; then
    docker build --build-arg "BASE=$base" "${tags[@]/#/--tag=}" "$here" >&2
  else
    from_packages
  fi
  docker image inspect --format "${tags[0]} {{.Id}} ({{.Size}} bytes)" "${tags[0]}"
}

from_packages() {
  recipe="$variant-$(dpkg --print-architecture)-$(ingredients | sha256sum | head -c 16)"
  tarball="$cache/$recipe.tar"
  mkdir -p "$cache"
  exec 9>"$cache/lock"
  flock 9 # whoever comes second finds the image made

  local old
  old="$(image_property '{{.Id}}')"
  if $fresh; then
    rm -f "$tarball"
  elif [ "$(image_property "{{index .Config.Labels \"$label\"}}")" = "$recipe" ]; then
    return
  fi
  [ -f "$tarball" ] || make_rootfs
  import_rootfs
  [ -z "$old" ] || docker rmi "$old" >/dev/null 2>&1 || true # a container may still use it
  find "$cache" -name "$variant-*.tar*" ! -name "$recipe.tar" -delete
}

# Whatever decides what is inside, so that a change of it makes a new image and a change of a comment does not.
ingredients() {
  printf '%s\n' "$suite" "${packages[@]}"
  declare -f make_rootfs import_rootfs with_xgboost
  cat "$here/xgboost.txt"
}

image_property() { docker image inspect --format "$1" "${tags[0]}" 2>/dev/null || true; }

# mmdebstrap is debootstrap with security updates, in half the time; it writes the tarball that Docker imports. What is built FROM
# the image installs with plain pip, which Debian's mark EXTERNALLY-MANAGED would refuse.
make_rootfs() {
  say "building ${tags[0]} from Debian packages, kept as $tarball"
  "$scripts/ensure-packages.sh" mmdebstrap debian-archive-keyring
  local include mirror=("${ATLAS_DEBIAN_MIRROR:-}")
  include="$(IFS=, && printf '%s' "${packages[*]}")"
  [ -n "${mirror[0]}" ] || mapfile -t mirror < <(sources_of_this_machine)
  # Documentation goes, licences stay; so do C++ headers that only scipy's compiler-by-the-way (pythran) brings.
  # shellcheck disable=SC2016 # in a hook $1 is the tree
  as_root mmdebstrap --quiet --mode=root --variant=apt --format=tar --include="$include" \
    --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
    --customize-hook='find "$1/usr/share/doc" -type f ! -name copyright -delete' \
    --customize-hook='rm -rf "$1"/usr/share/man "$1"/usr/share/info "$1"/usr/share/locale "$1"/var/log/*' \
    --customize-hook='rm -rf "$1"/usr/include/boost' \
    --customize-hook='rm -f "$1"/etc/resolv.conf "$1"/etc/hostname' \
    --customize-hook='rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED' \
    "$suite" - "${mirror[@]}" 9>&- >"$tarball.part" 2>"$cache/$variant.log" ||
    die "mmdebstrap could not make the image: $(tail -n 5 "$cache/$variant.log")
ATLAS_DEBIAN_MIRROR=URL names another Debian mirror; the whole log is $cache/$variant.log"
  mv "$tarball.part" "$tarball"
}

# The mirror in this machine's own apt, where it has the same release; else none, and mmdebstrap takes Debian's.
sources_of_this_machine() {
  # shellcheck disable=SC2016 # apt's own placeholders
  apt-get indextargets --format 'deb $(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    grep -E "^deb [^ ]+ $suite(-security|-updates)? " || true
}

import_rootfs() {
  local image changes=(--change 'ENV LANG=C.UTF-8 PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' --change 'CMD ["python"]')
  if [ "$variant" = lean ]; then
    image="$(docker import "${changes[@]}" --change "LABEL $label=$recipe" "$tarball")"
  else
    image="$(docker import "${changes[@]}" "$tarball")"
    work="$(mktemp -d)"
    trap 'rm -rf "$work"' EXIT
    if fetch_xgboost "$image" "$work/packages"; then
      image="$(with_xgboost "$image" "$work")"
    else # unlabelled, so that the next run tries again
      say "warning: ${tags[0]} is without xgboost: see above what pip said, mend it and run this again"
    fi
  fi
  for tag in "${tags[@]}"; do docker tag "$image" "$tag"; done
}

# Debian 12 has no package of xgboost. This machine's pip fetches it, since it knows the site's index and certificates.
fetch_xgboost() {
  local python
  python="$(in_image "$1" 'import sys; print("%d.%d" % sys.version_info[:2])')"
  python3 -m pip --version >/dev/null 2>&1 || "$scripts/ensure-packages.sh" python3-pip
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --target "$2" --no-deps --no-compile --only-binary=:all: \
    --python-version "$python" --platform "manylinux_2_28_$(uname -m)" --requirement "$here/xgboost.txt"
}

with_xgboost() {
  local place
  place="$(in_image "$1" 'import site; print(site.getsitepackages()[0])')"
  printf 'FROM %s\nCOPY packages %s\nRUN python -c "import numpy, pandas, sklearn, xgboost"\n' "$1" "$place" >"$2/Dockerfile"
  docker build --quiet --network none --label "$label=$recipe" "$2"
}

in_image() { docker run --rm --network none "$1" python -c "$2"; }

main
