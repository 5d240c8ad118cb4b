// Question: how many messages per second pass between two threads, one message per call, through
// our rings and through those of others, in the same run?
//
// Not measured: process boundaries, wake-ups, cold memory, batches (spsc_bench.cpp). Every message
// is written in full and read in full, and checked for order and sum. Two threads on one core each;
// the engines take turns, each sample on a fresh queue, bracketed by a probe of the cores'
// placement; a sample that was interrupted is dropped; medians within a placement. The ring both
// wraps and fills. Ratios are to the best of the other queues and the textbook ring. For 1 KiB,
// what a hand-over without any ring reaches is measured as well.
//
//   hand_off_compare [--json FILE] [--rounds N] [--seconds S] [--real-time]
//                    [--bytes B...]
#include <fmt/core.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "rivals/left_out.hpp"
#include "support/cores.hpp"
#include "support/engines.hpp"
#include "support/halves.hpp"
#include "support/machine.hpp"
#include "support/pair.hpp"
#include "support/payload.hpp"
#include "support/results.hpp"
#ifdef RONDO_RIVAL_ATOMIC_QUEUE
#include "rivals/atomic_queue.hpp"
#endif
#ifdef RONDO_RIVAL_CK
#include "rivals/ck_ring.hpp"
#endif
#ifdef RONDO_RIVAL_RTE_RING
#include "rivals/rte_ring.hpp"
#endif

namespace rondo::bench {
namespace {

// Of a side that gets nothing. False when it has taken so long that something must have been lost.
class Patience {
 public:
  [[nodiscard]] RONDO_ALWAYS_INLINE bool vain() {
    cpu_relax();
    return ++times_ % 1'000'000 != 0 || seconds_since(start_) < kSeconds;
  }

 private:
  static constexpr double kSeconds = 20;
  std::uint32_t times_ = 0;
  Clock::time_point start_ = Clock::now();
};

template <class Engine>
void produce(Engine& engine, std::uint64_t messages) {
  typename Engine::Sender sender(engine);
  Patience patience;
  for (std::uint64_t i = 0; i < messages; ++i) {
    while (!sender.try_send([i](void* to) { write_message(to, Engine::kBytes, i); })) {
      if (!patience.vain()) return;
    }
  }
}

// Whether all messages came whole and in order.
template <class Engine>
bool consume(Engine& engine, std::uint64_t messages) {
  typename Engine::Receiver receiver(engine);
  Checker checker;
  Patience patience;
  for (std::uint64_t i = 0; i < messages; ++i) {
    while (!receiver.try_receive(
        [&checker, i](const void* from) { checker.read_message(from, Engine::kBytes, i); })) {
      if (!patience.vain()) return false;
    }
  }
  return checker.complete(messages, Engine::kBytes);
}

struct Contest {
  Results& results;
  std::size_t bytes;
  std::size_t slots;
  struct Entry {
    std::string name;
    Role role;
    std::function<void(Pair&, Entry&)> sample;
    Samples& samples;
    bool failed = false;  // messages came torn or out of order: it is not asked again
  };
  std::vector<Entry> entries;

  template <class Engine>
  void add(std::uint64_t messages) {
    const auto sample = [=, this](Pair& pair, Entry& entry) {
      auto engine = std::make_unique<Engine>(slots);
      bool right = false;
      const auto outcome = pair.run([&] { produce(*engine, messages); },
                                    [&] { right = consume(*engine, messages); });
      if (!right) {
        entry.failed = true;
        return;
      }
      entry.samples.add(outcome.probes, static_cast<double>(messages) / outcome.seconds,
                        outcome.clean);
    };
    constexpr Role kRole = role_of<Engine>();
    entries.push_back({Engine::name(), kRole, sample,
                       results.add({"hand_off",
                                    Engine::name(),
                                    kRole,
                                    {{"bytes", bytes}, {"slots", slots}},
                                    "messages/s",
                                    true})});
  }
  [[nodiscard]] double best_rival(Placement placement) const {
    double best = 0;
    for (const Entry& entry : entries) {
      if (entry.role == Role::kRival || entry.role == Role::kTextbook)
        best = std::max(best, entry.samples.get(placement).value_or(0));
    }
    return best;
  }
};

template <std::size_t kBytes>
std::unique_ptr<Contest> contest(Results& results, std::size_t slots) {
  auto made = std::make_unique<Contest>(Contest{results, kBytes, slots, {}});
  // Some milliseconds for each, and at least a few hundred laps.
  const std::uint64_t messages = std::max<std::uint64_t>(80'000'000 / (kBytes + 16), slots * 200);
  made->add<BoostQueue<kBytes>>(messages);
  made->add<Textbook<kBytes>>(messages);
  made->add<SpscRing<kBytes, Pacing::kOff>>(messages);
  made->add<SpscRing<kBytes>>(messages);
  made->add<RecordRing<kBytes>>(messages);
  made->add<Channel<kBytes>>(messages);
#ifdef RONDO_RIVAL_READERWRITERQUEUE
  made->add<Moodycamel<kBytes>>(messages);
#endif
#ifdef RONDO_RIVAL_ATOMIC_QUEUE
  switch (slots) {
    case 64: made->add<AtomicQueueSpsc<kBytes, 64>>(messages); break;
    case 1024: made->add<AtomicQueueSpsc<kBytes, 1024>>(messages); break;
    case 8192: made->add<AtomicQueueSpsc<kBytes, 8192>>(messages); break;
  }
#endif
#ifdef RONDO_RIVAL_CK
  made->add<CkRingSpsc<kBytes>>(messages);
#endif
#ifdef RONDO_RIVAL_RTE_RING
  made->add<RteRingSpsc<kBytes>>(messages);
#endif
  if constexpr (kBytes >= 1024) {
    const std::uint64_t whole = messages / slots * slots;
    made->add<Halves<kBytes, false>>(whole);
    made->add<Halves<kBytes, true>>(whole);
  }
  return made;
}

void print(const Contest& contest) {
  for (const Placement placement : kPlacements) {
    const double rival = contest.best_rival(placement);
    if (rival == 0) continue;
    fmt::print("\n{} B, {} slots, {:<10}{:>14}{:>16}{:>10}\n", contest.bytes, contest.slots,
               to_string(placement), "M messages/s", "to best rival", "samples");
    for (const auto& entry : contest.entries) {
      const auto rate = entry.samples.get(placement);
      if (!rate) continue;
      fmt::print("  {:<28}{:>14.1f}{:>16.2f}{:>10}\n", entry.name, *rate * 1e-6, *rate / rival,
                 entry.samples.count(placement));
    }
  }
}

int main(int argc, char** argv) {
  CLI::App app("Messages per second between two threads: our rings and those of others");
  RunOptions options;
  std::vector<std::size_t> sizes;
  options.add_to(app);
  app.add_option("--bytes", sizes, "only messages of these sizes");
  CLI11_PARSE(app, argc, argv);
  if (Cores::in_use().count() < 2) {
    fmt::print(stderr, "hand_off_compare: needs two cores\n");
    return 1;
  }

  Results results("hand_off_compare");
  std::vector<std::unique_ptr<Contest>> contests;
  contests.push_back(contest<8>(results, 1024));
  contests.push_back(contest<64>(results, 1024));
  contests.push_back(contest<256>(results, 1024));
  contests.push_back(contest<1024>(results, 64));
  contests.push_back(contest<1024>(results, 1024));
  contests.push_back(contest<1024>(results, 8192));  // 8 MiB: beyond the second-level caches
  if (!sizes.empty()) {
    std::erase_if(contests, [&](const auto& contest) {
      return std::ranges::find(sizes, contest->bytes) == sizes.end();
    });
  }
  {
    Pair pair(options.real_time);
    results.calibrate(pair);
    Rounds rounds("hand_off_compare", options.rounds, options.seconds, contests.size());
    while (rounds.next()) {
      for (const auto& contest : contests) {
        rounds.question();
        for (auto& entry : contest->entries) {
          if (!entry.failed) entry.sample(pair, entry);
        }
      }
    }
  }
  results.place();
  fmt::print("{}\n", describe_machine());
  print_left_out();
  results.print_placements();
  bool ours_failed = false;
  for (const auto& contest : contests) {
    print(*contest);
    for (const auto& entry : contest->entries) {
      if (!entry.failed) continue;
      const std::string why = fmt::format("messages lost, torn or out of order, {} B, {} slots",
                                          contest->bytes, contest->slots);
      fmt::print("  FAILED: {}: {}\n", entry.name, why);
      results.fail(entry.name, why);
      ours_failed = ours_failed || entry.role == Role::kOurs || entry.role == Role::kVariant;
    }
  }
  results.write(options.json);
  return ours_failed ? 1 : 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
