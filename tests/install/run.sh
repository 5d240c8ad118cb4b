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

"$here/use.sh" "$cmake" "$cxx" "$flags" "$prefix"
