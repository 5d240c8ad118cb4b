// The event flags as threads on one mapping, with what they tell of in plain memory, for TSan:
// weakening E1, E2 or W2 makes it report a race.
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "rondo/sync/event_flags.hpp"
#include "support/staged_member.hpp"

namespace rondo::testing {
namespace {

using Flags = sync::basic_event_flags<BellSystem, StagedMember>;

TEST(EventFlagsRace, ATokenPassesBySettingTakingAndClearing) {
  alarm(120);
  constexpr std::uint64_t kTurns = 3000;
  sync::EventFlagsPart part{};
  std::uint64_t count = 0;
  std::thread other([&] {
    const StagedMember self{tenure_of(1)};
    Flags flags(part, self);
    for (std::uint64_t i = 0; i < kTurns; ++i) {
      ASSERT_EQ(flags.take_any(1), 1u);
      ++count;
      flags.set(2);
      ASSERT_EQ(flags.wait_all(4), 4u);
      ++count;
      flags.clear(4);
    }
  });
  const StagedMember self{tenure_of(0)};
  Flags flags(part, self);
  for (std::uint64_t i = 0; i < kTurns; ++i) {
    ++count;
    flags.set(1);
    ASSERT_EQ(flags.take_all(2), 2u);
    ++count;
    flags.set(4);
    while ((flags.get() & 4) != 0) std::this_thread::yield();
  }
  other.join();
  EXPECT_EQ(count, 4 * kTurns);
  alarm(0);
}

}  // namespace
}  // namespace rondo::testing
