// Two processes, and a ring of trades between them: opened by a name in one line on each side,
// whichever comes first. Between the two lines no handle, no system call, no allocation.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <rondo/core/spsc_open.hpp>

struct Trade {
  std::uint64_t id;
  double price;
};
using Ring = rondo::spsc_ring<Trade>;
constexpr std::uint64_t kTrades = 10'000'000;

int produce() {
  auto producer = Ring::open_producer("shm:example-trades");
  if (!producer) return std::cerr << producer.error().message << '\n', 1;
  for (std::uint64_t id = 1; id <= kTrades; ++id) {
    while (!producer->try_push({id, 100.0})) rondo::cpu_relax();  // full: the reader is slower
  }
  return 0;
}  // what was not read yet stays for the consumer

int main() {
  if (fork() == 0) std::exit(produce());
  auto consumer = Ring::open_consumer("shm:example-trades");
  if (!consumer) return std::cerr << consumer.error().message << '\n', 1;
  double sum = 0;
  for (std::uint64_t taken = 0; taken < kTrades;) {
    const auto trade = consumer->try_pop();
    if (!trade) continue;  // empty: the writer is slower
    sum += trade->price;
    ++taken;
  }
  std::cout << kTrades << " trades, mean price " << sum / static_cast<double>(kTrades) << '\n';
}
