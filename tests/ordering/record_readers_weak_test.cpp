// A record ring with several readers under every reordering that the C++ memory model allows of its
// loads. Built with RONDO_ATOMIC_HEADER=support/weak_atomic.hpp.
#include <gtest/gtest.h>

#include <cstdlib>

#include "ordering/lossy_reader.hpp"

namespace rondo {
namespace {

using testing::put_weak_word;
using testing::ReadersFixture;
using testing::weak_word;

constexpr std::uint64_t kExecutions = 1500;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

TEST(RecordReadersWeak, ALossyReaderTakesNoTornRecordForWhole) {
  testing::a_lossy_reader_takes_no_torn_record_for_whole(first_seed(), kExecutions / 3);
}

// A reader joins while the producer takes space back: from where it has joined, it misses nothing,
// and it is waited for. Its part was that of a reader that had come further.
void reliable_reader_joins(ReaderStart from) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    ReadersFixture ring(64, 2);
    auto producer = ring.producer();
    {
      auto before = ring.join(1, ReaderPolicy::kReliable);
      for (int i = 0; i < 2; ++i) {
        put_weak_word(producer);
        static_cast<void>(before.try_peek());
        before.give_back();
      }
      before.leave();
    }
    constexpr std::uint64_t kRecords = 10;
    const char* wrong = nullptr;
    std::uint64_t next = 0;
    weak::Execution execution(seed);
    execution.run({[&] {
                     while (producer.sequence() < kRecords && wrong == nullptr)
                       put_weak_word(producer);
                   },
                   [&] {
                     auto reader = record_ring::Consumer::join(
                         ring.parts().of_reader(1), {.policy = ReaderPolicy::kReliable,
                                                     .from = from,
                                                     .acknowledge = Acknowledge::kEagerly,
                                                     .pacing = Pacing::kOff});
                     if (!reader) {
                       wrong = "could not join";
                       return;
                     }
                     next = reader->sequence();
                     while (next < kRecords && wrong == nullptr) {
                       const ReadOutcome state = reader->try_peek();
                       if (state == ReadOutcome::kEmpty) continue;
                       if (state != ReadOutcome::kMessage) {
                         wrong = state == ReadOutcome::kLost ? "lost" : "corrupt";
                         break;
                       }
                       // relaxed: the ring must order it.
                       const std::uint64_t word =
                           weak_word(reader->data()).load(std::memory_order_relaxed);
                       if (word != 1000 + next || !reader->intact()) wrong = "overwritten";
                       reader->give_back();
                       ++next;
                     }
                   }});
    ASSERT_EQ(wrong, nullptr) << wrong << " at record " << next << ", RONDO_SEED=" << seed;
    for (std::uint32_t i = 0; i < ring.readers; ++i) {
      ASSERT_EQ(ring.producer_part.evicted[i].load(std::memory_order_relaxed), 0u)
          << "RONDO_SEED=" << seed;
    }
  }
}
TEST(RecordReadersWeak, AReliableReaderThatJoinsAtTheOldestMissesNothing) {
  reliable_reader_joins(ReaderStart::kOldest);
}
TEST(RecordReadersWeak, AReliableReaderThatJoinsAtTheNewestMissesNothing) {
  reliable_reader_joins(ReaderStart::kNewest);
}

// An observer that comes late and sees little of what has happened reads stats that a later
// one has taken the place of: its words must belong together. Few accounts and many executions,
// because one new word among three old ones is drawn rarely.
TEST(RecordReadersWeak, StatsAreReadWhole) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + 40 * kExecutions; ++seed) {
    ReadersFixture ring(64, 2);
    auto producer = ring.producer();
    auto reader = ring.join(0, ReaderPolicy::kLossy);
    bool wrong = false;
    bool done = false;
    weak::Execution execution(seed);
    execution.run({[&] {
                     for (int i = 0; i < 6; ++i) {
                       put_weak_word(producer);
                       // It falls behind at first, and loses some.
                       if (i > 3 && reader.try_peek() == ReadOutcome::kMessage) reader.give_back();
                     }
                     done = true;
                   },
                   [&] {
                     while (!done) execution.yield();
                     const auto stats = read_stats(ring.part(0));
                     wrong = stats && (stats->position != stats->next * 16 ||
                                       stats->next != stats->received + stats->lost);
                   }});
    ASSERT_FALSE(wrong) << "RONDO_SEED=" << seed;
  }
}

}  // namespace
}  // namespace rondo
