// The life of a name, between processes that are killed at any moment: creating, attaching,
// joining, leaving, and the removal by the last one.
#include <signal.h>

#include <atomic>
#include <random>
#include <thread>

#include "rondo/core/segment_info.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

constexpr JoinRequest kAnySlot{.first_slot = 0, .slot_count = 4, .role = Role::kBoth};

struct Member {
  Segment segment;
  Participants participants;
};

// What every opener does: attach to what is there, or create it; again when it vanished meanwhile.
Result<Member> open_or_create(const SegmentName& name) {
  for (;;) {
    auto segment = Segment::attach(name);
    if (!segment && segment.error().code == ErrorCode::kNotFound) segment = create_small(name);
    if (!segment) {
      const ErrorCode code = segment.error().code;
      if (code == ErrorCode::kAlreadyExists || code == ErrorCode::kReplaced) continue;
      return segment.error();
    }
    auto geometry = check_header(segment->bytes(), RingKind::kRecord, to_string(name));
    if (!geometry) return geometry.error();
    auto participants = Participants::open(*segment, *geometry);
    if (!participants) return participants.error();
    const auto joined = participants->join(kAnySlot);
    if (joined) return Member{std::move(*segment), std::move(*participants)};
    if (joined.error().code != ErrorCode::kReplaced) return joined.error();
  }
}

// Never with -1: that would be everyone.
void kill_after(const Child& child, std::chrono::microseconds delay) {
  std::this_thread::sleep_for(delay);
  child.signal(SIGKILL);
}

class Membership : public Watchdog {
 protected:
  std::mt19937_64 random_{random_seed()};
};

// Creators killed at any moment: what is at the name is complete, or nothing is, and nothing else
// is left behind.
TEST_F(Membership, ACreatorKilledAnywhereLeavesACompleteSegmentOrNothing) {
  const Directory directory;
  const SegmentName name = directory.name("segment");
  int complete = 0;
  for (std::uint64_t round = 0; round < scaled(200); ++round) {
    Child creator([&] {
      for (;;) {
        const Segment segment = sound(create_small(name));
        if (!Segment::remove(name)) return 1;
      }
    });
    kill_after(creator, std::chrono::microseconds(random_() % 3000));
    ASSERT_EQ(creator.join(), -SIGKILL);

    const auto left = Segment::attach(name);
    if (left) {
      ++complete;
      EXPECT_TRUE(check_header(left->bytes(), RingKind::kRecord, "it"));
      EXPECT_TRUE(Segment::remove(name));
    } else {
      EXPECT_EQ(code_of(left), code_of(ErrorCode::kNotFound));
    }
    EXPECT_TRUE(directory.empty());
  }
  std::printf("complete at the name: %d\n", complete);
}

// Several processes open, join, leave and remove without pause. Those attached meet each other: so
// while one is attached, the name leads to their common segment.
TEST_F(Membership, WhoIsInIsAtTheName) {
  const ShmName name;
  Shared<std::atomic<std::uint64_t>> rounds;
  Shared<std::atomic<std::uint64_t>> removals;
  const std::uint64_t wanted = scaled(3000);
  const auto member = [&] {
    while (rounds->fetch_add(1) < wanted) {
      auto self = open_or_create(name);
      if (!self) {
        std::fprintf(stderr, "%s\n", self.error().message.c_str());
        return 1;
      }
      if (!self->segment.still_at_its_name()) return 2;
      if (self->participants.leave(true)) removals->fetch_add(1);
    }
    return 0;
  };
  Child a(member);
  Child b(member);
  Child c(member);
  EXPECT_EQ(a.join(), 0);
  EXPECT_EQ(b.join(), 0);
  EXPECT_EQ(c.join(), 0);
  EXPECT_FALSE(std::filesystem::exists(name.path()));
  EXPECT_GT(removals->load(), 0u);
  std::printf("removed by the last: %llu of %llu\n",
              static_cast<unsigned long long>(removals->load()),
              static_cast<unsigned long long>(wanted));
}

// The same, with members killed at random: the survivors go on, and slots and locks are all free
// in the end.
TEST_F(Membership, KillsAnywhereKeepNoProcessOut) {
  const ShmName name;
  Shared<std::atomic<std::uint64_t>> opened;
  const auto member = [&] {
    for (;;) {
      auto self = open_or_create(name);
      if (!self) {
        std::fprintf(stderr, "%s\n", self.error().message.c_str());
        return 1;
      }
      opened->fetch_add(1);
      self->participants.leave(true);
    }
  };
  Child survivor(member);
  for (std::uint64_t round = 0; round < scaled(200); ++round) {
    Child victim(member);
    kill_after(victim, std::chrono::microseconds(random_() % 4000));
    ASSERT_EQ(victim.join(), -SIGKILL);
    const std::uint64_t before = opened->load();
    while (opened->load() == before) std::this_thread::yield();  // the survivor goes on
  }
  survivor.signal(SIGKILL);
  EXPECT_EQ(survivor.join(), -SIGKILL);

  auto last = open_or_create(name);
  ASSERT_TRUE(last) << last.error().message;
  EXPECT_TRUE(last->participants.leave(true));
  EXPECT_FALSE(std::filesystem::exists(name.path()));
  std::printf("opened %llu times\n", static_cast<unsigned long long>(opened->load()));
}

// Looking on while segments come and go never fails, and never disturbs.
TEST_F(Membership, ObserversDisturbNoParticipant) {
  const ShmName name;
  Shared<std::atomic<bool>> stop;
  Child member([&] {
    while (!stop->load()) {
      auto self = open_or_create(name);
      if (!self) return 1;
      self->participants.leave(true);
    }
    return 0;
  });
  for (std::uint64_t i = 0; i < scaled(500); ++i) {
    const auto all = list_segments();
    ASSERT_TRUE(all) << all.error().message;
    const auto info = inspect_segment(name);
    if (!info) {
      EXPECT_EQ(code_of(info), code_of(ErrorCode::kNotFound));
    } else if (info->problem) {
      EXPECT_EQ(info->problem->code, ErrorCode::kReplaced) << info->problem->message;
    }
  }
  stop->store(true);
  EXPECT_EQ(member.join(), 0);
}

}  // namespace
}  // namespace rondo
