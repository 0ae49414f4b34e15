#!/bin/sh
# Fetch what `make install WHEELS=FOLDER` and `make run WHEELS=FOLDER` need without a network.
#
#   tools/wheelhouse.sh FOLDER [PIP-DOWNLOAD-ARGUMENT...]
#
# The wheels fit the Python and the machine this runs on, unless arguments of `pip download`
# say otherwise, such as: --python-version 3.13 --platform manylinux_2_28_aarch64
set -eu

folder=$1
shift
mkdir -p "$folder"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A venv of its own: the pip of the distribution may be too old to know the newest platforms.
WHEELS='' tools/venv.sh "$work/venv" --upgrade pip
pip="$work/venv/bin/pip --quiet --disable-pip-version-check"
# QSCP itself is built where it is installed; only what it requires is kept.
$pip wheel --no-deps --wheel-dir "$work" .
$pip download --only-binary :all: --dest "$folder" "$@" "$work"/qscp-*.whl pip hatchling editables
rm -f "$folder"/qscp-*.whl
echo "$folder is complete: $(find "$folder" -name '*.whl' | wc -l) wheels."
