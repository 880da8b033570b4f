#!/usr/bin/env bash
# Tests the Python SDK, installed as users install it, on the oldest and the newest Python that is found here (3.8 or later): on
# the PATH, or of pyenv. Arguments go to pytest.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
cd "$here/.."
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$here/lib.sh"

# Lines of `MINOR PROGRAM`, the oldest first.
pythons() {
  local folder program
  for folder in ${PATH//:/ } "${PYENV_ROOT:-$HOME/.pyenv}"/versions/*/bin; do
    for program in "$folder"/python3 "$folder"/python3.[0-9]*; do
      case "$program" in *-config | */shims/*) continue ;; esac
      [ -x "$program" ] || continue
      "$program" -c 'import sys, ensurepip; sys.version_info >= (3, 8) and print(sys.version_info[1], sys.executable)' 2>/dev/null || true
    done
  done | sort -n -u -k 1,1
}

found="$(pythons)"
if [ -z "$found" ]; then
  "$here/ensure-packages.sh" python3-venv
  found="$(pythons)"
fi
[ -n "$found" ] || die "there is no Python 3.8 or later with the module ensurepip on the PATH"

# What submits is tested with a real cluster.
[ -x "$(target_dir)/debug/atlas" ] || "$here/build.sh"

# As a job finds it: nothing of it beside the sources, which the agent's build would take for changes.
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
status=0
while read -r minor program; do
  say "== Python 3.$minor"
  venv="$(python_venv "3.$minor" "$program" client/python/requirements-test.txt)"
  "$venv/bin/pip" install --quiet --force-reinstall --no-deps ./client/python
  "$venv/bin/python" -m pytest -q -p no:cacheprovider client/python/tests "$@" </dev/null || status=$?
done < <(sed -n '1p;$p' <<<"$found" | uniq)
exit $status
