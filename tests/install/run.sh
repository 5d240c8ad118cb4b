#!/usr/bin/env bash
# Installs a build tree into an empty folder and uses it from there: run.sh CMAKE BUILD CXX FLAGS
set -euo pipefail
cmake=$1 build=$2 cxx=$3 flags=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$cmake" --install "$build" --prefix "$work/installed" >/dev/null

# Moved after the installation: nothing in it may know where it was made.
prefix=$work/moved
mv "$work/installed" "$prefix"

echo "the program"
"$prefix/bin/rondo" --version

echo "find_package(rondo)"
"$cmake" -S "$here/consumer" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$prefix" \
  -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="$flags" >/dev/null
"$cmake" --build "$work/build" -- --quiet
"$work/build/all_modules"
"$work/build/core_alone"

echo "pkg-config rondo"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name rondo.pc)")
export PKG_CONFIG_PATH
# shellcheck disable=SC2046,SC2086  # flags are several words
"$cxx" $flags -std=c++20 "$here/consumer/all_modules.cpp" $(pkg-config --cflags --libs rondo) \
  -o "$work/all_modules"
"$work/all_modules"
