// The producer or a reader of a record ring with several readers dies after each of its
// instructions, and the others go on each time. As record_ring_step_test.cpp: the victim is
// single-stepped once; whenever the memory has changed, a copy of it is judged.
//
// Reader 0 is reliable and stands still through the story; the judge comes back under its name and
// must find every record from there on. Reader 1 is the victim, where the producer is not. Reader 2
// is the judge's own, and lossy.
//
// Last, a reader that comes back is stopped after each instruction while a producer fills the ring.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "process/record_readers_kills.hpp"
#include "process/stepper.hpp"

namespace rondo::testing {
namespace {

constexpr std::uint64_t kCapacity = 1024;
constexpr std::uint32_t kReaders = 3;

Result<record_ring::Consumer> join(const ReadersRing& ring, std::uint32_t i, ReaderPolicy policy,
                                   const char* name) {
  return record_ring::Consumer::join(ring.parts().of_reader(i),
                                     {.policy = policy,
                                      .name = name,
                                      .acknowledge = Acknowledge::kEagerly,
                                      .pacing = Pacing::kOff});
}

// What a reader finds up to the end of what is there; empty if all is well.
class Reading {
 public:
  explicit Reading(record_ring::Consumer reader)
      : reader_(std::move(reader)), next_(reader_.sequence()), lost_(reader_.lost()) {}

  std::string to_the_end() {
    for (;;) {
      const ReadOutcome state = reader_.try_peek();
      next_ += reader_.lost() - lost_;
      lost_ = reader_.lost();
      if (next_ != reader_.sequence()) return "a loss that is not told";
      switch (state) {
        case ReadOutcome::kMessage:
          if (!is_record(reader_.data(), reader_.size(), next_)) return "torn";
          // Its space may have been taken back, and not yet written over: then it counts as lost.
          if (reader_.intact()) ++next_;
          reader_.give_back();
          break;
        case ReadOutcome::kBrokenOff:
        case ReadOutcome::kEnd: reader_.pass_end(); break;
        case ReadOutcome::kLost: break;
        case ReadOutcome::kContended:  // no record ring says so, nor the next one
        case ReadOutcome::kNoPin:
        case ReadOutcome::kCorrupt: return "corrupt";
        case ReadOutcome::kEmpty: return {};
      }
    }
  }
  [[nodiscard]] const record_ring::Consumer& reader() const { return reader_; }

 private:
  record_ring::Consumer reader_;
  std::uint64_t next_;
  std::uint64_t lost_;
};

std::string judge(const ReadersRing& ring, std::uint64_t first_unread) {
  auto producer = record_ring::Producer::attach(ring.parts());
  if (!producer) return "no successor of the producer";
  const std::uint64_t committed = ring.log().committed;
  if (producer->sequence() < committed) return "a committed record was lost";
  if (producer->sequence() > committed + 1) return "a record that nobody wrote";

  auto steady = join(ring, 0, ReaderPolicy::kReliable, "steady");
  if (!steady) return "the steady reader can't come back";
  if (steady->sequence() != first_unread) return "the steady reader was moved";
  auto successor = join(ring, 1, ReaderPolicy::kReliable, "victim");
  if (!successor) return "no successor of the reader";
  if (successor->sequence() > producer->sequence()) return "the reader's account is ahead";
  auto lossy = join(ring, 2, ReaderPolicy::kLossy, "judge");
  if (!lossy) return "a lossy reader can't join";

  Reading all(std::move(*steady));
  Reading on(std::move(*successor));
  Reading some(std::move(*lossy));
  // Some laps, each of them full to the brim.
  for (int lap = 0; lap < 4; ++lap) {
    std::uint64_t bytes = 0;
    const std::uint64_t from = producer->sequence();
    while (put_record(*producer, ring)) bytes += size_of_record(producer->sequence() - 1);
    if (producer->outcome() == ClaimOutcome::kCorrupt) return "the producer failed";
    if (lap > 0 && bytes < kCapacity / 2) return "capacity was lost";
    for (Reading* each : {&all, &on, &some}) {
      if (std::string wrong = each->to_the_end(); !wrong.empty()) return wrong;
      if (each->reader().sequence() != producer->sequence()) return "a record was not delivered";
    }
    if (all.reader().lost() != 0 || on.reader().evicted()) return "lost though reliable";
    if (producer->sequence() == from && lap > 0) return "nobody can write";
  }
  return {};
}

struct Story {
  std::uint64_t gone;    // records that went by before, to move the ring on
  std::uint64_t unread;  // by the steady reader
  std::function<void(const ReadersRing&)> act;
};

struct Outcome {
  std::uint64_t instructions = 0;
  std::uint64_t states = 0;
  std::uint64_t failures = 0;
  std::string first_failure;
};

void tell(const Story& story, Outcome& outcome) {
  ReadersRing ring(kCapacity, kReaders);
  ReadersRing copy(kCapacity, kReaders);
  {
    auto producer = record_ring::Producer::attach(ring.parts()).value();
    Reading steady(join(ring, 0, ReaderPolicy::kReliable, "steady").value());
    for (std::uint64_t i = 0; i < story.gone; ++i) {
      ASSERT_TRUE(put_record(producer, ring));
      ASSERT_EQ(steady.to_the_end(), "");
    }
    for (std::uint64_t i = 0; i < story.unread; ++i) ASSERT_TRUE(put_record(producer, ring));
  }
  std::vector<std::byte> last(ring.bytes().size());
  Stepper victim([&] {
    Stepper::begin();
    story.act(ring);
    Stepper::end();
  });
  do {
    if (std::memcmp(ring.bytes().data(), last.data(), last.size()) == 0) continue;
    std::memcpy(last.data(), ring.bytes().data(), last.size());
    std::memcpy(copy.bytes().data(), ring.bytes().data(), last.size());
    copy.log().committed = ring.log().committed.load();
    ++outcome.states;
    const std::string wrong = judge(copy, story.gone);
    if (!wrong.empty() && outcome.failures++ == 0) {
      outcome.first_failure = wrong + " after instruction " + std::to_string(victim.steps()) +
                              ", " + std::to_string(story.gone) + " records on";
    }
  } while (victim.step());
  outcome.instructions += victim.steps();
  EXPECT_TRUE(victim.finished()) << "the victim did not come to its end";
}

Outcome tell_everywhere(const std::function<void(const ReadersRing&)>& act) {
  Outcome outcome;
  for (const std::uint64_t gone : {0u, 3u, 9u, 40u}) tell({gone, 2, act}, outcome);
  std::printf("died after each of %llu instructions, %llu states: %llu failures\n",
              static_cast<unsigned long long>(outcome.instructions),
              static_cast<unsigned long long>(outcome.states),
              static_cast<unsigned long long>(outcome.failures));
  return outcome;
}

void send_until_full(const ReadersRing& ring) {
  auto producer = record_ring::Producer::attach(ring.parts());
  while (put_record(*producer, ring)) {
  }
}
auto join_read_and_leave(ReaderPolicy policy) {
  return [policy](const ReadersRing& ring) {
    auto reader = join(ring, 1, policy, "victim");
    for (int i = 0; i < 4 && reader->try_peek() == ReadOutcome::kMessage; ++i) reader->give_back();
    reader->leave();
  };
}
// Does not wait for the steady reader, which is alive.
void send_over_the_steady_reader(const ReadersRing& ring) {
  auto producer = record_ring::Producer::attach(ring.parts());
  while (put_record(*producer, ring)) {
  }
  producer->evict(0);
  for (int i = 0; i < 8; ++i) put_record(*producer, ring);
}

class RecordReadersSteps : public Watchdog {};

TEST_F(RecordReadersSteps, AProducerMayDieAfterAnyInstruction) {
  const Outcome outcome = tell_everywhere(send_until_full);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 200u);
}
TEST_F(RecordReadersSteps, AReliableReaderMayDieAfterAnyInstruction) {
  const Outcome outcome = tell_everywhere(join_read_and_leave(ReaderPolicy::kReliable));
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 50u);
}
TEST_F(RecordReadersSteps, ALossyReaderMayDieAfterAnyInstruction) {
  const Outcome outcome = tell_everywhere(join_read_and_leave(ReaderPolicy::kLossy));
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
}
TEST_F(RecordReadersSteps, AReaderOfTheNewestMayDieAfterAnyInstruction) {
  const Outcome outcome = tell_everywhere(join_read_and_leave(ReaderPolicy::kLatest));
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
}
TEST_F(RecordReadersSteps, AProducerThatDoesNotWaitForAReliableReaderIsCaught) {
  EXPECT_GT(tell_everywhere(send_over_the_steady_reader).failures, 0u);
}

// A reader has read `read` of `gone` records when it is killed, and a successor comes back under
// its name beside the producer, which is told of no death.
class ComingBack {
 public:
  ComingBack(std::uint64_t gone, std::uint64_t read)
      : read_(read), producer_(record_ring::Producer::attach(ring_.parts()).value()) {
    // Never leaves: as good as killed.
    auto victim = join(ring_, 1, ReaderPolicy::kReliable, "victim");
    for (std::uint64_t i = 0; i < gone; ++i) {
      EXPECT_TRUE(put_record(producer_, ring_));
      if (i >= read) continue;
      EXPECT_EQ(victim->try_peek(), ReadOutcome::kMessage);
      victim->give_back();
    }
    successor_.emplace([this] { come_back(); });
  }

  // The instructions around which it changes memory.
  std::set<std::uint64_t> moments() {
    std::set<std::uint64_t> all;
    std::vector<std::byte> last(ring_.bytes().begin(), ring_.bytes().end());
    while (successor_->step()) {
      if (std::memcmp(ring_.bytes().data(), last.data(), last.size()) == 0) continue;
      std::memcpy(last.data(), ring_.bytes().data(), last.size());
      all.insert({successor_->steps() - 1, successor_->steps()});
    }
    return all;
  }
  // The producer takes all the room that it finds at that moment. What came of it: 0 is well.
  int fill_at(std::uint64_t moment) {
    EXPECT_TRUE(successor_->step_to(moment));
    for (std::uint64_t i = 0; i < kCapacity && put_record(producer_, ring_); ++i) {
    }
    return successor_->run_to_exit();
  }

 private:
  void come_back() {
    Stepper::begin();
    auto reader = join(ring_, 1, ReaderPolicy::kReliable, "victim");
    Stepper::end();
    if (!reader || reader->sequence() != read_) _exit(1);
    Reading rest(std::move(*reader));
    if (!rest.to_the_end().empty()) _exit(2);
    if (rest.reader().lost() != 0) _exit(3);
    _exit(rest.reader().sequence() == ring_.log().committed ? 0 : 4);
  }

  ReadersRing ring_{kCapacity, kReaders};
  std::uint64_t read_;
  record_ring::Producer producer_;
  std::optional<Stepper> successor_;
};

TEST_F(RecordReadersSteps, NothingIsTakenFromAReaderThatComesBack) {
  std::size_t tried = 0;
  for (const std::uint64_t gone : {2u, 4u, 9u, 18u, 19u, 37u}) {
    for (const std::uint64_t unread : {0u, 1u, 3u}) {
      if (unread > gone) continue;
      const std::uint64_t read = gone - unread;
      for (const std::uint64_t moment : ComingBack(gone, read).moments()) {
        ASSERT_EQ(ComingBack(gone, read).fill_at(moment), 0)
            << read << " of " << gone << " read, after " << moment << " instructions";
        ++tried;
      }
    }
  }
  std::printf("%zu moments\n", tried);
  EXPECT_GT(tried, 100u);
}

}  // namespace
}  // namespace rondo::testing
