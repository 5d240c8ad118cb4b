// One side of a record ring dies after each of its instructions, and a successor goes on each time.
//
// The victim is single-stepped once through its story. Memory after an instruction is what a kill
// there would leave; whenever it has changed, successors take over in a copy of it and are judged:
// nothing committed lost, nothing torn, nothing doubled, and all of the capacity is there again.
// Careless victims show that the judgement notices.
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <vector>

#include "process/record_ring_kills.hpp"
#include "process/stepper.hpp"

namespace rondo::testing {
namespace {

constexpr std::uint64_t kCapacity = 1024;

struct Story {
  std::uint64_t records_before;  // written and read before the victim comes, to move the ring on
  std::uint64_t unread;          // written, and left for the victim or its successor
  std::function<void(const SharedRing&)> act;
};

bool put(record_ring::Producer& producer, const SharedRing& ring) {
  const std::uint64_t i = producer.sequence();
  std::byte* bytes = producer.try_reserve(size_of_record(i));
  if (bytes == nullptr) return false;
  write_record(bytes, i);
  ring.log().begun.store(i + 1, std::memory_order_relaxed);  // relaxed: one thread is judged
  producer.commit(size_of_record(i));
  return true;
}

// What the victims do.
void send_some(const SharedRing& ring) {
  auto producer = record_ring::Producer::attach(ring.parts());
  for (int i = 0; i < 4 && put(*producer, ring); ++i) {
    ring.log().committed = producer->sequence();
  }
  producer->close();
}
void send_a_batch(const SharedRing& ring) {
  auto producer = record_ring::Producer::attach(ring.parts());
  producer->begin_batch();
  const bool all = put(*producer, ring) && put(*producer, ring);
  if (all) {
    producer->end_batch();
    ring.log().committed = producer->sequence();
  } else {
    producer->abandon_batch();
  }
}
// Goes back to the start early, and leaps into the gap when it has come round to what is unread.
void go_back_and_leap(const SharedRing& ring) {
  auto producer = record_ring::Producer::attach(ring.parts(), 128);
  while (put(*producer, ring)) ring.log().committed = producer->sequence();
}
// Takes the gap for free from the first byte on, where the padding's header is still to be read.
void leap_onto_the_header(const SharedRing& ring) {
  const RecordParts parts = ring.parts();
  const Position head = parts.consumer->head;
  go_back_and_leap(ring);
  // relaxed: one thread is judged.
  parts.header_at(head).store(record_header::make(RecordKind::kRecord, 0, 8),
                              std::memory_order_relaxed);
}
void read_some(const SharedRing& ring, Acknowledge acknowledge) {
  auto consumer = record_ring::Consumer::attach(ring.parts(), acknowledge, Pacing::kOff);
  while (consumer->try_peek() == ReadOutcome::kMessage) {
    ring.log().read = consumer->sequence() + 1;
    consumer->give_back();
  }
}
// Publishes the header first and writes the bytes afterwards: torn when it dies in between.
void send_header_first(const SharedRing& ring) {
  auto producer = record_ring::Producer::attach(ring.parts());
  const std::uint64_t i = producer->sequence();
  std::byte* bytes = producer->try_reserve(size_of_record(i));
  ring.log().begun = i + 1;
  producer->commit(size_of_record(i));
  write_record(bytes, i);
}
// Does not zero the next header: what was there before may be taken for one.
void send_without_zeroing(const SharedRing& ring) {
  auto producer = record_ring::Producer::attach(ring.parts());
  const RecordParts parts = ring.parts();
  const Position next =
      producer->position() + record_header::footprint(size_of_record(producer->sequence()));
  // relaxed: one thread is judged.
  const std::uint64_t stale = record_header::make(RecordKind::kRecord, producer->sequence() + 1, 8);
  if (put(*producer, ring)) parts.header_at(next).store(stale, std::memory_order_relaxed);
  ring.log().committed = producer->sequence();
}

class Judge {
 public:
  // What is wrong with the ring that a dead victim left; empty if nothing.
  std::string verdict(const SharedRing& ring, std::uint64_t first_unread) {
    const auto& log = ring.log();
    auto producer = record_ring::Producer::attach(ring.parts());
    if (!producer) return "no successor of the producer";
    auto consumer =
        record_ring::Consumer::attach(ring.parts(), Acknowledge::kEagerly, Pacing::kOff);
    if (!consumer) return "no successor of the consumer";
    if (producer->sequence() < log.committed) return "a committed record was lost";
    if (producer->sequence() > log.begun) return "a record that nobody wrote";
    if (consumer->sequence() > std::max<std::uint64_t>(first_unread, log.read)) {
      return "a record was passed over";
    }
    if (std::string wrong = read_to(*consumer, producer->sequence()); !wrong.empty()) return wrong;
    // A whole lap, and once full to the brim.
    for (int round = 0; round < 2; ++round) {
      std::uint64_t bytes = 0;
      while (put(*producer, ring)) bytes += size_of_record(producer->sequence() - 1);
      if (producer->outcome() == ClaimOutcome::kCorrupt)
        return "the successor of the producer failed";
      if (bytes < kCapacity / 2) return "capacity was lost";
      if (std::string wrong = read_to(*consumer, producer->sequence()); !wrong.empty()) {
        return wrong;
      }
    }
    return {};
  }

 private:
  static std::string read_to(record_ring::Consumer& consumer, std::uint64_t end) {
    for (;;) {
      switch (consumer.try_peek()) {
        case ReadOutcome::kMessage:
          if (!is_record(consumer.data(), consumer.size(), consumer.sequence())) return "torn";
          consumer.give_back();
          break;
        case ReadOutcome::kBrokenOff:
        case ReadOutcome::kEnd: consumer.pass_end(); break;
        case ReadOutcome::kLost: return "lost";
        case ReadOutcome::kContended:  // no record ring says so, nor the next one
        case ReadOutcome::kNoPin:
        case ReadOutcome::kCorrupt: return "corrupt";
        case ReadOutcome::kEmpty:
          return consumer.sequence() == end ? "" : "a committed record was not delivered";
      }
    }
  }
};

struct Outcome {
  std::uint64_t instructions = 0;
  std::uint64_t states = 0;
  std::uint64_t failures = 0;
  std::string first_failure;
};

void tell(const Story& story, Outcome& outcome) {
  SharedRing ring(kCapacity);
  SharedRing copy(kCapacity);
  std::vector<std::byte> last(ring.memory().size());
  {
    auto producer = record_ring::Producer::attach(ring.parts());
    auto consumer = record_ring::Consumer::attach(ring.parts(), Acknowledge::kEagerly);
    for (std::uint64_t i = 0; i < story.records_before; ++i) {
      put(*producer, ring);
      while (consumer->try_peek() == ReadOutcome::kMessage) consumer->give_back();
    }
    for (std::uint64_t i = 0; i < story.unread; ++i) put(*producer, ring);
    ring.log().committed = producer->sequence();
    ring.log().begun = producer->sequence();
    ring.log().read = story.records_before;
  }
  Stepper victim([&] {
    Stepper::begin();
    story.act(ring);
    Stepper::end();
  });
  do {
    if (std::memcmp(ring.memory().data(), last.data(), last.size()) == 0) continue;
    std::memcpy(last.data(), ring.memory().data(), last.size());
    std::memcpy(copy.memory().data(), ring.memory().data(), last.size());
    ++outcome.states;
    const std::string wrong = Judge().verdict(copy, story.records_before);
    if (!wrong.empty() && outcome.failures++ == 0) {
      outcome.first_failure = wrong + " after instruction " + std::to_string(victim.steps()) +
                              ", " + std::to_string(story.records_before) + " records on";
    }
  } while (victim.step());
  outcome.instructions += victim.steps();
  EXPECT_TRUE(victim.finished()) << "the victim did not come to its end";
}

Outcome tell_everywhere(const std::function<void(const SharedRing&)>& act, std::uint64_t unread) {
  Outcome outcome;
  for (const std::uint64_t records_before : {0u, 3u, 9u, 11u}) {
    tell({records_before, unread, act}, outcome);
  }
  std::printf("died after each of %llu instructions, %llu states: %llu failures\n",
              static_cast<unsigned long long>(outcome.instructions),
              static_cast<unsigned long long>(outcome.states),
              static_cast<unsigned long long>(outcome.failures));
  return outcome;
}

class RecordRingSteps : public Watchdog {};

TEST_F(RecordRingSteps, AProducerMayDieAfterAnyInstructionOfSendingAndClosing) {
  const Outcome outcome = tell_everywhere(send_some, 2);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 100u);
}
TEST_F(RecordRingSteps, AProducerMayDieAfterAnyInstructionOfABatch) {
  const Outcome outcome = tell_everywhere(send_a_batch, 1);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 50u);
}
TEST_F(RecordRingSteps, AProducerMayDieAfterAnyInstructionOfGoingBackEarlyAndLeaping) {
  // That it does both: what is unread reaches over more than a lap of positions.
  SharedRing ring(kCapacity);
  auto producer = record_ring::Producer::attach(ring.parts());
  auto consumer = record_ring::Consumer::attach(ring.parts(), Acknowledge::kEagerly);
  for (int i = 0; i < 3; ++i) {
    put(*producer, ring);
    while (consumer->try_peek() == ReadOutcome::kMessage) consumer->give_back();
  }
  go_back_and_leap(ring);
  producer = record_ring::Producer::attach(ring.parts());
  EXPECT_GT(producer->position() - consumer->position(), kCapacity);

  const Outcome outcome = tell_everywhere(go_back_and_leap, 0);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 100u);
}
TEST_F(RecordRingSteps, ALeapOntoTheGapsHeaderIsCaught) {
  EXPECT_GT(tell_everywhere(leap_onto_the_header, 0).failures, 0u);
}
TEST_F(RecordRingSteps, AnEagerConsumerMayDieAfterAnyInstruction) {
  const Outcome outcome =
      tell_everywhere([](const SharedRing& ring) { read_some(ring, Acknowledge::kEagerly); }, 4);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
}
TEST_F(RecordRingSteps, ALazyConsumerMayDieAfterAnyInstruction) {
  const Outcome outcome =
      tell_everywhere([](const SharedRing& ring) { read_some(ring, Acknowledge::kLazily); }, 4);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
}
TEST_F(RecordRingSteps, AProducerThatPublishesBeforeItWritesIsCaught) {
  EXPECT_GT(tell_everywhere(send_header_first, 1).failures, 0u);
}
TEST_F(RecordRingSteps, AProducerThatDoesNotZeroTheNextHeaderIsCaught) {
  EXPECT_GT(tell_everywhere(send_without_zeroing, 1).failures, 0u);
}

}  // namespace
}  // namespace rondo::testing
