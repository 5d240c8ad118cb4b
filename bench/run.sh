#!/usr/bin/env bash
# What `./dev bench` runs, after building: all benchmarks, one after the other, on an idle machine.
#
#   bench/run.sh [BIN] [--quick]     default BIN: build/bench/bin
#
# Tables go to standard output, how far it is to standard error, and all samples to one file,
# BIN/../results/DATE-PROCESSOR.json (docs/bench_schema.md), which ends with ten lines of where Rondo
# stands. `./dev bench report` makes a page of it. Compare figures of one placement only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

bin=build/bench/bin
quick=
for argument in "$@"; do
  case $argument in
    --quick) quick=1 ;;
    -*) sed -n '2,9s/^# \?//p' "$0" >&2; exit 2 ;;
    *) bin=$argument ;;
  esac
done
[[ -x $bin/merge_results ]] || { echo "bench/run.sh: $bin has no benchmarks; ./dev bench builds them" >&2; exit 1; }

results=$(cd "$bin/.." && pwd)/results
parts=$results/parts
mkdir -p "$parts"
rm -f "$parts"/*

headline() { printf '\n== %s\n\n' "$1"; }

# run SECONDS PROGRAM [ARGUMENT...]: of which SECONDS are expected; one that hangs is ended. That one
# fails does not keep the others from running.
failures=()
run() {
  local seconds=$1 program=$2 status=0
  [[ -x $bin/$program ]] || { echo "not built: $program"; return 0; }
  timeout --foreground -k 10 $((3 * seconds + 120)) "$bin/$program" "${@:3}" || status=$?
  case $status in
    0) ;;
    129 | 130 | 143) exit "$status" ;;
    124 | 137) failures+=("$program did not finish") ;;
    *) failures+=("$program ended with $status") ;;
  esac
}

# measure PROGRAM SECONDS QUICK_SECONDS [ARGUMENT...]: for that long. Its figures are kept.
measure() {
  local program=$1 seconds=${quick:+$3}
  seconds=${seconds:-$2}
  run "$seconds" "$program" --seconds "$seconds" --json "$parts/$program.json" "${@:4}"
}

# One near pair for all programs, of the cores that may be used. taskset narrows the choice.
RONDO_BENCH_CORES=${RONDO_BENCH_CORES:-$("$bin/choose_cores")}
export RONDO_BENCH_CORES

# As root, other programs are kept off the two cores for the milliseconds of each sample.
real_time=()
if [[ $(id -u) == 0 ]]; then real_time=(--real-time); fi
many=(--rounds 40)
[[ -z $quick ]] || many=(--rounds 12)

headline "Between two threads: messages per second, against other queues"
measure hand_off_compare 240 32 "${many[@]}" "${real_time[@]}"

headline "To several consumers, against one ring for each of them"
measure readers_compare 60 6 "${many[@]}" "${real_time[@]}"

headline "Large frames in place, through a frame pool and a record ring, against memcpy"
measure frames_compare 100 14 "${many[@]}" "${real_time[@]}"

headline "Between two processes: round trips and throughput, against the kernel and others"
measure rondo_driver 220 32 "${real_time[@]}"

headline "How late single messages are that are due by a schedule, beside the machine's own jitter"
measure percentiles_compare 60 20 "${many[@]}" "${real_time[@]}"

headline "Two threads: through the handles against the bare rings"
measure handles_compare 40 5 "${many[@]}" "${real_time[@]}"

headline "What each feature costs a stream, and how it changes with what it does not use"
measure features_compare 25 4 "${many[@]}" "${real_time[@]}"
measure growth_compare 25 4 "${many[@]}" "${real_time[@]}"

headline "Between two processes: a guarded ring against a simple one"
measure guarded_compare 30 5 "${many[@]}"

headline "Pipes, sockets and queues of the system: through the handles, and by hand"
measure adapters_compare 60 8 "${many[@]}" "${real_time[@]}"

headline "A request and its reply, beside two bare messages"
measure calls_compare 20 4 "${many[@]}" "${real_time[@]}"

headline "Opening a channel, beside a memset of fresh memory"
measure opening_compare 40 6 --rounds "$([[ $quick ]] && echo 5 || echo 15)" "${real_time[@]}"

headline "What a channel takes: memory, descriptors, mappings"
measure footprint_compare 5 2 --rounds 5

headline "Rare messages between two processes: processor time, against a bare futex"
measure rare_messages_compare 50 10 --rounds 5 --messages "$([[ $quick ]] && echo 150 || echo 1000)"

headline "Bursts to a receiver that sleeps: a wake for each message, or one for all"
measure held_back_compare 20 5 --rounds 5 --between 50 --gap 3000 --bursts "$([[ $quick ]] && echo 30 || echo 100)" \
  "${real_time[@]}"

headline "Waiting for the next message, in each mode, on two cores and on one"
measure wait_modes_compare 90 20 --rounds 3 --gaps 1 10 30 100 1000 10000 "${real_time[@]}"

headline "From a ring to the wake of another process, in each way"
measure doorbells_compare 15 5 --rounds 5 "${real_time[@]}"

headline "Process-shared primitives, against the C library's"
measure primitives_compare 25 6 --rounds 15 "${real_time[@]}"

headline "Many to many, against other queues"
few=()
[[ -z $quick ]] || few=(--few-mixes)
measure mpmc_versus 200 22 "${many[@]}" "${few[@]}"

for benchmark in "$bin"/*_bench; do
  [[ -x $benchmark ]] || continue
  benchmark=${benchmark##*/}
  headline "$benchmark: in-process questions (placement not told apart)"
  run 60 "$benchmark" --benchmark_min_time="$([[ $quick ]] && echo 0.01 || echo 0.2)" \
    --benchmark_out="$parts/$benchmark.json" --benchmark_out_format=json
done

# The versions of what is compared with, as far as Debian has installed it.
for package in ${RONDO_BENCH_PACKAGES:-}; do
  command -v dpkg-query >/dev/null || break
  # shellcheck disable=SC2016  # dpkg's own variables
  version=$(dpkg-query -W -f='${db:Status-Status}/${Version}\n' "$package" 2>/dev/null |
    sed -n '/^installed\//{s///p;q}') || true
  printf '%s %s\n' "$package" "${version:-missing}"
done >"$parts/packages.txt"

processor=$(awk -F ': *' '
  /^vendor_id|^cpu family|^model[[:space:]]*:/ { printf "%s%s", sep, $2; sep = "-" }
  /^$/ { exit }' /proc/cpuinfo | tr -cd '[:alnum:]-')
file=$results/$(date -u +%Y-%m-%d-%H%M%S)-${processor:-unknown}.json
if "$bin/merge_results" --out "$file" --packages "$parts/packages.txt" "$parts"/*.json; then
  printf '\n'
  python3 -B bench/report.py --summary "$file" || failures+=("the summary")
  printf '\nAll figures: %s\nA page of them: ./dev bench report %s\n' "$file" "$file"
else
  failures+=("there is no file of figures")
fi
((${#failures[@]} == 0)) || {
  printf 'FAILED: %s\n' "${failures[@]}" >&2
  exit 1
}
