#!/bin/sh
# Write a software bill of materials: the packages of requirements.txt as CycloneDX.
#
#   tools/sbom.sh PYTHON FILE
#
# PYTHON is that of an environment with requirements-dev.txt. The same tree gives the same file.
set -eu

python=$1
file=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The version is in the package; the tool looks for it in pyproject.toml.
version=$("$python" -c 'import qscp; print(qscp.__version__)')
sed "s/^dynamic = .*/version = \"$version\"/" pyproject.toml >"$work/pyproject.toml"
cp README.md LICENSE "$work"
mkdir -p "$(dirname "$file")"
# A list of requirements does not say what requires what; the warning about that is not useful here.
"$python" -W ignore::UserWarning -m cyclonedx_py requirements --output-reproducible --pyproject "$work/pyproject.toml" \
    --output-file "$file" requirements.txt
echo "$file lists $(grep -c == requirements.txt) packages."
