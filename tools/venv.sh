#!/bin/sh
# Make a virtual environment and install locked packages into it, then QSCP.
#
#   tools/venv.sh VENV REQUIREMENTS [PIP-ARGUMENT...]
#
# REQUIREMENTS is a file that `make lock` wrote. Every package is checked against its hashes.
# With further arguments, such as `--editable .`, pip then installs the project they name,
# without dependencies and with the build backend that is in REQUIREMENTS.
#
# PYTHON            the interpreter to use, python3 unless set
# WHEELS            a folder of wheels to install from; nothing is fetched then (see `make wheelhouse`)
# PIP_ONLY_BINARY   :all: unless set; with :none: packages without a wheel are built from source
set -eu

venv=$1
requirements=$2
shift 2
python=${PYTHON:-python3}
here=$(pwd -P)

die() {
    printf '%s\n' "$@" >&2
    exit 1
}

command -v "$python" >/dev/null || die "$python is not installed. On Debian: apt-get install python3 python3-venv"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    die "QSCP needs Python 3.11 or newer; $python is $("$python" -V). Try: make PYTHON=python3.13 ..."

if [ -n "${WHEELS:-}" ]; then
    wheels=$(cd "$WHEELS" && pwd -P) || die "WHEELS=$WHEELS is no folder."
    export PIP_NO_INDEX=1 PIP_FIND_LINKS="$wheels"
fi
# A source package would bring build requirements that are not locked.
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ONLY_BINARY="${PIP_ONLY_BINARY-:all:}"

# Install what is locked with the pip of the interpreter $1.
install_locked() {
    interpreter=$1
    shift
    "$python" tools/run_pip.py "$requirements" \
        "$interpreter" -m pip "$@" install --quiet --require-hashes --requirement "$requirements"
}

# The scripts in a venv name its path: one that was moved, or whose Python is gone, is made anew.
if [ "$(cat "$venv/made-in" 2>/dev/null)" != "$here" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv --clear "$venv"
    elif "$python" -m pip --version >/dev/null 2>&1; then
        # Debian keeps ensurepip in python3-venv; the pip of python3-pip brings the locked one.
        "$python" -m venv --clear --without-pip "$venv"
        install_locked "$python" --python "$venv/bin/python"
    else
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        die "$python can neither make a virtual environment nor run pip." \
            "On Debian or Ubuntu: apt-get install python$version-venv    On Fedora: dnf install python3-pip"
    fi
    printf '%s\n' "$here" >"$venv/made-in"
fi

install_locked "$venv/bin/python"
if [ $# -gt 0 ]; then
    "$venv/bin/python" -m pip install --quiet --no-deps --no-build-isolation "$@"
    "$venv/bin/python" -m pip check >/dev/null || {
        "$venv/bin/python" -m pip check >&2 || :
        die "$requirements does not have what pyproject.toml requires. To lock it anew: make lock"
    }
fi
