#!/bin/sh
# run_model.sh MODEL.pml holds|fails [-DVARIANT...]
# Explores every interleaving of a spin model and demands that it holds, or that it fails: a mutant
# that is not caught proves nothing. Prints the number of states.
set -eu
model=$(realpath "$1")
expected=$2
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

spin -a "$@" "$model"
cc -O2 -w -DSAFETY -DVECTORSZ=4096 -DCOLLAPSE -DMEMLIM=2048 -o pan pan.c
./pan -m1000000 >out 2>&1 || true
grep -E 'states, stored|errors:' out || true

if grep -qE 'out of memory|max search depth too small|aborting' out || ! grep -q 'errors:' out; then
  cat out
  echo "the search was not complete"
  exit 2
fi
if grep -q 'errors: 0' out; then found=holds; else found=fails; fi
if [ "$found" != "$expected" ]; then
  cat out
  if [ "$found" = fails ]; then spin -t -p -g "$@" -k ./*.trail "$model" | tail -80; fi
fi
echo "$(basename "$model") $*: $found, as $expected was expected"
[ "$found" = "$expected" ]
