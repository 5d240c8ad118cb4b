// A segment that is finished while others try to attach: one that passes check_header() reads parts
// that are plain memory. Under ThreadSanitizer a weakened H1 or H2 is a data race.
#include <gtest/gtest.h>

#include <cstddef>
#include <thread>

#include "rondo/core/segment_header.hpp"

namespace rondo {
namespace {

struct Memory {
  alignas(kPartAlignment) std::byte bytes[2 * kPartAlignment] = {};
};

TEST(SegmentHeaderRace, WhoPassesTheCheckSeesAllParts) {
  for (int round = 0; round < 200; ++round) {
    Memory memory;
    initialise_header(memory.bytes, Geometry{.kind = RingKind::kMpmc,
                                             .capacity = 64,
                                             .slot_bytes = 8,
                                             .total_bytes = sizeof memory.bytes});
    std::byte* const part = memory.bytes + kPartAlignment;

    std::thread creator([&] {
      *part = std::byte{0x5a};
      finish_header(memory.bytes);
    });
    Result<Geometry> found = Error{ErrorCode::kNotReady, ""};
    while (!found && found.error().code == ErrorCode::kNotReady) {
      found = check_header(memory.bytes, RingKind::kMpmc, "the test's segment");
    }
    const std::byte seen = *part;
    creator.join();

    ASSERT_TRUE(found) << found.error().message;
    ASSERT_EQ(seen, std::byte{0x5a});
  }
}

}  // namespace
}  // namespace rondo
