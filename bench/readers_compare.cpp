// Question: how many messages per second reach several consumers, summed, through one record ring
// with several readers, and through one ring for each consumer that the producer writes one after
// the other?
//
// Not measured: process boundaries, wake-ups, lossy readers, cold memory. The producer has a core
// for itself. The consumers share the other one, in one thread: each reads until it finds nothing,
// then it is the next one's turn, so that no figure hangs on the scheduler. Every message is
// written in full once per ring, read in full by each consumer, and checked for order and sum. The
// engines take turns, each sample on a fresh ring, bracketed by a probe of the cores' placement.
//
//   readers_compare [--json FILE] [--rounds N] [--seconds S] [--real-time]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "support/cores.hpp"
#include "support/engines.hpp"
#include "support/machine.hpp"
#include "support/pair.hpp"
#include "support/payload.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

// One ring for each consumer.
template <class Engine>
class OneEach {
 public:
  static constexpr std::size_t kBytes = Engine::kBytes;
  static constexpr Role kRole = Engine::kRole;
  static std::string name() { return Engine::name() + ", one each"; }

  OneEach(std::size_t slots, std::uint32_t readers) {
    for (std::uint32_t i = 0; i < readers; ++i) engines_.push_back(std::make_unique<Engine>(slots));
  }
  class Sender {
   public:
    explicit Sender(OneEach& all) {
      for (auto& engine : all.engines_) senders_.emplace_back(*engine);
    }
    template <class Write>
    RONDO_ALWAYS_INLINE void send(Write write) {
      for (auto& sender : senders_) {
        while (!sender.try_send(write)) cpu_relax();
      }
    }

   private:
    std::vector<typename Engine::Sender> senders_;
  };
  class Receiver {
   public:
    Receiver(OneEach& all, std::uint32_t i) : receiver_(*all.engines_[i]) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      return receiver_.try_receive(read);
    }

   private:
    typename Engine::Receiver receiver_;
  };

 private:
  std::vector<std::unique_ptr<Engine>> engines_;
};

// One record ring for all, each of them reliable.
template <std::size_t kMessageBytes>
class Readers {
 public:
  static constexpr std::size_t kBytes = kMessageBytes;
  static constexpr Role kRole = Role::kOurs;
  static std::string name() { return "record_ring, several readers"; }

  Readers(std::size_t slots, std::uint32_t readers)
      : pages_(record_ring::layout_for(params(slots, readers)).value().total_bytes) {
    parts_ = record_ring::create(pages_.bytes(), params(slots, readers)).value();
    // Before the first record, so that each gets all of them.
    for (std::uint32_t i = 0; i < readers; ++i) {
      consumers_.push_back(record_ring::Consumer::join(parts_.of_reader(i), {}).value());
    }
  }
  class Sender {
   public:
    explicit Sender(Readers& engine)
        : producer_(record_ring::Producer::attach(engine.parts_).value()) {}
    template <class Write>
    RONDO_ALWAYS_INLINE void send(Write write) {
      std::byte* bytes = nullptr;
      while ((bytes = producer_.try_reserve(kBytes)) == nullptr) cpu_relax();
      write(bytes);
      producer_.commit(kBytes);
    }

   private:
    record_ring::Producer producer_;
  };
  class Receiver {
   public:
    Receiver(Readers& engine, std::uint32_t i) : consumer_(std::move(engine.consumers_[i])) {}
    template <class Read>
    RONDO_ALWAYS_INLINE bool try_receive(Read read) {
      if (consumer_.try_peek() != ReadOutcome::kMessage) return false;
      if (consumer_.size() != kBytes) std::abort();
      read(consumer_.data());
      consumer_.give_back();
      return true;
    }

   private:
    record_ring::Consumer consumer_;
  };

 private:
  // A part more than there are readers, so that a lone one goes the same way.
  static RecordParams params(std::size_t slots, std::uint32_t readers) {
    return {.capacity = slots * kBytes, .readers = readers + 1};
  }

  Pages pages_;
  RecordParts parts_{};
  std::vector<record_ring::Consumer> consumers_;
};

template <class Engine>
void produce(Engine& engine, std::uint64_t messages) {
  typename Engine::Sender sender(engine);
  for (std::uint64_t i = 0; i < messages; ++i) {
    sender.send([i](void* to) { write_message(to, Engine::kBytes, i); });
  }
}

template <class Engine>
void consume(Engine& engine, std::uint32_t readers, std::uint64_t messages) {
  std::vector<typename Engine::Receiver> receivers;
  for (std::uint32_t i = 0; i < readers; ++i) receivers.emplace_back(engine, i);
  std::vector<Checker> checkers(readers);
  std::vector<std::uint64_t> read(readers);
  for (std::uint32_t done = 0; done < readers;) {
    for (std::uint32_t i = 0; i < readers; ++i) {
      Checker checker = checkers[i];
      std::uint64_t next = read[i];
      if (next == messages) continue;
      while (next < messages && receivers[i].try_receive([&](const void* from) {
        checker.read_message(from, Engine::kBytes, next);
      })) {
        ++next;
      }
      done += next == messages;
      read[i] = next;
      checkers[i] = checker;
    }
  }
  for (const Checker& checker : checkers) {
    if (checker.complete(messages, Engine::kBytes)) continue;
    fmt::print(stderr, "{}: messages arrived torn or out of order\n", Engine::name());
    std::exit(1);
  }
}

struct Contest {
  Results& results;
  std::size_t bytes;
  std::size_t slots;
  std::uint32_t readers;
  struct Entry {
    std::string name;
    std::function<void(Pair&, Samples&)> sample;
    Samples& samples;
  };
  std::vector<Entry> entries;

  template <class Engine>
  void add(std::uint64_t messages) {
    entries.push_back(
        {Engine::name(),
         [=, this](Pair& pair, Samples& samples) {
           auto engine = std::make_unique<Engine>(slots, readers);
           const auto outcome = pair.run([&] { produce(*engine, messages); },
                                         [&] { consume(*engine, readers, messages); });
           samples.add(outcome.probes, static_cast<double>(messages * readers) / outcome.seconds,
                       outcome.clean);
         },
         results.add({"fan_out",
                      Engine::name(),
                      role_of<Engine>(),
                      {{"bytes", bytes}, {"slots", slots}, {"consumers", readers}},
                      "deliveries/s",
                      true})});
  }
};

template <std::size_t kBytes>
std::unique_ptr<Contest> contest(Results& results, std::size_t slots, std::uint32_t readers) {
  auto made = std::make_unique<Contest>(Contest{results, kBytes, slots, readers, {}});
  const std::uint64_t messages =
      std::max<std::uint64_t>(160'000'000 / (kBytes + 16) / readers, slots * 20);
  made->add<OneEach<Textbook<kBytes>>>(messages);
  made->add<OneEach<RecordRing<kBytes>>>(messages);
  made->add<Readers<kBytes>>(messages);
  return made;
}

void print(const Contest& contest) {
  for (const Placement placement : kPlacements) {
    const auto rival = contest.entries.front().samples.get(placement);
    if (!rival) continue;
    fmt::print("\n{} B, {} slots, {} consumers, {:<10}{:>10}{:>10}{:>14}{:>10}\n", contest.bytes,
               contest.slots, contest.readers, to_string(placement), "M/s", "GB/s", "to textbook",
               "samples");
    for (const auto& entry : contest.entries) {
      const auto rate = entry.samples.get(placement);
      if (!rate) continue;
      fmt::print("  {:<38}{:>10.1f}{:>10.1f}{:>14.2f}{:>10}\n", entry.name, *rate * 1e-6,
                 *rate * static_cast<double>(contest.bytes) * 1e-9, *rate / *rival,
                 entry.samples.count(placement));
    }
  }
}

int main(int argc, char** argv) {
  CLI::App app("Deliveries per second to several consumers, summed");
  RunOptions options;
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);
  if (Cores::in_use().count() < 2) {
    fmt::print(stderr, "readers_compare: needs two cores\n");
    return 1;
  }
  Results results("readers_compare");
  std::vector<std::unique_ptr<Contest>> contests;
  contests.push_back(contest<64>(results, 16384, 1));
  contests.push_back(contest<64>(results, 16384, 2));
  contests.push_back(contest<64>(results, 16384, 4));
  contests.push_back(contest<65536>(results, 32, 4));
  {
    Pair pair(options.real_time);
    results.calibrate(pair);
    Rounds rounds("readers_compare", options.rounds, options.seconds, contests.size());
    while (rounds.next()) {
      for (const auto& contest : contests) {
        rounds.question();
        for (auto& entry : contest->entries) entry.sample(pair, entry.samples);
      }
    }
  }
  results.place();
  fmt::print("{}\n", describe_machine());
  results.print_placements();
  for (const auto& contest : contests) print(*contest);
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
