// The record ring under every reordering that the C++ memory model allows of its loads. Built with
// RONDO_ATOMIC_HEADER=support/weak_atomic.hpp. Payloads are atomic words here, accessed relaxed, so
// that a header which arrives before its bytes is seen.
#include <gtest/gtest.h>

#include <cstdlib>

#include "ordering/lossy_reader.hpp"
#include "support/record_fixture.hpp"
#include "support/weak_memory.hpp"

namespace rondo {
namespace {

using testing::RecordFixture;

constexpr int kExecutions = 400;

std::uint64_t first_seed() {
  const char* given = std::getenv("RONDO_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

std::uint64_t* word_of(std::byte* bytes) { return reinterpret_cast<std::uint64_t*>(bytes); }

// A record of one word that tells which record it is.
bool put_word(record_ring::Producer& producer, std::uint64_t value) {
  std::byte* bytes = producer.try_reserve(sizeof value);
  if (bytes == nullptr) return false;
  // relaxed: the ring's header must publish it.
  reinterpret_cast<Atomic<std::uint64_t>*>(word_of(bytes))->store(value, std::memory_order_relaxed);
  producer.commit(sizeof value);
  return true;
}
std::uint64_t read_word(const record_ring::Consumer& consumer) {
  // relaxed: as above.
  return reinterpret_cast<const Atomic<std::uint64_t>*>(consumer.data())
      ->load(std::memory_order_relaxed);
}

// In a window it is wrapped early, and leapt through when the consumer is behind (early_wrap.hpp).
constexpr std::uint64_t kWindow = 64;

void every_visible_record_is_fully_written(std::uint64_t capacity, std::uint64_t window,
                                           std::uint64_t records) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    RecordFixture ring(capacity);
    auto producer = ring.producer(window);
    auto consumer =
        record_ring::Consumer::attach(ring.parts(), Acknowledge::kLazily, Pacing::kOn).value();
    const std::uint64_t kRecords = records;
    std::uint64_t read = 0;
    bool wrong = false;
    weak::Execution execution(seed);
    execution.run({[&] {
                     for (std::uint64_t i = 0; i < kRecords;) i += put_word(producer, 1000 + i);
                   },
                   [&] {
                     while (read < kRecords && !wrong) {
                       const ReadOutcome state = consumer.try_peek();
                       if (state == ReadOutcome::kEmpty) continue;
                       wrong = state != ReadOutcome::kMessage || read_word(consumer) != 1000 + read;
                       ++read;
                       consumer.give_back();
                     }
                   }});
    ASSERT_FALSE(wrong) << "record " << read << ", RONDO_SEED=" << seed;
    ASSERT_EQ(read, kRecords);
  }
}
TEST(RecordRingWeak, EveryVisibleRecordIsFullyWritten) {
  every_visible_record_is_fully_written(64, EarlyWrap::kWindow, 12);
}
TEST(RecordRingWeak, EveryVisibleRecordIsFullyWrittenInAWindow) {
  every_visible_record_is_fully_written(128, kWindow, 20);
}

TEST(RecordRingWeak, ALossyReaderTakesNoTornRecordForWhole) {
  testing::a_lossy_reader_takes_no_torn_record_for_whole(first_seed(), kExecutions);
}

TEST(RecordRingWeak, ABatchIsSeenWholeOrNotAtAll) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    RecordFixture ring(256);
    ring.start_at(168, 5);  // the batch wraps
    auto producer = ring.producer();
    auto consumer =
        record_ring::Consumer::attach(ring.parts(), Acknowledge::kLazily, Pacing::kOff).value();
    int read = 0;
    bool wrong = false;
    weak::Execution execution(seed);
    execution.run({[&] {
                     producer.begin_batch();
                     for (std::uint64_t i = 0; i < 6; ++i) put_word(producer, 1000 + i);
                     producer.end_batch();
                   },
                   [&] {
                     while (consumer.try_peek() != ReadOutcome::kMessage) {
                     }
                     for (; read < 6 && !wrong; ++read) {
                       wrong = consumer.try_peek() != ReadOutcome::kMessage ||
                               read_word(consumer) != 1000u + static_cast<unsigned>(read);
                       consumer.give_back();
                     }
                   }});
    ASSERT_FALSE(wrong) << "record " << read << ", RONDO_SEED=" << seed;
  }
}

// Consumers come and go, each reading one record, while the producer laps the ring and moves its
// checkpoint: each successor must prove its position and find the right record there.
void a_successor_of_the_consumer_meets_a_live_producer(std::uint64_t capacity,
                                                       std::uint64_t window) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    RecordFixture ring(capacity);
    auto producer = ring.producer(window);
    constexpr std::uint64_t kRecords = 12;
    std::uint64_t read = 0;
    const char* wrong = nullptr;
    // Consumer c reads record c, in a thread of its own that starts when its predecessor said so
    // (relaxed: only the ring's own words order the two), and where it stopped.
    Atomic<std::uint64_t> turn(0);
    const auto turn_of = [](std::uint64_t c, Position position) { return position << 8 | c; };
    std::vector<std::function<void()>> bodies;
    bodies.emplace_back([&] {
      for (std::uint64_t i = 0; i < kRecords && wrong == nullptr;) {
        i += put_word(producer, 1000 + i);
      }
    });
    for (std::uint64_t mine = 0; mine < kRecords; ++mine) {
      bodies.emplace_back([&, mine] {
        std::uint64_t now;
        while ((now = turn.load(std::memory_order_relaxed)) % 256 != mine) {
          if (wrong != nullptr) return;
        }
        while (ring.parts().consumer->head.load(std::memory_order_relaxed) != now >> 8) {
          if (wrong != nullptr) return;
        }
        auto consumer =
            record_ring::Consumer::attach(ring.parts(), Acknowledge::kEagerly, Pacing::kOff);
        if (!consumer) {
          wrong = "attach failed";
          return;
        }
        if (consumer->sequence() != mine) wrong = "another sequence";
        ReadOutcome state;
        while ((state = consumer->try_peek()) == ReadOutcome::kEmpty) {
        }
        if (state != ReadOutcome::kMessage) wrong = "corrupt";
        if (state == ReadOutcome::kMessage && read_word(*consumer) != 1000 + mine) wrong = "stale";
        read = mine + 1;
        consumer->give_back();
        turn.store(turn_of(mine + 1, consumer->position()), std::memory_order_relaxed);
      });
    }
    weak::Execution execution(seed);
    execution.run(std::move(bodies));
    ASSERT_EQ(wrong, nullptr) << wrong << " at record " << read << ", RONDO_SEED=" << seed;
    ASSERT_EQ(read, kRecords);
  }
}
TEST(RecordRingWeak, ASuccessorOfTheConsumerMeetsALiveProducer) {
  a_successor_of_the_consumer_meets_a_live_producer(64, EarlyWrap::kWindow);
}
TEST(RecordRingWeak, ASuccessorOfTheConsumerMeetsALiveProducerInAWindow) {
  a_successor_of_the_consumer_meets_a_live_producer(128, kWindow);
}

// The producer is replaced after each record, by a thread that knows of its predecessor only what
// the ring's words tell.
TEST(RecordRingWeak, ASuccessorOfTheProducerFindsTheEnd) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + kExecutions; ++seed) {
    RecordFixture ring(64);
    constexpr std::uint64_t kRecords = 10;
    std::uint64_t read = 0;
    const char* wrong = nullptr;
    Atomic<std::uint64_t> turn(0);
    std::vector<std::function<void()>> bodies;
    for (std::uint64_t mine = 0; mine < kRecords; ++mine) {
      bodies.emplace_back([&, mine] {
        // acquire: the kernel's lock, which a successor of the producer takes, orders the two.
        while (turn.load(std::memory_order_acquire) != mine) {
          if (wrong != nullptr) return;
        }
        auto producer = record_ring::Producer::attach(ring.parts());
        if (!producer) {
          wrong = "attach failed";
          return;
        }
        if (producer->sequence() != mine) wrong = "another sequence";
        while (!put_word(*producer, 1000 + mine)) {
          if (producer->outcome() == ClaimOutcome::kCorrupt || wrong != nullptr) {
            wrong = "failed";
            return;
          }
        }
        turn.store(mine + 1, std::memory_order_release);
      });
    }
    bodies.emplace_back([&] {
      auto consumer =
          record_ring::Consumer::attach(ring.parts(), Acknowledge::kEagerly, Pacing::kOff);
      if (!consumer) {
        wrong = "consumer's attach failed";
        return;
      }
      while (read < kRecords && wrong == nullptr) {
        const ReadOutcome state = consumer->try_peek();
        if (state == ReadOutcome::kEmpty) continue;
        if (state != ReadOutcome::kMessage)
          wrong = "corrupt";
        else if (read_word(*consumer) != 1000 + read)
          wrong = "stale";
        ++read;
        consumer->give_back();
      }
    });
    weak::Execution execution(seed);
    execution.run(std::move(bodies));
    ASSERT_EQ(wrong, nullptr) << wrong << " at record " << read << ", RONDO_SEED=" << seed;
  }
}

// A successor that comes late and sees little of what has happened reads a checkpoint that a later
// one has taken the place of: its two words must belong together.
TEST(RecordRingWeak, ACheckpointIsReadWhole) {
  for (std::uint64_t seed = first_seed(); seed < first_seed() + 2 * kExecutions; ++seed) {
    RecordFixture ring(64);
    auto producer = ring.producer();
    auto consumer =
        record_ring::Consumer::attach(ring.parts(), Acknowledge::kEagerly, Pacing::kOff).value();
    bool wrong = false;
    bool done = false;
    weak::Execution execution(seed);
    execution.run({[&] {
                     // Until the first checkpoints have been written over. Empty records: 8 bytes.
                     while (ring.producer_part.current.load(std::memory_order_relaxed) <
                            kRecordCheckpoints + 8) {
                       while (producer.try_reserve(0) == nullptr) {
                       }
                       producer.commit(0);
                       if (consumer.try_peek() == ReadOutcome::kMessage) consumer.give_back();
                     }
                     done = true;
                   },
                   [&] {
                     while (!done) execution.yield();
                     for (int i = 0; i < 20 && !wrong; ++i) {
                       const auto checkpoint = detail::read_checkpoint(*ring.parts().producer);
                       wrong = checkpoint && checkpoint->position != checkpoint->sequence * 8;
                     }
                   }});
    ASSERT_FALSE(wrong) << "RONDO_SEED=" << seed;
  }
}

}  // namespace
}  // namespace rondo
