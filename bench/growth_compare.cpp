// Question: how does a stream of messages of 64 bytes change with what it does not use? Messages
// per second through Sender and Receiver from one thread to another, in turns, each sample through
// a fresh channel:
//
//   capacity      of the ring, 64 KiB to 64 MiB, of which the stream fills what it likes
//   readers       places for receivers, 2 to 64, of which one is taken
//   participants  of a kind=mpmc: receivers that are attached beside the one that reads, and do
//                 nothing
//
// Not measured: growth with the size of a message (hand_off_compare, rondo_driver); with receivers
// that read (readers_compare) or senders that send (mpmc_versus); opening (opening_compare); memory
// (footprint_compare).
//
//   growth_compare [--json FILE] [--rounds N] [--seconds S] [--real-time]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "support/channel_stream.hpp"
#include "support/cores.hpp"
#include "support/names.hpp"
#include "support/pair.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

constexpr std::size_t kBytes = 64;

struct Point {
  std::string what;
  std::uint64_t count;
  std::string url;
  std::uint64_t messages;
  std::size_t idle;  // receivers that do nothing
  Samples* samples = nullptr;
  bool works = true;
};

std::vector<Point> points(const std::string& name) {
  constexpr std::uint64_t kMessages = 500'000;
  constexpr std::uint64_t kKiB = 1024;
  std::vector<Point> all;
  for (std::uint64_t kib = 64; kib <= 64 * kKiB; kib *= 4) {
    // Some laps, though a large ring is not gone through as a whole.
    const std::uint64_t messages = std::max(kMessages, 2 * kib * kKiB / (kBytes + 8));
    all.push_back(
        {"capacity", kib * kKiB, fmt::format("shm:{}?capacity={}KiB", name, kib), messages, 0});
  }
  for (const std::uint64_t readers : {2u, 8u, 64u}) {
    all.push_back({"readers", readers,
                   fmt::format("shm:{}?capacity=1MiB&readers={}", name, readers), kMessages, 0});
  }
  for (const std::uint64_t idle : {0u, 1u, 4u, 16u}) {
    all.push_back({"participants", 2 + idle,
                   fmt::format("shm:{}?kind=mpmc&slots=16384&slot_size=64", name), kMessages,
                   static_cast<std::size_t>(idle)});
  }
  return all;
}

// False if there was no channel, or it was not sound.
bool take_sample(Pair& pair, Point& point) {
  auto ends = Ends::open(point.url);
  if (!ends) return false;
  std::vector<Receiver> idle;
  for (std::size_t i = 0; i < point.idle; ++i) {
    auto receiver = Receiver::open(point.url);
    if (!receiver) return false;
    idle.push_back(*std::move(receiver));
  }
  return take_stream(pair, *ends, kBytes, point.messages, *point.samples);
}

int main(int argc, char** argv) {
  CLI::App app("How a stream changes with capacity, places and participants");
  RunOptions options;
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);
  if (Cores::in_use().count() < 2) {
    fmt::print(stderr, "growth_compare: needs two cores\n");
    return 1;
  }
  const OwnName name("growth-compare");
  Results results("growth_compare");
  std::vector<Point> all = points(name.get());
  for (Point& point : all) {
    point.samples = &results.add({"growth",
                                  "shm:",
                                  Role::kOurs,
                                  {{"with", point.what}, {"count", point.count}},
                                  "messages/s",
                                  true});
  }
  {
    Pair pair(options.real_time);
    results.calibrate(pair);
    Rounds rounds("growth_compare", options.rounds, options.seconds, all.size());
    while (rounds.next()) {
      for (Point& point : all) {
        rounds.question();
        if (!point.works || take_sample(pair, point)) continue;
        point.works = false;
        results.fail("shm:",
                     fmt::format("{} {}: no channel, or messages lost, torn or out of order",
                                 point.what, point.count));
      }
    }
  }
  results.place();
  fmt::print("{}\n", describe_machine());
  results.print_placements();
  for (const Placement placement : kPlacements) {
    for (const Point& point : all) {
      const auto rate = point.samples->get(placement);
      if (!rate) continue;
      fmt::print("{:<10}{:<14}{:>10}{:>10.1f} M/s ({})\n", to_string(placement), point.what,
                 point.count, *rate * 1e-6, point.samples->count(placement));
    }
  }
  results.write(options.json);
  return results.failed() ? 1 : 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
