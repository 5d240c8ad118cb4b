// Questions about the last-value cell alone, in one process:
//
//   BM_LatestStore     what does a store cost while no reader loads?
//   BM_LatestLoad      and a load of a value that does not change?
//   BM_LatestContended what do stores without a pause cost beside one reader who looks without a
//                      pause (thread 0 stores, thread 1 loads), how often does the reader see a
//                      new value, and how often is it too slow?
//   BM_LatestMutex     the same two threads with a mutex around a plain value
//
// Not measured: more readers than cores, process boundaries, wake-ups. Where the host has put the
// two cores decides the contended figures: compare within one run. Run with the bench preset.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>

#include "rondo/core/latest.hpp"
#include "support/cores.hpp"
#include "support/machine.hpp"

namespace rondo::bench {
namespace {

template <std::size_t kBytes>
using Value = std::array<std::uint64_t, kBytes / 8>;

template <std::size_t kBytes>
class Cell {
 public:
  explicit Cell(std::uint32_t buffers = LatestParams{}.buffers) {
    const LatestParams params{.buffers = buffers};
    const std::uint64_t size = latest<Value<kBytes>>::layout_for(params)->total_bytes;
    if (size > sizeof memory_) std::abort();
    parts_ = *latest<Value<kBytes>>::create({memory_, size}, params);
  }
  [[nodiscard]] const LatestParts& parts() const { return parts_; }

 private:
  alignas(kPartAlignment) std::byte memory_[256 * 1024]{};
  LatestParts parts_{};
};

template <std::size_t kBytes>
void BM_LatestStore(benchmark::State& state) {
  static std::optional<Cell<kBytes>> cell;
  cell.emplace();
  typename latest<Value<kBytes>>::Writer writer(cell->parts());
  Value<kBytes> value{};
  for (auto _ : state) {
    ++value[0];
    benchmark::DoNotOptimize(value);
    writer.store(value);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kBytes));
}
BENCHMARK(BM_LatestStore<8>);
BENCHMARK(BM_LatestStore<64>);
BENCHMARK(BM_LatestStore<1024>);

template <std::size_t kBytes>
void BM_LatestLoad(benchmark::State& state) {
  static std::optional<Cell<kBytes>> cell;
  cell.emplace();
  typename latest<Value<kBytes>>::Writer(cell->parts()).store({});
  typename latest<Value<kBytes>>::Reader reader(cell->parts());
  Value<kBytes> value{};
  for (auto _ : state) {
    if (reader.try_load(value) != LatestRead::kValue) state.SkipWithError("no value");
    benchmark::DoNotOptimize(value);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(kBytes));
}
BENCHMARK(BM_LatestLoad<8>);
BENCHMARK(BM_LatestLoad<64>);
BENCHMARK(BM_LatestLoad<1024>);

// Argument: buffers. A fresh cell for each run: thread 0 makes it before the loop, which both
// threads enter together.
template <std::size_t kBytes>
void BM_LatestContended(benchmark::State& state) {
  static std::optional<Cell<kBytes>> cell;
  pin_to(state.thread_index());
  Value<kBytes> value{};
  if (state.thread_index() == 0) {
    cell.emplace(static_cast<std::uint32_t>(state.range(0)));
    typename latest<Value<kBytes>>::Writer writer(cell->parts());
    for (auto _ : state) {
      value.fill(writer.version() + 1);
      writer.store(value);
    }
    return;
  }
  std::optional<typename latest<Value<kBytes>>::Reader> reader;
  std::uint64_t fresh = 0;
  std::uint64_t busy = 0;
  std::uint64_t loads = 0;
  for (auto _ : state) {
    if (!reader) reader.emplace(cell->parts());
    const std::uint64_t before = reader->version();
    const LatestRead read = reader->try_load(value);
    ++loads;
    busy += read == LatestRead::kBusy;
    fresh += reader->version() != before;
    if (read != LatestRead::kValue) continue;
    for (const std::uint64_t word : value) {
      if (word != reader->version()) state.SkipWithError("torn");
    }
  }
  state.counters["fresh_share"] = static_cast<double>(fresh) / static_cast<double>(loads);
  state.counters["busy_share"] = static_cast<double>(busy) / static_cast<double>(loads);
}
BENCHMARK(BM_LatestContended<64>)->Arg(2)->Arg(4)->Arg(16)->Threads(2)->UseRealTime();
BENCHMARK(BM_LatestContended<1024>)->Arg(2)->Arg(4)->Arg(16)->Threads(2)->UseRealTime();

template <std::size_t kBytes>
void BM_LatestMutex(benchmark::State& state) {
  struct Plain {
    std::mutex mutex;
    Value<kBytes> value{};
  };
  static Plain plain;
  pin_to(state.thread_index());
  Value<kBytes> value{};
  for (auto _ : state) {
    const std::lock_guard lock(plain.mutex);
    if (state.thread_index() == 0) {
      ++value[0];
      plain.value = value;
    } else {
      value = plain.value;
    }
    benchmark::DoNotOptimize(value);
  }
}
BENCHMARK(BM_LatestMutex<64>)->Threads(2)->UseRealTime();
BENCHMARK(BM_LatestMutex<1024>)->Threads(2)->UseRealTime();

}  // namespace
}  // namespace rondo::bench
