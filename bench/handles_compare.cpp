// Question: what do the handles cost beside the bare ring that stands behind them? Messages per
// second from one thread to another, through Sender and Receiver and through the ring's own
// producer and consumer, sample by sample in turns, each on a fresh ring of the same shape; and the
// ratio of the two within each pair of samples.
//
// kind=record   one message at a time through the ring of records, 1 MiB
// kind=mpmc     the same through 1024 slots
// kind=frames   frames published while a reader takes what it can get of them, 64 frames
//
// Not measured: waking. Where the host has put the two cores decides the figures more than the
// ratio. A pair of samples whose threads did not have their cores to themselves is dropped.
//
//   handles_compare [--json FILE] [--rounds N] [--seconds S] [--real-time]
#include <fmt/core.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rondo/core/frame_pool.hpp"
#include "rondo/core/mpmc_ring.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/engines.hpp"
#include "support/machine.hpp"
#include "support/names.hpp"
#include "support/pair.hpp"
#include "support/payload.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

constexpr std::uint64_t kCapacity = std::uint64_t{1} << 20;
constexpr std::uint64_t kSlots = 1024;
constexpr std::uint32_t kFrames = 64;

template <class T>
T must(Result<T> result) {
  if (!result) {
    fmt::print(stderr, "{}\n", result.error().message);
    std::exit(1);
  }
  return std::move(result).value();
}

// Both ends of one ring, made for one sample. `send(i)` is called until it returns true; `receive`
// returns whether it got a message.
template <std::size_t kBytes>
class Handles {
 public:
  explicit Handles(const std::string& url) : ends_(must(open_pair("shm:" + url))) {}

  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    auto claim = ends_.first.try_claim(kBytes);
    if (!claim) return false;
    write_message(claim->bytes().data(), kBytes, i);
    std::move(*claim).commit();
    return true;
  }
  template <class Read>
  RONDO_ALWAYS_INLINE bool receive(Read&& read) {
    const auto message = ends_.second.try_next();
    if (!message) return false;
    read(message->bytes());
    return true;
  }

 private:
  std::pair<Sender, Receiver> ends_;
};

template <std::size_t kBytes>
class BareRecords {
 public:
  BareRecords() : pages_(must(record_ring::layout_for({.capacity = kCapacity})).total_bytes) {
    if (!record_ring::create(pages_.bytes(), {.capacity = kCapacity})) std::abort();
    const RecordParts parts = must(record_ring::attach(pages_.bytes()));
    producer_.emplace(must(record_ring::Producer::attach(parts)));
    consumer_.emplace(must(record_ring::Consumer::attach(parts)));
  }

  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    std::byte* const to = producer_->try_reserve(kBytes);
    if (to == nullptr) return false;
    write_message(to, kBytes, i);
    producer_->commit(kBytes);
    return true;
  }
  template <class Read>
  RONDO_ALWAYS_INLINE bool receive(Read&& read) {
    if (consumer_->try_peek() != ReadOutcome::kMessage) return false;
    read(std::span(consumer_->data(), consumer_->size()));
    consumer_->give_back();
    return true;
  }

 private:
  Pages pages_;
  std::optional<record_ring::Producer> producer_;
  std::optional<record_ring::Consumer> consumer_;
};

template <std::size_t kBytes>
class BareSlots {
 public:
  BareSlots() {
    const MpmcParams params{.capacity = kSlots, .slot_bytes = 64};
    pages_.emplace(must(mpmc_ring<>::layout_for(params)).total_bytes);
    const auto parts = must(mpmc_ring<>::create(pages_->bytes(), params));
    producer_.emplace(parts, 0);
    consumer_.emplace(parts, 1);
  }

  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    std::byte* const to = producer_->try_reserve();
    if (to == nullptr) return false;
    write_message(to, kBytes, i);
    producer_->commit(kBytes);
    return true;
  }
  template <class Read>
  RONDO_ALWAYS_INLINE bool receive(Read&& read) {
    const std::span<const std::byte> message = consumer_->try_peek();
    if (message.data() == nullptr) return false;
    read(message);
    consumer_->give_back();
    return true;
  }

 private:
  std::optional<Pages> pages_;
  std::optional<mpmc_ring<>::Producer> producer_;
  std::optional<mpmc_ring<>::Consumer> consumer_;
};

template <std::size_t kBytes>
class BareFrames {
 public:
  BareFrames() {
    const FramePoolParams params{.frames = kFrames, .frame_bytes = 64};
    pages_.emplace(must(frame_pool::layout_for(params)).total_bytes);
    const auto parts = must(frame_pool::create(pages_->bytes(), params));
    producer_.emplace(parts);
    reader_.emplace(parts, 0);
  }

  RONDO_ALWAYS_INLINE bool send(std::uint64_t i) {
    std::byte* const to = producer_->try_reserve();
    if (to == nullptr) return false;
    write_message(to, kBytes, i);
    producer_->commit(kBytes);
    return true;
  }
  template <class Read>
  RONDO_ALWAYS_INLINE bool receive(Read&& read) {
    frame_pool::Message frame;
    if (reader_->try_next(frame) != ReadOutcome::kMessage) return false;
    read(frame.bytes());
    return true;
  }

 private:
  std::optional<Pages> pages_;
  std::optional<frame_pool::Producer> producer_;
  std::optional<frame_pool::Consumer> reader_;
};

template <std::size_t kBytes, bool kLossy, class Ends>
Pair::Outcome sample(Pair& pair, Ends& ends, std::uint64_t messages) {
  bool sound = false;
  const auto outcome = pair.run(
      [&] {
        for (std::uint64_t i = 0; i < messages; ++i) {
          while (!ends.send(i)) cpu_relax();
        }
      },
      [&] {
        Checker checker;
        std::uint64_t next = 0;
        bool in_order = true;
        while (next != messages) {
          const bool got = ends.receive([&](std::span<const std::byte> message) {
            if constexpr (kLossy) {
              std::uint64_t i = 0;
              std::memcpy(&i, message.data(), sizeof i);
              in_order = in_order && i >= next;
              next = i + 1;
            } else {
              checker.read_message(message.data(), kBytes, next++);
            }
          });
          if (!got) cpu_relax();
        }
        sound = kLossy ? in_order : checker.complete(messages, kBytes);
      });
  if (!sound) {
    fmt::print(stderr, "a sample of {} bytes was torn or out of order\n", kBytes);
    std::exit(1);
  }
  return outcome;
}

struct Comparison {
  std::string kind;
  std::size_t bytes;
  Samples& bare;
  Samples& handles;
  std::function<void(Pair&, Comparison&)> sample;
  int asked = 0;
  std::vector<double> ratios{};
};

template <std::size_t kBytes, bool kLossy, class Bare>
Comparison compare(Results& results, const char* kind, const std::string& url,
                   std::uint64_t messages) {
  const auto of = [&](const char* engine, Role role) -> Samples& {
    return results.add(
        {"handles", engine, role, {{"kind", kind}, {"bytes", kBytes}}, "messages/s", true});
  };
  const auto take = [=](Pair& pair, Comparison& comparison) {
    // Either first, by turns.
    Pair::Outcome outcomes[2] = {};
    const int first = comparison.asked++ % 2;
    for (const int which : {first, 1 - first}) {
      if (which == 0) {
        Bare ends;
        outcomes[0] = sample<kBytes, kLossy>(pair, ends, messages);
      } else {
        Handles<kBytes> ends(url);
        outcomes[1] = sample<kBytes, kLossy>(pair, ends, messages);
      }
    }
    const bool clean = outcomes[0].clean && outcomes[1].clean;
    const auto rate = [&](int which) {
      return static_cast<double>(messages) / outcomes[which].seconds;
    };
    comparison.bare.add(outcomes[0].probes, rate(0), clean);
    comparison.handles.add(outcomes[1].probes, rate(1), clean);
    if (clean) comparison.ratios.push_back(rate(1) / rate(0));
  };
  return {kind, kBytes, of("bare ring", Role::kFloor), of("Sender, Receiver", Role::kOurs), take};
}

template <std::size_t kBytes>
void compare_all(Results& results, const std::string& name, std::vector<Comparison>& all) {
  all.push_back(compare<kBytes, false, BareRecords<kBytes>>(results, "record",
                                                            name + "?capacity=1MiB", 2'000'000));
  all.push_back(compare<kBytes, false, BareSlots<kBytes>>(
      results, "mpmc", name + "?kind=mpmc&slots=1024&slot_size=64", 1'000'000));
  all.push_back(compare<kBytes, true, BareFrames<kBytes>>(
      results, "frames", name + "?kind=frames&frames=64&frame_size=64&readers=1", 50'000));
}

void print(const Comparison& comparison) {
  if (comparison.ratios.empty()) {
    fmt::print("{:>7} {:>3} B  no clean sample: something else runs on these cores\n",
               comparison.kind, comparison.bytes);
    return;
  }
  const auto rate = [](const Samples& samples) {
    std::vector<double> values;
    for (const Sample& sample : samples.all()) values.push_back(sample.value);
    return median(std::move(values)) * 1e-6;
  };
  fmt::print(
      "{:>7} {:>3} B  bare {:>7.1f} M/s  handles {:>7.1f} M/s  handles/bare {:.3f}  ({} pairs)\n",
      comparison.kind, comparison.bytes, rate(comparison.bare), rate(comparison.handles),
      median(comparison.ratios), comparison.ratios.size());
}

int main(int argc, char** argv) {
  CLI::App app("Messages per second through the handles and through the bare rings behind them");
  RunOptions options;
  options.rounds = 31;
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);
  const OwnName name("handles-compare");
  Results results("handles_compare");
  std::vector<Comparison> comparisons;
  compare_all<8>(results, name.get(), comparisons);
  compare_all<64>(results, name.get(), comparisons);
  {
    Pair pair(options.real_time);
    results.calibrate(pair);
    Rounds rounds("handles_compare", options.rounds, options.seconds, comparisons.size());
    while (rounds.next()) {
      for (Comparison& comparison : comparisons) {
        rounds.question();
        comparison.sample(pair, comparison);
      }
    }
  }
  results.place();
  results.print_placements();
  for (const Comparison& comparison : comparisons) print(comparison);
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
