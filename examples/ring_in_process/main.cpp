// Two threads, and a ring of trades between them: no handle, no system call, no allocation on the
// way of a message. Between processes: ring_between_processes.
#include <cstdint>
#include <iostream>
#include <rondo/core/spsc_ring.hpp>
#include <rondo/transports/local_memory.hpp>
#include <thread>

struct Trade {
  std::uint64_t id;
  double price;
};
using Ring = rondo::spsc_ring<Trade>;

int main() {
  constexpr std::uint64_t kTrades = 10'000'000;
  const rondo::SpscParams params{.capacity = 1024};
  rondo::LocalMemory memory;
  const auto layout = Ring::layout_for(params);
  const auto parts =
      Ring::create(memory.take_zeroed(layout.value().total_bytes, rondo::kPartAlignment), params);
  if (!parts) return std::cerr << parts.error().message << '\n', 1;

  std::thread writer([&] {
    Ring::Producer producer(parts.value());
    for (std::uint64_t id = 1; id <= kTrades; ++id) {
      while (!producer.try_push({id, 100.0})) rondo::cpu_relax();  // full: the reader is slower
    }
  });

  Ring::Consumer consumer(parts.value());
  double sum = 0;
  for (std::uint64_t taken = 0; taken < kTrades;) {
    const auto trade = consumer.try_pop();
    if (!trade) continue;  // empty: the writer is slower
    sum += trade->price;
    ++taken;
  }
  writer.join();
  std::cout << kTrades << " trades, mean price " << sum / static_cast<double>(kTrades) << '\n';
}
