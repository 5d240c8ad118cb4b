// One side of a guarded ring dies after each of its instructions, in the mappings that this mode
// has: the producer writes the sealed memfd through the one mapping that can, and sees the readers'
// pages for reading; a reader sees the ring for reading, and writes a sealed page of its own. A
// store to anything else would end the victim with SIGSEGV.
//
// The victim is single-stepped through its story once, to learn after which instructions the memory
// has changed. Then it is told again for each of them, and the victim killed there. The other side
// is alive all the time, with the handles that it had before:
//   - a producer has no successor: its readers get everything that was committed, whole;
//   - a reader is followed by one with a page of its own, as guarded/acceptor.cpp lets it in,
//     and nothing that was not given back is passed over; no other notices anything.
// Careless victims show that the judgement notices.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "process/record_ring_kills.hpp"
#include "process/stepper.hpp"
#include "rondo/core/segment.hpp"
#include "support/sanitizers.hpp"

namespace rondo::testing {
namespace {

constexpr std::uint64_t kCapacity = 1024;

// A guarded ring without its acceptor: who is let in, this test decides.
class GuardedRing {
 public:
  struct Log {
    std::atomic<std::uint64_t> committed;  // records whose commit had returned
    std::atomic<std::uint64_t> read;       // the victim had read these, or was about to
  };

  explicit GuardedRing(std::uint32_t readers) : ring_(make_ring({kCapacity, readers})) {
    parts_ = record_ring::attach(ring_.bytes()).value();
    const int fd = ring_.open_description(Access::kReadOnly).value();
    seen_.emplace(Segment::attach_fd(fd, {.sole_writer = true}, Access::kReadOnly).value());
    close(fd);
    for (std::uint32_t i = 0; i < readers; ++i) pages_.push_back(std::nullopt);
  }

  // Gives place `i` a page as a new receiver makes it.
  void admit(std::uint32_t i) {
    // relaxed: its writer is dead.
    const std::uint64_t start =
        parts_.readers > 1 ? 0 : parts_.consumer->head.load(std::memory_order_relaxed);
    Segment page = make_page(start, ++admissions_ << 32);
    const auto at = reinterpret_cast<std::byte*>(&parts_.consumer_at(i)) - ring_.bytes().data();
    if (!ring_.overlay(static_cast<std::size_t>(at), page)) std::abort();
    pages_[i].emplace(std::move(page));
  }

  [[nodiscard]] const RecordParts& of_producer() const { return parts_; }
  [[nodiscard]] RecordParts of_reader(std::uint32_t i) const {
    RecordParts parts = record_ring::attach(seen_->bytes()).value();
    parts.consumer = reinterpret_cast<RecordConsumerPart*>(pages_[i]->bytes().data());
    parts.reader = i;
    return parts;
  }
  // What the producer sees: the ring, and the readers' pages in their places.
  [[nodiscard]] std::span<const std::byte> bytes() const { return ring_.bytes(); }
  [[nodiscard]] Log& log() const { return *log_; }

 private:
  static Segment make_ring(const RecordParams& params) {
    return Segment::create({Backing::kMemfd, {}}, record_ring::layout_for(params)->total_bytes,
                           {.sole_writer = true},
                           [&](std::span<std::byte> b) { return record_ring::create(b, params); })
        .value();
  }
  static Segment make_page(std::uint64_t start, std::uint64_t state) {
    return Segment::create({Backing::kMemfd, {}}, kPartAlignment, {.sole_writer = true},
                           [&](std::span<std::byte> bytes) -> Result<void> {
                             auto* part = new (bytes.data()) RecordConsumerPart{};
                             // relaxed, both: no other sees it yet.
                             part->head.store(start, std::memory_order_relaxed);
                             part->state.store(state, std::memory_order_relaxed);
                             return {};
                           })
        .value();
  }

  Segment ring_;
  RecordParts parts_{};
  std::optional<Segment> seen_;
  std::vector<std::optional<Segment>> pages_;
  std::uint64_t admissions_ = 0;
  Shared<Log> log_;
};

// Record i, made beforehand: byte by byte it would be most of the instructions of a victim.
const std::vector<std::byte>& made_record(std::uint64_t i) {
  static const auto records = [] {
    std::vector<std::vector<std::byte>> made(200);
    for (std::uint64_t n = 0; n < made.size(); ++n) {
      made[n].resize(size_of_record(n));
      write_record(made[n].data(), n);
    }
    return made;
  }();
  return records.at(i);
}

bool put(record_ring::Producer& producer, const GuardedRing& ring) {
  const std::uint64_t i = producer.sequence();
  const std::vector<std::byte>& record = made_record(i);
  std::byte* bytes = producer.try_reserve(record.size());
  if (bytes == nullptr) return false;
  std::memcpy(bytes, record.data(), record.size());
  producer.commit(size_of_record(i));
  ring.log().committed = i + 1;
  return true;
}

Result<record_ring::Consumer> join(const GuardedRing& ring, std::uint32_t i, ReaderPolicy policy) {
  if (ring.of_producer().readers == 1) {
    return record_ring::Consumer::attach(ring.of_reader(i), Acknowledge::kEagerly, Pacing::kOff);
  }
  return record_ring::Consumer::join(
      ring.of_reader(i),
      {.policy = policy, .acknowledge = Acknowledge::kEagerly, .pacing = Pacing::kOff});
}

// Reads all there is, and says what is wrong with it; nothing if all is well.
std::string read_to_the_end(record_ring::Consumer& reader) {
  std::uint64_t next = reader.sequence();
  std::uint64_t lost = reader.lost();
  for (;;) {
    const ReadOutcome state = reader.try_peek();
    next += reader.lost() - lost;
    lost = reader.lost();
    if (next != reader.sequence()) return "a loss that is not told";
    switch (state) {
      case ReadOutcome::kMessage:
        if (!is_record(reader.data(), reader.size(), next)) return "torn";
        reader.give_back();
        ++next;
        break;
      case ReadOutcome::kBrokenOff:
      case ReadOutcome::kEnd: reader.pass_end(); break;
      case ReadOutcome::kLost: break;
      case ReadOutcome::kContended:  // no record ring says so, nor the next one
      case ReadOutcome::kNoPin:
      case ReadOutcome::kCorrupt: return "corrupt";
      case ReadOutcome::kEmpty: return {};
    }
  }
}

// Reader 0 is reliable and alive; the victim is the producer, or reader 1 (in a ring for one: the
// one). Reader 2 is lossy, and alive.
struct Story {
  std::uint32_t readers;
  std::uint64_t gone;    // records that went by before, to move the ring on
  std::uint64_t unread;  // records that the living have not read yet
  bool producer_dies;
  std::function<void(const GuardedRing&)> act;
};

class Scene {
 public:
  explicit Scene(const Story& story) : story_(story), ring_(story.readers) {
    for (std::uint32_t i = 0; i < story.readers; ++i) ring_.admit(i);
    // A receiver that is to die takes its part up by itself.
    auto producer = record_ring::Producer::attach(ring_.of_producer()).value();
    for (const std::uint32_t i : living()) {
      readers_.push_back(
          join(ring_, i, i == 2 ? ReaderPolicy::kLossy : ReaderPolicy::kReliable).value());
    }
    std::optional<record_ring::Consumer> before;
    if (readers_.empty()) before.emplace(join(ring_, 0, ReaderPolicy::kReliable).value());
    for (std::uint64_t i = 0; i < story.gone; ++i) {
      if (!put(producer, ring_)) std::abort();
      for (auto& reader : readers_) read_to_the_end(reader);
      if (before) read_to_the_end(*before);
    }
    for (std::uint64_t i = 0; i < story.unread; ++i) {
      if (!put(producer, ring_)) std::abort();
    }
    ring_.log().read = story.gone;
    if (!story.producer_dies) producer_.emplace(std::move(producer));
  }

  [[nodiscard]] const GuardedRing& ring() const { return ring_; }

  // Once the victim is dead. Empty if all is well.
  std::string judge() {
    if (!producer_) return judge_readers(ring_.log().committed);
    const std::uint32_t victim = story_.readers > 1 ? 1 : 0;
    producer_->evict(victim);  // its death is proved
    ring_.admit(victim);
    auto successor = join(ring_, victim, ReaderPolicy::kReliable);
    if (!successor) return "no successor of the reader";
    if (story_.readers == 1 && successor->sequence() > ring_.log().read) {
      return "a record was passed over";
    }
    readers_.push_back(std::move(*successor));
    // Some laps, each of them full to the brim.
    for (int lap = 0; lap < 3; ++lap) {
      std::uint64_t bytes = 0;
      while (put(*producer_, ring_)) bytes += size_of_record(producer_->sequence() - 1);
      if (producer_->outcome() == ClaimOutcome::kCorrupt) return "the producer failed";
      if (lap > 0 && bytes < kCapacity / 2) return "capacity was lost";
      if (std::string wrong = judge_readers(producer_->sequence()); !wrong.empty()) return wrong;
    }
    return {};
  }

 private:
  [[nodiscard]] std::vector<std::uint32_t> living() const {
    if (story_.readers > 1) return {0, 2};
    return story_.producer_dies ? std::vector<std::uint32_t>{0} : std::vector<std::uint32_t>{};
  }
  std::string judge_readers(std::uint64_t committed) {
    for (record_ring::Consumer& reader : readers_) {
      if (std::string wrong = read_to_the_end(reader); !wrong.empty()) return wrong;
      if (reader.sequence() < committed) return "a committed record was not delivered";
      // A victim may have died between its commit and its word about it.
      if (reader.sequence() > committed + 1) return "a record that nobody wrote";
    }
    const bool steady = !producer_ || story_.readers > 1;
    if (steady && readers_[0].lost() != 0) return "lost though reliable";
    return {};
  }

  Story story_;
  GuardedRing ring_;
  std::optional<record_ring::Producer> producer_;
  std::vector<record_ring::Consumer> readers_;
};

Stepper victim_of(const Story& story, const GuardedRing& ring) {
  return Stepper([&] {
    Stepper::begin();
    story.act(ring);
    Stepper::end();
  });
}

struct Outcome {
  std::uint64_t instructions = 0;
  std::uint64_t kills = 0;
  std::uint64_t failures = 0;
  std::string first_failure;
};

// After how many instructions the memory is another one than before.
std::vector<std::uint64_t> moments_of(const Story& story, Outcome& outcome) {
  std::vector<std::uint64_t> moments;
  const Scene scene(story);
  std::vector<std::byte> last(scene.ring().bytes().size());
  Stepper victim = victim_of(story, scene.ring());
  do {
    if (std::memcmp(scene.ring().bytes().data(), last.data(), last.size()) == 0) continue;
    std::memcpy(last.data(), scene.ring().bytes().data(), last.size());
    moments.push_back(victim.steps());
  } while (victim.step());
  EXPECT_TRUE(victim.finished()) << "the victim did not come to its end";
  outcome.instructions += victim.steps();
  return moments;
}

void tell(const Story& story, Outcome& outcome) {
  const std::vector<std::uint64_t> moments = moments_of(story, outcome);
  // AddressSanitizer's own instructions are most of a victim's.
  const std::size_t stride = kAddressSanitizer && moments.size() > 20 ? 8 : 1;
  for (std::size_t m = 0; m < moments.size(); m += stride) {
    Scene scene(story);
    Stepper victim = victim_of(story, scene.ring());
    victim.step_to(moments[m]);
    victim.kill();
    ++outcome.kills;
    const std::string wrong = scene.judge();
    if (!wrong.empty() && outcome.failures++ == 0) {
      outcome.first_failure = wrong + " after instruction " + std::to_string(moments[m]) + ", " +
                              std::to_string(story.gone) + " records on";
    }
  }
}

Outcome tell_everywhere(std::uint32_t readers, bool producer_dies,
                        const std::function<void(const GuardedRing&)>& act) {
  Outcome outcome;
  for (const std::uint64_t gone : {0u, 9u}) tell({readers, gone, 3, producer_dies, act}, outcome);
  std::printf("%llu instructions, killed after %llu of them: %llu failures\n",
              static_cast<unsigned long long>(outcome.instructions),
              static_cast<unsigned long long>(outcome.kills),
              static_cast<unsigned long long>(outcome.failures));
  return outcome;
}

void send_until_full_and_close(const GuardedRing& ring) {
  auto producer = record_ring::Producer::attach(ring.of_producer());
  while (put(*producer, ring)) {
  }
  producer->close();
}
// Publishes the header first and writes the bytes afterwards: torn when it dies in between.
void send_header_first(const GuardedRing& ring) {
  auto producer = record_ring::Producer::attach(ring.of_producer());
  const std::uint64_t i = producer->sequence();
  std::byte* bytes = producer->try_reserve(size_of_record(i));
  producer->commit(size_of_record(i));
  write_record(bytes, i);
}
auto read_and_leave(ReaderPolicy policy) {
  return [policy](const GuardedRing& ring) {
    const bool alone = ring.of_producer().readers == 1;
    auto reader = join(ring, alone ? 0 : 1, policy);
    while (reader->try_peek() == ReadOutcome::kMessage) {
      ring.log().read = reader->sequence() + 1;
      reader->give_back();
    }
    if (!alone) reader->leave();
  };
}
// Gives back what it has not looked at yet.
void give_back_first(const GuardedRing& ring) {
  auto reader = join(ring, 0, ReaderPolicy::kReliable);
  while (reader->try_peek() == ReadOutcome::kMessage) {
    reader->give_back();
    ring.log().read = reader->sequence();
  }
}
// Writes into the ring, which it may only read.
void write_to_the_ring(const GuardedRing& ring) { *ring.of_reader(0).records = std::byte{1}; }

class GuardedRingSteps : public Watchdog {};

TEST_F(GuardedRingSteps, AProducerMayDieAfterAnyInstruction) {
  const Outcome outcome = tell_everywhere(1, true, send_until_full_and_close);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.kills, kAddressSanitizer ? 5u : 40u);
}
TEST_F(GuardedRingSteps, AProducerForSeveralMayDieAfterAnyInstruction) {
  const Outcome outcome = tell_everywhere(3, true, send_until_full_and_close);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.kills, kAddressSanitizer ? 5u : 40u);
}
TEST_F(GuardedRingSteps, TheOnlyReaderMayDieAfterAnyInstruction) {
  const Outcome outcome = tell_everywhere(1, false, read_and_leave(ReaderPolicy::kReliable));
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
}
TEST_F(GuardedRingSteps, AReaderOfAnyPolicyMayDieAfterAnyInstruction) {
  for (const ReaderPolicy policy :
       {ReaderPolicy::kReliable, ReaderPolicy::kLossy, ReaderPolicy::kLatest}) {
    const Outcome outcome = tell_everywhere(3, false, read_and_leave(policy));
    EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  }
}
TEST_F(GuardedRingSteps, AProducerThatPublishesBeforeItWritesIsCaught) {
  EXPECT_GT(tell_everywhere(1, true, send_header_first).failures, 0u);
}
TEST_F(GuardedRingSteps, AReaderThatGivesBackBeforeItReadsIsCaught) {
  EXPECT_GT(tell_everywhere(1, false, give_back_first).failures, 0u);
}
TEST_F(GuardedRingSteps, AReaderThatWritesToTheRingDiesOfIt) {
  GuardedRing ring(1);
  ring.admit(0);
  Child victim([&] {
    signal(SIGSEGV, SIG_DFL);
    write_to_the_ring(ring);
    return 0;
  });
  EXPECT_EQ(victim.join(), -SIGSEGV);
}

}  // namespace
}  // namespace rondo::testing
