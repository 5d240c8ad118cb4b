#!/usr/bin/env bash
# What `./dev bench` runs, after building: all benchmarks, one after the other, on an idle machine.
#
#   bench/run.sh [BIN] [--quick]     default BIN: build/bench/bin
#
# Tables go to standard output, figures as JSON to BIN/../results. What decides is the tag: compare
# figures of one placement only, and run again if the host never put the cores near (docs/performance.md).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=build/bench/bin
rounds=25
seconds=30
min_time=0.5
for argument in "$@"; do
  case $argument in
    --quick) rounds=5 seconds=5 min_time=0.05 ;;
    -*) sed -n '2,8s/^# \?//p' "$0" >&2; exit 2 ;;
    *) bin=$argument ;;
  esac
done
results=$bin/../results
mkdir -p "$results"

headline() { printf '\n== %s\n\n' "$1"; }

# As root, other programs are kept off the two cores for the milliseconds of each sample.
real_time=()
if [[ $(id -u) == 0 ]]; then real_time=(--real-time); fi

headline "Between two threads: messages per second, against other queues"
"$bin/hand_off_compare" --rounds "$rounds" "${real_time[@]}" --json "$results/hand_off.json"

headline "To several consumers, against one ring for each of them"
"$bin/readers_compare" --rounds "$rounds" "${real_time[@]}" --json "$results/readers.json"

headline "Large frames in place, through a frame pool and a record ring, against memcpy"
"$bin/frames_compare" --rounds "$rounds" "${real_time[@]}" --json "$results/frames.json"

headline "Between two processes: round trips and throughput, against pipe and UNIX socket"
"$bin/rondo_driver" --seconds "$seconds" "${real_time[@]}" --json "$results/processes.json"

headline "Two threads: through the handles against the bare rings"
"$bin/handles_compare" "$rounds" "${real_time[@]}"

headline "Between two processes: a guarded ring against a simple one"
"$bin/guarded_compare" "$rounds"

headline "Opening a channel, beside a memset of fresh memory"
"$bin/opening_compare" --rounds "$rounds" "${real_time[@]}" --json "$results/opening.json"

headline "Rare messages between two processes: processor time, against a bare futex"
"$bin/rare_messages_compare" --rounds "$((rounds / 5))" --json "$results/rare_messages.json"

if [[ -x $bin/mpmc_versus ]]; then
  headline "Many to many, against other queues"
  "$bin/mpmc_versus" "$rounds"
fi

for benchmark in "$bin"/*_bench; do
  [[ -x $benchmark ]] || continue
  headline "$(basename "$benchmark"): in-process questions (placement not told apart)"
  "$benchmark" --benchmark_min_time="$min_time" \
    --benchmark_out="$results/$(basename "$benchmark").json" --benchmark_out_format=json
done
printf '\nFigures: %s\n' "$results"
