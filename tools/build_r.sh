#!/bin/sh
# Build the R source package into a folder: sh tools/build_r.sh FOLDER [R CMD build options]
# From a copy without what make made, since R CMD build copies the whole folder before it leaves anything out.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
folder=$1
shift
mkdir -p "$folder/source"
tar -C "$root" --exclude=./.venv --exclude=./.bench-venv --exclude=./.docs-venv --exclude=./.Rlib --exclude=./.git \
    --exclude=./build --exclude=./demo_output --exclude='./.*_cache' --exclude='./.coverage*' -cf - . | tar -C "$folder/source" -xf -
cd "$folder"
R CMD build "$@" source
rm -rf source
