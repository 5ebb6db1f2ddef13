#!/usr/bin/env bash
# Writes requirements.lock from pyproject.toml (dependencies and the group dev), in a fresh environment, with pip alone.
# Versions stay as they are. Arguments name packages that may become newer; "all" means every package but torch, whose
# versions change numbers: name it too if that is wanted.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
${PYTHON:-python3} -m venv "$folder/venv"
pip=("$folder/venv/bin/python" -m pip --quiet --disable-pip-version-check --retries 10 --timeout 180)

"$folder/venv/bin/python" - >"$folder/wanted" <<'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    project = tomllib.load(file)
print(*project["project"]["dependencies"], *project["dependency-groups"]["dev"], sep="\n")
PYTHON

cp requirements.lock "$folder/kept"
for name in "$@"; do
  [[ $name == all ]] && pattern='^torch==' || pattern="^(?!${name//[-_.]/[-_.]}==)"
  grep -iP "$pattern" "$folder/kept" >"$folder/fewer" || true
  mv "$folder/fewer" "$folder/kept"
done

# torch goes first and alone, as in the Makefile: with it in place nothing else may float it to another build.
"${pip[@]}" install --constraint "$folder/kept" torch
"${pip[@]}" install --constraint "$folder/kept" --requirement "$folder/wanted"
"${pip[@]}" check

# A build of torch for one kind of GPU brings its own libraries and a suffix to its version; neither belongs in a lock
# for all machines.
"${pip[@]}" freeze | grep -viE '^(nvidia-|cuda-|triton)' | sed -E 's/\+[a-z0-9.]+$//' >"$folder/lock"
cp "$folder/lock" requirements.lock
