# shellcheck shell=bash
# What every script here needs: one way to speak, to give up, to become root. Sourced, never run.

# Messages go to stderr, so that a script's stdout stays its result.
say() { printf '%s\n' "$*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# Runs a command as root: directly, or through sudo with the proxy settings that sudo would drop.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  else
    sudo --preserve-env=http_proxy,https_proxy,no_proxy "$@"
  fi
}

can_be_root() { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }

# Asked once before the first as_root whose own messages are of no interest.
need_root() {
  can_be_root ||
    die "$1 needs root, and there is no sudo here: run this as root, or install sudo"
}

# True when the engine named by $DOCKER_HOST or the current context answers.
engine_answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Where cargo puts what it builds, also with $CARGO_TARGET_DIR or a configuration of its own.
target_dir() {
  cargo metadata --format-version 1 --no-deps | python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])'
}

# A virtual environment target/python/NAME of that Python with what a file of requirements names; made anew when that changes.
# Prints its folder. Usage: python_venv NAME PYTHON REQUIREMENTS [OPTION OF venv]
python_venv() {
  local venv
  venv="$(target_dir)/python/$1"
  if ! cmp --silent "$3" "$venv/requirements.txt"; then
    rm -rf "$venv"
    "$2" -m venv "${@:4}" "$venv" >&2
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$3" >&2
    cp "$3" "$venv/requirements.txt"
  fi
  printf '%s\n' "$venv"
}
