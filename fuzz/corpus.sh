#!/usr/bin/env bash
# The inputs of a fuzz target as one archive, corpus/NAME.tar:
#   corpus.sh pack DIRECTORY ARCHIVE   the files of the directory; the same files give the same bytes
#   corpus.sh check ARCHIVE...         whether each is as `pack` makes it
set -euo pipefail

# In the order of their names' bytes, and nothing in it of who packs, when, or with which umask.
pack() {
  local directory=$1 archive=$2
  (cd "$directory" && find . -type f -printf '%P\0') | LC_ALL=C sort -z |
    tar --create --file "$archive.new" --directory "$directory" --null --verbatim-files-from \
      --files-from - --format ustar --blocking-factor 20 \
      --owner 0 --group 0 --numeric-owner --mode 0644 --mtime @0
  mv "$archive.new" "$archive"
}

check() {
  local archive failed=0
  (($# > 0))  # none at all would pass for all
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  for archive in "$@"; do
    rm -rf "$work/files"
    mkdir "$work/files"
    # Without their times and modes, so that these do not come from the archive.
    (umask 077 && tar --extract --touch --file "$archive" --directory "$work/files")
    pack "$work/files" "$work/again.tar"
    cmp "$archive" "$work/again.tar" || failed=1
  done
  ((failed == 0)) || echo "pack them with ./dev pack"
  return $failed
}

"$@"
