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

version=$sources/core/include/rondo/core/version.hpp
interface=$(sed -nE 's/^#define RONDO_VERSION_(MAJOR|MINOR) ([0-9]+)$/\2/p' "$version" | paste -sd .)
ours=rondo::v${interface/./_}::

# configure SOURCES OPTION...: into $work/build
configure() {
  local from=$1
  shift
  "$cmake" -S "$from" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" \
    -DCMAKE_CXX_COMPILER_LAUNCHER="$launcher" "$@" >/dev/null
}
# A quarter of the compiler's time, and the sources owe it to those who build so that they can be one.
as_one=(-DCMAKE_BUILD_TYPE=Debug -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=0)
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

  # tls: that is asked for is not left out in silence.
  if configure "$sources" -DRONDO_TLS=ON -DCMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON \
    2>"$work/said"; then
    echo "RONDO_TLS=ON was built without" && exit 1
  fi
  grep -q "RONDO_TLS=ON, but OpenSSL 3" "$work/said" || { cat "$work/said" && exit 1; }

  # The default that is in a cache from before was none that was asked for.
  configure "$sources" -DRONDO_TLS:BOOL=ON -DCMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON
  [[ $(cached RONDO_TLS) == AUTO ]]

  configure "$sources" -DCMAKE_BUILD_TYPE=Debug -DRONDO_TLS=AUTO  # what was asked for stays
  [[ $(cached CMAKE_BUILD_TYPE) == Debug ]]
}

# Shared libraries: each with its name and version, complete, hiding what is not rondo's interface,
# and used in the same ways as archives.
shared() {
  configure "$sources" -DBUILD_SHARED_LIBS=ON -DRONDO_TOOLS=OFF "${as_one[@]}" \
    -DCMAKE_SHARED_LINKER_FLAGS=-Wl,--no-undefined
  "$cmake" --build "$work/build" -- --quiet
  exports "$work/build"
  "$cmake" --install "$work/build" --prefix "$work/installed" >/dev/null
  rm -rf "$work/build"
  local library
  for library in core sync transports; do
    readelf -d "$work"/installed/lib*/librondo_$library.so |
      grep -q "SONAME.*\[librondo_$library\.so\.$interface\]"
  done
  "$here/use.sh" "$cmake" "$cxx" "-Wall" "$work/installed"
}

# exports BUILD: what the libraries there export, against what their objects define.
exports() {
  local build=$1 problems
  find "$build" -name 'librondo_*.so' -exec nm -D -C --defined-only {} + |
    sed -n 's/^[0-9a-f]* \([A-Za-z]\) /\1 /p' | sort -u >"$work/exported"
  # Beyond rondo's: nothing but templates and inline functions of the standard library, which each
  # C++ library leaves, and the linker unites: weak (W, V) or unique (u), and of std by name.
  problems=$(grep -vE "^[A-Za-z] $ours|^[WVu] .*($ours|std::|__gnu_cxx::)" "$work/exported") || true
  [[ -z $problems ]] || { echo "exported: $problems" && exit 1; }
  # And outside of detail, all that is defined out of line; anonymous things are local (t, d, b).
  problems=$(find "$build" -name '*.o' -path '*/rondo_*' -exec nm -C --defined-only {} + |
    sed -n 's/^[0-9a-f]* \([TDBR]\) /\1 /p' | grep -E "^. $ours" | grep -v "^. ${ours}detail::" |
    sort -u | comm -23 - "$work/exported")
  [[ -z $problems ]] || { echo "public, but without RONDO_API: $problems" && exit 1; }
  [[ $(grep -c "^T $ours" "$work/exported") -gt 100 ]]
}

# A project within another one: it brings its libraries, and changes nothing. Without tls:, as the
# other cases have it: all else is there, and links.
embedded() {
  configure "$here/embedding" -DRONDO_SOURCES="$sources" -DRONDO_TLS=OFF "${as_one[@]}"
  "$cmake" --build "$work/build" -- --quiet
  "$work/build/embedding"
  "$work/build/without_tls"
  "$cmake" --install "$work/build" --prefix "$work/installed" >/dev/null
  [[ -z $(find "$work/installed" -type f 2>/dev/null) ]]
}

"$case"
