// Question: what does a guarded ring cost beside a simple one? Messages per second from one process
// to another, or to several that share a core, through Sender and Receiver, over shm: and over
// shm+guarded:, sample by sample in turns, each on a fresh channel; and the ratio of the two within
// each pair of samples.
//
// Not measured: opening, which takes a handshake more; waking. Each message is written in full and
// read in full, and checked. Where the host has put the two cores decides the figures, not the
// ratio: look at that alone.
//
//   guarded_compare [PAIRS [READERS]]      default 31, 1
#include <fmt/core.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/machine.hpp"
#include "support/payload.hpp"

namespace rondo::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kSample{40};

// The receiving process: reads all there is. Its exit status tells whether it was sound.
int receive_all(const std::string& url, std::size_t bytes) {
  pin_to(1);
  auto receiver = Receiver::open(url, {.wait = Deadline::after(std::chrono::seconds(10))});
  if (!receiver) return 1;
  Checker checker;
  std::uint64_t i = 0;
  for (const Message& message : *receiver) {
    if (message.size() != bytes) return 2;
    checker.read_message(message.bytes().data(), bytes, i++);
  }
  return receiver->status() == Status::kEnded && checker.complete(i, bytes) ? 0 : 3;
}

// Messages per second of one sample; 0 if it was not sound.
double sample(const std::string& url, std::size_t bytes, std::uint32_t readers) {
  std::vector<pid_t> children(readers);
  for (pid_t& child : children) {
    child = fork();
    if (child == 0) _exit(receive_all(url, bytes));
  }
  double rate = 0;
  {
    auto sender = Sender::open(fmt::format("{}?capacity=1MiB&readers={}", url, readers));
    if (!sender || sender->wait_for_receivers(readers) != Status::kOk) std::abort();
    const auto start = Clock::now();
    std::uint64_t i = 0;
    for (auto now = start; now - start < kSample; now = Clock::now()) {
      for (const std::uint64_t end = i + 1000; i < end; ++i) {
        auto claim = sender->claim(bytes);
        if (!claim) std::abort();
        write_message(claim->bytes().data(), bytes, i);
        std::move(*claim).commit();
      }
    }
    if (sender->flush() != Status::kOk) std::abort();
    rate = static_cast<double>(i) / std::chrono::duration<double>(Clock::now() - start).count();
    if (sender->close() != Status::kOk) std::abort();
  }
  for (const pid_t child : children) {
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) rate = 0;
  }
  return rate;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void compare(std::size_t bytes, int pairs, std::uint32_t readers) {
  const std::string simple_url = fmt::format("shm:guarded-compare-{}", getpid());
  const std::string guarded_url = fmt::format("shm+guarded:/tmp/guarded-compare-{}", getpid());
  std::vector<double> simple;
  std::vector<double> guarded;
  std::vector<double> ratios;
  for (int i = 0; i < pairs; ++i) {
    // Either first, by turns.
    double rates[2];
    for (const int which : {i % 2, 1 - i % 2}) {
      rates[which] = sample(which == 0 ? simple_url : guarded_url, bytes, readers);
    }
    if (rates[0] == 0 || rates[1] == 0) {
      fmt::print(stderr, "a sample of {} bytes was torn, out of order or incomplete\n", bytes);
      std::exit(1);
    }
    simple.push_back(rates[0]);
    guarded.push_back(rates[1]);
    ratios.push_back(rates[1] / rates[0]);
  }
  fmt::print("{:>8} B  simple {:>8.2f} M/s  guarded {:>8.2f} M/s  guarded/simple {:.3f}\n", bytes,
             median(simple) * 1e-6, median(guarded) * 1e-6, median(ratios));
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) {
  const int pairs = argc > 1 ? std::atoi(argv[1]) : 31;
  const int readers = argc > 2 ? std::atoi(argv[2]) : 1;
  rondo::bench::pin_to(0);
  for (const std::size_t bytes : {std::size_t{64}, std::size_t{1024}, std::size_t{65536}}) {
    rondo::bench::compare(bytes, std::max(pairs, 1),
                          static_cast<std::uint32_t>(std::max(readers, 1)));
  }
  return 0;
}
