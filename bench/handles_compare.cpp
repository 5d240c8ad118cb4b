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
// ratio. A sample whose threads did not have their cores to themselves is taken again.
//
//   handles_compare [PAIRS] [--real-time]      default 31
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
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
#include "support/pair.hpp"
#include "support/payload.hpp"

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
template <class T>
T must(std::optional<T> value) {
  if (!value) std::abort();
  return *std::move(value);
}

// Both ends of one ring, made for one sample. `send(i)` is called until it returns true; `receive`
// returns whether it got a message.
template <std::size_t kBytes>
class Handles {
 public:
  explicit Handles(const std::string& url)
      : ends_(must(open_pair(fmt::format("shm:handles-compare-{}{}", getpid(), url)))) {}

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

// Messages per second; 0 when a core was not ours, or a message was torn.
template <std::size_t kBytes, bool kLossy, class Ends>
double sample(Pair& pair, Ends& ends, std::uint64_t messages) {
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
  return outcome.clean ? static_cast<double>(messages) / outcome.seconds : 0;
}

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

template <std::size_t kBytes, bool kLossy, class Bare>
void compare(Pair& pair, int pairs, const char* kind, const std::string& url,
             std::uint64_t messages) {
  std::vector<double> bare;
  std::vector<double> handles;
  std::vector<double> ratios;
  for (int i = 0; static_cast<int>(ratios.size()) < pairs && i < 4 * pairs; ++i) {
    // Either first, by turns.
    double rates[2] = {};
    for (const int which : {i % 2, 1 - i % 2}) {
      if (which == 0) {
        Bare ends;
        rates[0] = sample<kBytes, kLossy>(pair, ends, messages);
      } else {
        Handles<kBytes> ends(url);
        rates[1] = sample<kBytes, kLossy>(pair, ends, messages);
      }
    }
    if (rates[0] == 0 || rates[1] == 0) continue;
    bare.push_back(rates[0]);
    handles.push_back(rates[1]);
    ratios.push_back(rates[1] / rates[0]);
  }
  if (ratios.empty()) {
    fmt::print("{:>7} {:>3} B  no clean sample: something else runs on these cores\n", kind,
               kBytes);
    return;
  }
  fmt::print(
      "{:>7} {:>3} B  bare {:>7.1f} M/s  handles {:>7.1f} M/s  handles/bare {:.3f}  ({} pairs)\n",
      kind, kBytes, median(bare) * 1e-6, median(handles) * 1e-6, median(ratios), ratios.size());
}

template <std::size_t kBytes>
void compare_all(Pair& pair, int pairs) {
  compare<kBytes, false, BareRecords<kBytes>>(pair, pairs, "record", "?capacity=1MiB", 2'000'000);
  compare<kBytes, false, BareSlots<kBytes>>(pair, pairs, "mpmc",
                                            "?kind=mpmc&slots=1024&slot_size=64", 1'000'000);
  compare<kBytes, true, BareFrames<kBytes>>(
      pair, pairs, "frames", "?kind=frames&frames=64&frame_size=64&readers=1", 50'000);
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) {
  const bool real_time = argc > 1 && std::string(argv[argc - 1]) == "--real-time";
  const int pairs = argc > 1 && argv[1][0] != '-' ? std::atoi(argv[1]) : 31;
  rondo::bench::Pair pair(real_time);
  rondo::bench::compare_all<8>(pair, std::max(pairs, 1));
  rondo::bench::compare_all<64>(pair, std::max(pairs, 1));
  return 0;
}
