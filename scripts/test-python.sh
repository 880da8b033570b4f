#!/usr/bin/env bash
# Tests the Python SDK, installed as users install it, on the oldest and the newest Python that is found here (3.8 or later): on
# the PATH, or of pyenv. Then its integrations, with the libraries themselves, and the wheel that carries `atlas` as well. Arguments go
# to pytest.
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
status=0 chosen="$*"
# Tests in an environment; of what arguments choose there may be nothing in it. Usage: tests VENV PLACE [ARGUMENT OF pytest…]
tests() {
  local code=0
  "$1/bin/pip" install --quiet --force-reinstall --no-deps ./client/python
  "$1/bin/python" -m pytest -q -p no:cacheprovider "${@:2}" </dev/null || code=$?
  [ $code -eq 0 ] || { [ $code -eq 5 ] && [ -n "$chosen" ]; } || status=$code
}

places=client/python/tests
while read -r minor program; do
  say "== Python 3.$minor"
  venv="$(python_venv "3.$minor" "$program" client/python/requirements-test.txt)"
  left=(--ignore "$places/integrations")
  if [ "$minor" -lt 10 ]; then
    say "test_series.py is left out: what reads Parquet needs Python 3.10"
    left+=(--ignore "$places/test_series.py")
  fi
  tests "$venv" "$places" "${left[@]}" "$@"
done < <(sed -n '1p;$p' <<<"$found" | uniq)

read -r minor program < <(sed -n '$p' <<<"$found")
if [ "$minor" -ge 11 ]; then
  say "== Keras and TensorBoard on Python 3.$minor"
  venv="$(python_venv keras "$program" client/python/requirements-keras.txt)"
  tests "$venv" "$places"/integrations/test_{keras,tensorboard}.py "$@"
else
  say "Keras is left out: it needs Python 3.11, and the newest here is 3.$minor"
fi

# torch of the registry has several GB; Debian's has none of what no GPU is there for.
if [ "$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")" = bookworm ]; then
  say "== Lightning, transformers and TensorBoard on Debian's torch"
  "$here/ensure-packages.sh" python3-torch python3-venv
  venv="$(python_venv torch /usr/bin/python3 client/python/requirements-torch.txt --system-site-packages)"
  tests "$venv" "$places"/integrations/test_{lightning,transformers,tensorboard}.py "$@"
else
  say "Lightning and transformers are left out: requirements-torch.txt is for the torch of Debian 12"
fi
# As somebody has it who knows nothing else of Atlas.
wheel_works() {
  local version
  folder="$(mktemp -d)" # no local: the trap outlives this function
  trap 'rm -rf "$folder"' EXIT
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install --quiet --no-index "$1"
  cd "$folder"
  version="$(PATH=/nowhere venv/bin/python -c 'import foundations; print(foundations.__version__)')"
  [ "$(PATH=/nowhere venv/bin/atlas --version)" = "atlas $version" ] &&
    [ "$(PATH=/usr/bin:/bin venv/bin/foundations --version)" = "atlas $version" ] &&
    PATH=/usr/bin:/bin venv/bin/foundations log --help >help && grep -q artifact help
}

if [ -z "$chosen" ]; then
  say '== the wheel with atlas'
  wheel="$("$here/wheel.sh" --debug)"
  (wheel_works "$wheel") || { say "error: what $wheel installs does not work"; status=1; }
fi
exit $status
