// A sender for which there is no memory is told so, and not that the ring is corrupt, which would
// make its user remove it. What others have committed stays, and the ring can be opened again.
//
//   1. ASenderForManyWithoutMemoryIsToldSo
//   2. AProducerForManyWithoutMemoryIsToldSo
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>

#include "rondo/rondo.hpp"
#include "support/readers_fixture.hpp"

namespace {

// While it lives, allocations that may fail do, in this thread.
thread_local bool no_memory = false;
struct NoMemory {
  NoMemory() noexcept { no_memory = true; }
  NoMemory(const NoMemory&) = delete;
  NoMemory& operator=(const NoMemory&) = delete;
  ~NoMemory() { no_memory = false; }
};

}  // namespace

// As the standard library's own, but for the first line.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  if (no_memory) return nullptr;
  try {
    return ::operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

namespace rondo {
namespace {

using namespace rondo::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

void expect_told_so(const std::string& name) {
  const NoMemory now;
  const auto sender = Sender::open(name + "?readers=2");
  ASSERT_FALSE(sender) << name;
  EXPECT_EQ(sender.error().code, ErrorCode::kNoSpace) << name;
  EXPECT_THAT(sender.error().message,
              AllOf(HasSubstr(name), HasSubstr("no memory"), Not(HasSubstr("remove"))));
}

TEST(NoMemory, ASenderForManyWithoutMemoryIsToldSo) {
  const std::string word = "no-memory-" + std::to_string(getpid());
  const std::string guarded = "shm+guarded:" + ::testing::TempDir() + word;
  expect_told_so(guarded);
  EXPECT_TRUE(Sender::open(guarded + "?readers=2")) << "with memory again";

  const std::string shared = "shm:" + word;
  ASSERT_EQ(Sender::open(shared + "?readers=2")->try_send("of an earlier life"), Status::kOk);
  expect_told_so(shared);
  auto receiver = Receiver::open(shared);
  ASSERT_TRUE(receiver) << receiver.error().message;
  const auto message = receiver->try_next();
  ASSERT_TRUE(message);
  EXPECT_EQ(message->bytes().size(), 18u);
  static_cast<void>(remove(shared));
}

TEST(NoMemory, AProducerForManyWithoutMemoryIsToldSo) {
  ReadersFixture ring(1024, 2);
  const NoMemory now;
  const auto producer = record_ring::Producer::attach(ring.parts());
  ASSERT_FALSE(producer);
  EXPECT_EQ(producer.error().code, ErrorCode::kNoSpace);
}

}  // namespace
}  // namespace rondo
