#!/bin/sh
# Checks a Promela model exhaustively and prints the number of states.
#   check_model.sh holds|fails MODEL.pml [spin's -D flags]
# `holds`: no error may be found. `fails`: a mutant, in which an assertion has to be
# violated, or a process to wait for ever.
# Exit status 77: spin is not installed.
set -eu
expected=$1
model=$(realpath "$2")
shift 2
command -v spin >/dev/null || { echo "spin is not installed: apt-get install spin"; exit 77; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cp "$model" model.pml
spin "$@" -a model.pml >spin.log || { cat spin.log; exit 1; }
cc -O2 -w -DSAFETY -DNOFAIR -DCOLLAPSE -DMEMLIM=4000 -o pan pan.c
./pan -m1000000 -w24 >pan.log 2>&1 || true

# An exploration that was cut short proves nothing.
if grep -Eq 'max search depth too small|out of memory|memory bound|Search not completed' pan.log &&
   [ "$expected" = holds ]; then
  cat pan.log
  exit 1
fi
complaints='assertion violated|invalid end state'
errors=$(sed -n 's/.*errors: \([0-9]*\).*/\1/p' pan.log)
states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' pan.log)
echo "$(basename "$model") $*: $states states, $errors errors"
grep -E "$complaints" pan.log || true
case $expected in
  holds) [ "$errors" = 0 ] ;;
  fails) [ "$errors" != 0 ] && grep -Eq "$complaints" pan.log ;;
esac
