#!/bin/sh
# Fetch what `make install WHEELS=FOLDER` and `make run WHEELS=FOLDER` need without a network.
#
#   tools/wheelhouse.sh FOLDER [--python VERSION] [--arch ARCH]
#
# For example: tools/wheelhouse.sh dist/wheelhouse --python 3.13 --arch aarch64
# Without them, the wheels fit the Python ($PYTHON, or python3) and the machine this runs on.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
WHEELS='' tools/venv.sh "$work/venv" requirements.txt
"$work/venv/bin/python" -m tools.wheelhouse requirements.txt "$@"
