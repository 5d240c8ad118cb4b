#!/usr/bin/env bash
# What the sources are to a packager and to a project that embeds them:
# sources.sh CMAKE CXX LAUNCHER defaults|shared|embedded
set -euo pipefail
cmake=$1 cxx=$2 launcher=$3 case=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
sources=$here/../..
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Shared by the cases, so that the second one finds what the first has compiled.
export CCACHE_BASEDIR=$work CCACHE_NOHASHDIR=true

# configure SOURCES OPTION...: into $work/build
configure() {
  local from=$1
  shift
  "$cmake" -S "$from" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" \
    -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher" "$@" >/dev/null
}
cached() { sed -n "s/^$1:[A-Z]*=//p" "$work/build/CMakeCache.txt"; }

# No build type, no options: optimised, without tests, and position independent.
defaults() {
  configure "$sources" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
  [[ $(cached CMAKE_BUILD_TYPE) == Release && $(cached RONDO_TESTS) == OFF ]]
  [[ $(cached RONDO_MIMALLOC) == OFF ]]
  [[ ! -e $work/build/CTestTestfile.cmake ]]
  local commands=$work/build/compile_commands.json
  grep -q -- '-O3 .*-fPIC .*/core/src/' "$commands"
  if grep -q -- '-Werror\|/tests/' "$commands"; then exit 1; fi

  configure "$sources" -DCMAKE_BUILD_TYPE=Debug  # what was asked for stays
  [[ $(cached CMAKE_BUILD_TYPE) == Debug ]]
}

# Shared libraries: each with its name and version, and used in the same ways as archives.
shared() {
  configure "$sources" -DBUILD_SHARED_LIBS=ON -DRONDO_TOOLS=OFF -DCMAKE_BUILD_TYPE=Debug
  "$cmake" --build "$work/build" -- --quiet
  "$cmake" --install "$work/build" --prefix "$work/installed" >/dev/null
  rm -rf "$work/build"
  local library
  for library in core sync transports; do
    readelf -d "$work"/installed/lib*/librondo_$library.so |
      grep -q "SONAME.*librondo_$library\.so\.[0-9]*\.[0-9]*\]"
  done
  "$here/use.sh" "$cmake" "$cxx" "-Wall" "$work/installed"
}

# A project within another one: it brings its libraries, and changes nothing.
embedded() {
  configure "$here/embedding" -DRONDO_SOURCES="$sources"
  "$cmake" --build "$work/build" -- --quiet
  "$work/build/embedding"
  "$cmake" --install "$work/build" --prefix "$work/installed" >/dev/null
  [[ -z $(find "$work/installed" -type f 2>/dev/null) ]]
}

"$case"
