// Question: how many large frames per second reach 1, 2 and 4 readers in place, through a frame
// pool and through a record ring, and how is that to a plain memcpy of the same bytes?
//
//   memcpy             one core copies frames, cold ones of another place; no reader
//   ring, reliable     the producer waits for the slowest reader
//   ring, lossy        it never waits; a frame counts if it was intact after it was read
//   pool, it waits     the producer looks at its readers' accounts, and waits before one loses any
//   pool               it never waits; each reader gets the oldest frame that is still there
//
// Every frame is written in full where it lies, read in full and checked. The ring's capacity is
// the power of two into which 8 frames fit; the pool has as many as fit there, 8 or 10.
//
// Not measured: process boundaries, wake-ups, frames that are held for long. The producer has a
// core for itself. The readers share the other one, in one thread, and take turns after each frame,
// so that with 2 and 4 of them it is that core's reading that is measured. The engines take turns,
// each sample on fresh memory, bracketed by a probe of the cores' placement.
//
//   frames_compare [--json FILE] [--rounds N] [--seconds S] [--real-time]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rondo/core/frame_pool.hpp"
#include "rondo/core/record_ring.hpp"
#include "support/cores.hpp"
#include "support/engines.hpp"
#include "support/machine.hpp"
#include "support/pair.hpp"
#include "support/payload.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

constexpr std::uint32_t kFrames = 8;  // at least

struct Contest {
  std::uint32_t bytes;
  std::uint32_t readers;
  [[nodiscard]] std::uint64_t ring_capacity() const {
    return std::bit_ceil(std::uint64_t{bytes} * kFrames);
  }
  // Of one sample: some 400 MB, and several laps.
  [[nodiscard]] std::uint64_t frames() const { return 400'000'000 / bytes; }
};

// Word k of frame i holds i + k; whatever was read of it is either that, or torn.
bool is_frame(const std::byte* from, std::size_t bytes, std::uint64_t i) {
  const auto* values = reinterpret_cast<const std::uint64_t*>(from);
  const std::uint64_t words = bytes / 8;
  std::uint64_t sum = 0;
  for (std::size_t k = 0; k < words; ++k) sum += values[k];
  return sum == words * i + words * (words - 1) / 2;
}

void demand(bool holds, std::string_view what) {
  if (holds) return;
  fmt::print(stderr, "frames_compare: {}\n", what);
  std::exit(1);
}

// Each engine: kWaits: whether every frame reaches every reader; write(i), by the producer;
// read(reader), by the readers: the number of the frame that it has read in full and found true,
// from 0; none if there was none, or if it was torn.
using Number = std::optional<std::uint64_t>;

template <ReaderPolicy kPolicy>
class Ring {
 public:
  static constexpr bool kWaits = kPolicy == ReaderPolicy::kReliable;
  static constexpr Role kRole = Role::kOurs;
  static std::string name() { return kWaits ? "ring, reliable" : "ring, lossy"; }

  explicit Ring(const Contest& contest)
      : bytes_(contest.bytes),
        pages_(record_ring::layout_for(params(contest)).value().total_bytes) {
    const RecordParts parts = record_ring::create(pages_.bytes(), params(contest)).value();
    producer_.emplace(record_ring::Producer::attach(parts).value());
    // Before the first frame, so that each could get all of them.
    for (std::uint32_t i = 0; i < contest.readers; ++i) {
      consumers_.push_back(
          record_ring::Consumer::join(parts.of_reader(i), {.policy = kPolicy}).value());
    }
  }
  void write(std::uint64_t i) {
    std::byte* to = nullptr;
    while ((to = producer_->try_reserve(bytes_)) == nullptr) cpu_relax();
    write_message(to, bytes_, i);
    producer_->commit(bytes_);
  }
  Number read(std::uint32_t reader) {
    record_ring::Consumer& consumer = consumers_[reader];
    if (consumer.try_peek() != ReadOutcome::kMessage) return {};
    const std::uint64_t number = consumer.sequence();
    const bool whole = is_frame(consumer.data(), bytes_, number);
    const bool intact = consumer.intact();
    consumer.give_back();
    demand(whole || !intact, "a torn record was taken for whole");
    return intact ? Number(number) : Number();
  }

 private:
  // A part more than there are readers, so that a lone one goes the same way.
  static RecordParams params(const Contest& contest) {
    return {.capacity = contest.ring_capacity(), .readers = contest.readers + 1};
  }

  std::uint32_t bytes_;
  Pages pages_;
  std::optional<record_ring::Producer> producer_;
  std::vector<record_ring::Consumer> consumers_;
};

template <bool kProducerWaits>
class Pool {
 public:
  static constexpr bool kWaits = kProducerWaits;
  static constexpr Role kRole = Role::kOurs;
  static std::string name() { return kWaits ? "pool, it waits" : "pool"; }

  explicit Pool(const Contest& contest)
      : bytes_(contest.bytes),
        pages_(frame_pool::layout_for(params(contest)).value().total_bytes),
        parts_(frame_pool::create(pages_.bytes(), params(contest)).value()),
        producer_(parts_) {
    for (std::uint32_t i = 0; i < contest.readers; ++i) readers_.emplace_back(parts_, i);
  }
  void write(std::uint64_t i) {
    for (std::uint32_t r = 0; kWaits && r < parts_.reader_count; ++r) {
      // What it has not read, the frame that it holds, and the one to be written.
      while (producer_.number() - read_frame_stats(parts_, r).value().last >
             parts_.frame_count - 2) {
        cpu_relax();
      }
    }
    std::byte* const to = producer_.try_reserve();
    demand(to != nullptr, "all frames were held");
    write_message(to, bytes_, i);
    producer_.commit(bytes_);
  }
  Number read(std::uint32_t reader) {
    frame_pool::Message frame;
    if (readers_[reader].try_next(frame) != ReadOutcome::kMessage) return {};
    const std::uint64_t number = frame.number() - 1;
    demand(is_frame(frame.bytes().data(), bytes_, number), "a frame was not what it should be");
    demand(!kWaits || readers_[reader].stats().lost == 0, "a frame was lost");
    return number;
  }

 private:
  static FramePoolParams params(const Contest& contest) {
    return {.frames = static_cast<std::uint32_t>(contest.ring_capacity() / contest.bytes),
            .frame_bytes = contest.bytes,
            .readers = contest.readers};
  }

  std::uint32_t bytes_;
  Pages pages_;
  FramePoolParts parts_;
  frame_pool::Producer producer_;
  std::vector<frame_pool::Consumer> readers_;
};

class Copy {
 public:
  static constexpr bool kWaits = false;
  static constexpr Role kRole = Role::kFloor;
  static std::string name() { return "memcpy"; }

  explicit Copy(const Contest& contest)
      : bytes_(contest.bytes), from_(kFrames * bytes_), to_(kFrames * bytes_) {}
  void write(std::uint64_t i) {
    const std::size_t at = i % kFrames * bytes_;
    std::memcpy(to_.bytes().data() + at, from_.bytes().data() + at, bytes_);
  }
  static Number read(std::uint32_t) { return {}; }

 private:
  std::size_t bytes_;
  Pages from_;
  Pages to_;
};

// Until each reader has got the last frame, or, where none is waited for, the producer stops.
// Returns how many were read, by all of them together.
template <class Engine>
std::uint64_t read_all(Engine& engine, const Contest& contest, const std::atomic<bool>& stopped) {
  std::uint64_t delivered = 0;
  std::vector<bool> done(contest.readers);
  for (std::uint32_t left = contest.readers; left != 0;) {
    // relaxed: nothing is read on the strength of it.
    if (!Engine::kWaits && stopped.load(std::memory_order_relaxed)) break;
    for (std::uint32_t r = 0; r < contest.readers; ++r) {
      const Number number = done[r] ? Number() : engine.read(r);
      if (!number) continue;
      ++delivered;
      done[r] = *number + 1 == contest.frames();
      left -= done[r] ? 1 : 0;
    }
  }
  demand(!Engine::kWaits || delivered == contest.frames() * contest.readers, "frames were lost");
  return delivered;
}

// Frames per second, written and read; those read by all readers together.
struct Entry {
  std::string name;
  std::function<void(Pair&, Entry&)> sample;
  Samples& written;
  Samples& read;
};

template <class Engine>
Entry entry(Results& results, const Contest& contest) {
  const auto asked = [&](const char* question) -> Samples& {
    return results.add({question,
                        Engine::name(),
                        role_of<Engine>(),
                        {{"bytes", contest.bytes}, {"readers", contest.readers}},
                        "frames/s",
                        true});
  };
  return {Engine::name(),
          [contest](Pair& pair, Entry& entry) {
            const auto engine = std::make_unique<Engine>(contest);
            std::atomic<bool> stopped = false;
            std::uint64_t delivered = 0;
            const auto outcome = pair.run(
                [&] {
                  for (std::uint64_t i = 0; i < contest.frames(); ++i) engine->write(i);
                  // relaxed: as above.
                  stopped.store(true, std::memory_order_relaxed);
                },
                [&] { delivered = read_all(*engine, contest, stopped); });
            const auto add = [&](Samples& samples, std::uint64_t frames) {
              samples.add(outcome.probes, static_cast<double>(frames) / outcome.seconds,
                          outcome.clean);
            };
            add(entry.written, contest.frames());
            if (Engine::kRole != Role::kFloor) add(entry.read, delivered);
          },
          asked("frames_written"), asked("frames_read")};
}

struct Table {
  Table(Results& results, const Contest& of)
      : contest(of),
        entries{entry<Copy>(results, of), entry<Ring<ReaderPolicy::kReliable>>(results, of),
                entry<Ring<ReaderPolicy::kLossy>>(results, of), entry<Pool<true>>(results, of),
                entry<Pool<false>>(results, of)} {}
  Contest contest;
  std::vector<Entry> entries;
};

void print(const Table& table) {
  for (const Placement placement : kPlacements) {
    const auto copied = table.entries.front().written.get(placement);
    if (!copied) continue;
    fmt::print("\n{} B, {} readers, {:<9}{:>12}{:>8}{:>12}{:>8}{:>12}{:>9}\n", table.contest.bytes,
               table.contest.readers, to_string(placement), "written/s", "GB/s", "read/s", "GB/s",
               "to memcpy", "samples");
    for (const Entry& entry : table.entries) {
      const auto written = entry.written.get(placement);
      const auto read = entry.read.get(placement);
      if (!written) continue;
      const double giga = table.contest.bytes * 1e-9;
      fmt::print("  {:<29}{:>12.0f}{:>8.1f}{:>12.0f}{:>8.1f}{:>12.2f}{:>9}\n", entry.name, *written,
                 *written * giga, read.value_or(0), read.value_or(0) * giga, *written / *copied,
                 entry.written.count(placement));
    }
  }
}

int main(int argc, char** argv) {
  CLI::App app("Large frames per second in place, to one and several readers");
  RunOptions options;
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);
  demand(Cores::in_use().count() >= 2, "needs two cores");
  Results results("frames_compare");
  std::vector<Table> tables;
  for (const std::uint32_t bytes : {65536u, 1920u * 1080 * 3 / 2, 3840u * 2160 * 3 / 2}) {
    for (const std::uint32_t readers : {1u, 2u, 4u}) {
      tables.emplace_back(results, Contest{bytes, readers});
    }
  }
  {
    Pair pair(options.real_time);
    results.calibrate(pair);
    Rounds rounds("frames_compare", options.rounds, options.seconds, tables.size());
    while (rounds.next()) {
      for (Table& table : tables) {
        rounds.question();
        for (Entry& entry : table.entries) entry.sample(pair, entry);
      }
    }
  }
  results.place();
  fmt::print("{}\n", describe_machine());
  results.print_placements();
  for (const Table& table : tables) print(table);
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
