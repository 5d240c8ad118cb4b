#!/usr/bin/env bash
# What ./dev demo runs: real data through shared memory, checked on the far side; then this machine
# measured, as a table and a picture in build/demo.
#
#   tools/demo.sh FOLDER_OF_PROGRAMS
set -euo pipefail

bin=$(cd "${1:?the folder with the programs, such as build/bench/bin}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.."
out=build/demo
least_bytes=500000000
channel=shm:rondo-demo-$$

mkdir -p "$out"
work=$(mktemp -d "$out/work.XXXXXX")
background=()
# On any end, also by Ctrl-C, no process, no channel and no copy of the data stays behind.
clean_up() {
  trap - EXIT
  ((${#background[@]} == 0)) || kill "${background[@]}" 2>/dev/null || true
  wait
  "$bin/rondo" rm --force "$channel" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

headline() { printf '\n%s\n\n' "$*"; }
[[ ! -t 1 ]] || headline() { printf '\n\033[1m%s\033[0m\n\n' "$*"; }

headline "Real data, from one process to another, through shared memory"

printf 'pack      /usr/include'
tar -C / -cf "$work/once.tar" usr/include
copies=0
: >"$work/data"
while (($(stat -c %s "$work/data") < least_bytes)); do
  cat "$work/once.tar" >>"$work/data"
  copies=$((copies + 1))
done
rm "$work/once.tar"
printf ', %d times: %d MB\n' "$copies" $(($(stat -c %s "$work/data") / 1000000))

printf 'checksum  '
before=$(sha256sum <"$work/data" | cut -d ' ' -f 1)
printf '%s\n\n' "$before"

printf '  rondo recv --format blocks %s | sha256sum\n' "$channel"
printf '  rondo send --format blocks --progress "%s?capacity=4MiB" < data\n\n' "$channel"
mkfifo "$work/received"
sha256sum <"$work/received" >"$work/after" &
background+=($!)
"$bin/rondo" recv --quiet --format blocks "$channel" >"$work/received" &
background+=($!)
"$bin/rondo" send --quiet --format blocks --progress "$channel?capacity=4MiB" <"$work/data"
wait "${background[@]}"
background=()

after=$(cut -d ' ' -f 1 "$work/after")
rm "$work/data"
printf '\nreceived  %s\n' "$after"
if [[ $before != "$after" ]]; then
  printf 'The checksums differ: this is a bug in Rondo. Please report it.\n' >&2
  exit 1
fi
printf 'The same bytes, at the pace of the checksum on the far side.\n'

headline "This machine: a ring in shared memory, a pipe, and a UNIX socket"

measure() {
  # In the background, because a trap waits for what runs in the foreground.
  "$bin/rondo_driver" --demo "$work/measured.json" "$@" &
  background=($!)
  wait "${background[@]}"
  background=()
}
measure
if ((EUID == 0)) && grep -q '"samples": 0' "$work/measured.json"; then
  printf 'Other programs keep these cores busy: measuring again, with priority over them.\n\n'
  measure --real-time
fi
mv "$work/measured.json" "$out/rondo.json"
python3 tools/demo_report.py "$out/rondo.json" "$out/rondo"
