// Question: what does a guarded ring cost beside a simple one? Messages per second from one process
// to another, or to several that share a core, through Sender and Receiver, over shm: and over
// shm+guarded:, sample by sample in turns, each on a fresh channel; and the ratio of the two within
// each pair of samples.
//
// Not measured: opening, which takes a handshake more; waking. Each message is written in full and
// read in full, and checked. Where the host has put the two cores decides the figures, not the
// ratio: look at that alone.
//
//   guarded_compare [--json FILE] [--rounds N] [--seconds S] [--readers N]
#include <fmt/core.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/child.hpp"
#include "support/cores.hpp"
#include "support/machine.hpp"
#include "support/names.hpp"
#include "support/payload.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

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
    child = fork_child();
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

struct Comparison {
  std::size_t bytes;
  Samples& simple;
  Samples& guarded;
  std::vector<double> ratios{};
};

Comparison compare(Results& results, std::size_t bytes, std::uint32_t readers) {
  const auto of = [&](const char* engine, Role role) -> Samples& {
    return results.add(
        {"guarded", engine, role, {{"bytes", bytes}, {"readers", readers}}, "messages/s", true});
  };
  return {bytes, of("shm:", Role::kFloor), of("shm+guarded:", Role::kOurs)};
}

void take(Comparison& comparison, std::uint32_t readers, const std::string& name) {
  const std::string urls[] = {"shm:" + name, "shm+guarded:/tmp/" + name};
  // Either first, by turns.
  double rates[2];
  const std::size_t first = comparison.ratios.size() % 2;
  for (const std::size_t which : {first, 1 - first}) {
    rates[which] = sample(urls[which], comparison.bytes, readers);
  }
  if (rates[0] == 0 || rates[1] == 0) {
    fmt::print(stderr, "a sample of {} bytes was torn, out of order or incomplete\n",
               comparison.bytes);
    std::exit(1);
  }
  comparison.simple.add(rates[0]);
  comparison.guarded.add(rates[1]);
  comparison.ratios.push_back(rates[1] / rates[0]);
}

int main(int argc, char** argv) {
  CLI::App app("Messages per second through a guarded ring and through a simple one");
  RunOptions options;
  options.rounds = 31;
  std::uint32_t readers = 1;
  options.add_to(app);
  app.add_option("--readers", readers, "receiving processes")->check(CLI::Range(1, 64));
  CLI11_PARSE(app, argc, argv);
  const OwnName name("guarded-compare");
  Results results("guarded_compare");
  pin_to(0);
  std::vector<Comparison> comparisons;
  for (const std::size_t bytes : {std::size_t{64}, std::size_t{1024}, std::size_t{65536}}) {
    comparisons.push_back(compare(results, bytes, readers));
  }
  Rounds rounds("guarded_compare", options.rounds, options.seconds, comparisons.size());
  while (rounds.next()) {
    for (Comparison& comparison : comparisons) {
      rounds.question();
      take(comparison, readers, name.get());
    }
  }
  for (const Comparison& comparison : comparisons) {
    const auto rate = [](const Samples& samples) { return *samples.get(Placement::kAny) * 1e-6; };
    fmt::print("{:>8} B  simple {:>8.2f} M/s  guarded {:>8.2f} M/s  guarded/simple {:.3f}\n",
               comparison.bytes, rate(comparison.simple), rate(comparison.guarded),
               median(comparison.ratios));
  }
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
