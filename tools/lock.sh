#!/bin/sh
# Write requirements*.txt: every package that QSCP is installed, tested and fuzzed with, and its hashes.
#
#   tools/lock.sh VENV [UV-ARGUMENT...]
#
# Versions that still fit pyproject.toml stay. `--upgrade` takes the newest of all of them,
# `--upgrade-package NAME` of one. The files hold for each Python that QSCP supports.
# It needs the package index, as the uv that is in requirements-dev.txt finds it.
set -eu

venv=$1
shift
tools/venv.sh "$venv" requirements-dev.txt

export UV_CUSTOM_COMPILE_COMMAND='make lock'
lock() { # FILE UV-ARGUMENT...
    file=$1
    shift
    "$venv/bin/uv" pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 \
        --output-file "$file" "$@"
    echo "$file: $(grep -c == "$file") packages"
}
lock requirements.txt "$@" pyproject.toml --group build
lock requirements-dev.txt "$@" pyproject.toml --group build --group test --group check --group release \
    --constraint requirements.txt
lock requirements-fuzz.txt "$@" --group fuzz
