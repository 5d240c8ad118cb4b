#!/usr/bin/env bash
# Uses what is installed below a folder as another project would: use.sh CMAKE CXX FLAGS PREFIX
set -euo pipefail
cmake=$1 cxx=$2 flags=$3 prefix=$4
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

consumer=("$cmake" -S "$here/consumer" -G Ninja -DCMAKE_PREFIX_PATH="$prefix"
  -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_CXX_FLAGS="$flags")

# Whoever links with shared libraries needs nothing of what they are made with.
[[ -n $(find "$prefix" -name 'librondo_*.a') ]] ||
  consumer+=(-DCMAKE_DISABLE_FIND_PACKAGE_OpenSSL=ON)

echo "find_package(rondo)"
"${consumer[@]}" -B "$work/build" >/dev/null
"$cmake" --build "$work/build" -- --quiet
"$work/build/all_modules"
"$work/build/core_alone"

echo "the program's own allocator"
"$work/build/own_allocator"

echo "inside a plugin, and inside two"
cp "$work/build/libplugin.so" "$work/build/libother.so"
"$work/build/plugin_host" "$work/build/libplugin.so"
"$work/build/plugin_host" "$work/build/libplugin.so" "$work/build/libother.so"

echo "find_package(rondo COMPONENTS marmalade) says what there is"
if "${consumer[@]}" -B "$work/refused" -DWANTED=marmalade >"$work/said" 2>&1; then
  echo "it was found" && exit 1
fi
said=$(tr -s ' \n' ' ' <"$work/said")  # CMake breaks lines where it likes
for words in "no component 'marmalade'" core sync transports; do
  [[ $said == *"$words"* ]] || { cat "$work/said" && exit 1; }
done

echo "pkg-config rondo"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name rondo.pc)")
export PKG_CONFIG_PATH
[[ -n $(find "$prefix" -name 'librondo_*.a') || $(pkg-config --libs rondo) != *ssl* ]]
# shellcheck disable=SC2046,SC2086  # flags are several words
"$cxx" $flags -std=c++20 "$here/consumer/all_modules.cpp" $(pkg-config --cflags --libs rondo) \
  -Wl,-rpath,"$(pkg-config --variable=libdir rondo)" -o "$work/all_modules"
"$work/all_modules"
# An object of another binary interface, for the version or for the atomics, does not link.
# links FLAG...: whether a small program does, compiled with these; what is said goes to $work/said
links() {
  # shellcheck disable=SC2046,SC2086
  "$cxx" $flags -std=c++20 "$@" "$here/consumer/out_of_line.cpp" \
    $(pkg-config --cflags --libs rondo) -o "$work/of_another" 2>"$work/said"
}
echo "objects of another binary interface"
headers=$(dirname "$(find "$prefix" -path '*/rondo/core/version.hpp')")
mkdir -p "$work/later"
cp -r "$headers/.." "$work/later/rondo"
links "-I$work/later"
sed -i 's/^#define RONDO_ABI v[0-9_]*$/&_later/' "$work/later/rondo/core/version.hpp"
for other in "-I$work/later" "-DRONDO_ATOMIC_HEADER=\"$here/consumer/other_atomics.hpp\""; do
  if links "$other"; then
    echo "with $other it links" && exit 1
  fi
  grep -qE 'undefined reference to .*rondo::v[0-9_]+_(later|other_atomics)::' "$work/said" ||
    { cat "$work/said" && exit 1; }
done

[[ -z $(find "$prefix" -name 'librondo_*.a') ]] && exit

echo "a static program"
# shellcheck disable=SC2046,SC2086
"$cxx" $flags -std=c++20 -static "$here/consumer/all_modules.cpp" \
  $(pkg-config --cflags --static --libs rondo) -o "$work/all_static"
"$work/all_static"

# What a user's first test run shows: nothing.
channels=(inproc: "inproc:few?capacity=64KiB" "inproc:shared?kind=mpmc&slots=16"
  pipe: "unix:$work/socket" "shm+guarded:$work/guarded")
for segment in "shm:install-$$" "file:$work/ring"; do
  channels+=("$segment" "$segment-many?readers=4" "$segment-shared?kind=mpmc&slots=16"
    "$segment-pool?kind=frames&frames=4&frame_size=4KiB&readers=2")
done
# shellcheck disable=SC2046,SC2086
build_threads() {
  "$cxx" $flags -std=c++20 -g -O1 "$@" "$here/consumer/threads.cpp" \
    $(pkg-config --cflags --libs rondo) -o "$work/threads"
}

echo "under ThreadSanitizer, against a library that is built without it"
build_threads -fsanitize=thread
# That of g++ 12 needs mappings near each other.
watched=(env TSAN_OPTIONS=halt_on_error=1 setarch "$(uname -m)" -R "$work/threads")
"${watched[@]}" "${channels[@]}"
if "${watched[@]}" --race inproc: >/dev/null 2>&1; then
  echo "a race in the user's own code was not reported" && exit 1
fi

echo "under valgrind"
build_threads
valgrind --quiet --error-exitcode=99 "$work/threads" "${channels[@]}"
