#!/bin/sh
# Make a virtual environment, also where Python came without ensurepip, and install into it.
#
#   tools/venv.sh VENV PIP-ARGUMENT...
#
# PYTHON   the interpreter to use, python3 unless set
# WHEELS   a folder of wheels; with it, nothing is fetched from the network (see `make wheelhouse`)
set -eu

venv=$1
shift
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
export PIP_DISABLE_PIP_VERSION_CHECK=1

# The scripts in a venv name its path: one that was moved, or whose Python is gone, is made anew.
if [ "$(cat "$venv/made-in" 2>/dev/null)" != "$here" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv --clear "$venv"
    elif "$python" -m pip --version >/dev/null 2>&1; then
        # Debian keeps ensurepip in python3-venv; the pip of python3-pip does as well.
        "$python" -m venv --clear --without-pip "$venv"
        "$python" -m pip --python "$venv/bin/python" install --quiet pip
    else
        version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
        die "$python can neither make a virtual environment nor run pip." \
            "On Debian or Ubuntu: apt-get install python$version-venv    On Fedora: dnf install python3-pip"
    fi
    printf '%s\n' "$here" >"$venv/made-in"
fi

# --group came with pip 25.1, and distributions ship older ones.
case " $* " in
*" --group "*)
    "$venv/bin/python" -c 'import pip, sys; sys.exit([int(n) for n in pip.__version__.split(".")[:2]] < [25, 1])' ||
        "$venv/bin/python" -m pip install --quiet --upgrade pip
    ;;
esac
exec "$venv/bin/python" -m pip install --quiet "$@"
