// Segments of huge pages, where the system has some to give. As root the test reserves a few for
// its own time; elsewhere it needs them reserved, or is skipped.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <utility>

#include "rondo/core/position.hpp"
#include "rondo/core/record_ring.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;
using ::testing::IsEmpty;

constexpr std::size_t kHugePage = std::size_t{2} << 20;
constexpr SegmentOptions kHuge{.huge_pages = HugePages::kRequire};

// What a file of the system's settings says; of several words, the one in brackets.
std::string setting(const std::string& path) {
  std::string text;
  std::getline(std::ifstream(path), text);
  const auto open = text.find('[');
  return open == std::string::npos ? text : text.substr(open + 1, text.find(']') - open - 1);
}

// Another value for a setting, as long as it lives, if this process may. Tests that change the same
// setting take turns.
class Setting {
 public:
  Setting(std::string path, const std::string& value)
      : path_(std::move(path)), turn_(open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    flock(turn_, LOCK_EX);
    before_ = setting(path_);
    std::ofstream(path_) << value;
  }
  Setting(const Setting&) = delete;
  Setting& operator=(const Setting&) = delete;
  ~Setting() {
    std::ofstream(path_) << before_;
    close(turn_);
  }

 private:
  std::string path_;
  int turn_;
  std::string before_;
};

const std::string kPool = "/proc/sys/vm/nr_hugepages";
const std::string kSharedMemory = "/sys/kernel/mm/transparent_hugepage/shmem_enabled";

int pages_in_pool() { return std::atoi(setting(kPool).c_str()); }

Result<void> leave_empty(std::span<std::byte>) { return {}; }

class HugePageTest : public Watchdog {
 protected:
  void SetUp() override {
    if (pages_in_pool() < 4) GTEST_SKIP() << "no huge pages can be reserved here";
  }
  Setting reserved_{kPool, "8"};
};

TEST_F(HugePageTest, AMemfdLiesInThemAndIsSharedByDescriptor) {
  // Smaller than its file, which is a whole number of huge pages.
  constexpr std::uint64_t kCapacity = std::uint64_t{1} << 20;
  const RecordLayout layout = record_ring::layout_for({kCapacity}).value();
  const Segment created = sound(Segment::create(
      {Backing::kMemfd, {}}, layout.total_bytes, kHuge,
      [](std::span<std::byte> bytes) { return record_ring::create(bytes, {kCapacity}); }));
  EXPECT_TRUE(created.report().huge_pages);
  EXPECT_EQ(created.report().huge_page_bytes, kHugePage);
  EXPECT_THAT(created.report().notes, IsEmpty());
  EXPECT_EQ(created.bytes().size(), layout.total_bytes);

  const Segment attached = sound(Segment::attach_fd(created.fd()));
  EXPECT_EQ(attached.bytes().size(), layout.total_bytes);
  auto producer = record_ring::Producer::attach(record_ring::attach(created.bytes()).value());
  auto consumer = record_ring::Consumer::attach(record_ring::attach(attached.bytes()).value());
  ASSERT_TRUE(producer && consumer);
  std::byte* bytes = producer->try_reserve(400'000);
  ASSERT_NE(bytes, nullptr);
  std::memset(bytes, 0x5a, 400'000);
  producer->commit(400'000);
  ASSERT_EQ(consumer->try_peek(), ReadOutcome::kMessage);
  EXPECT_EQ(consumer->size(), 400'000u);
  EXPECT_EQ(consumer->data()[399'999], std::byte{0x5a});
}

TEST_F(HugePageTest, AMemfdThatThePoolCannotHoldIsRefusedOrMadeOfSmallOnes) {
  const std::size_t too_large = kHugePage * (static_cast<std::size_t>(pages_in_pool()) + 1);
  const auto refused = Segment::create({Backing::kMemfd, {}}, too_large, kHuge, leave_empty);
  EXPECT_EQ(code_of(refused), code_of(ErrorCode::kNoSpace)) << message_of(refused);

  const Segment small = sound(Segment::create({Backing::kMemfd, {}}, too_large,
                                              {.huge_pages = HugePages::kTry}, leave_empty));
  EXPECT_FALSE(small.report().huge_pages);
  EXPECT_THAT(small.report().notes, Not(IsEmpty()));
}

// The file's header says that the segment in it has 4096 bytes; what would be mapped is 2 MiB.
TEST_F(HugePageTest, AFileOfThemIsNotMappedOverAPart) {
  Segment segment = sound(
      Segment::create({Backing::kMemfd, {}}, 3 * kHugePage, {}, [](std::span<std::byte> bytes) {
        std::ranges::fill(bytes, std::byte{7});
        return Result<void>();
      }));
  const auto begin = reinterpret_cast<std::uintptr_t>(segment.bytes().data());
  const std::size_t place = round_up(begin, kHugePage) - begin;  // where such a page fits

  const int fd = memfd_create("part", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
  ASSERT_EQ(ftruncate(fd, kHugePage), 0);
  auto* words = static_cast<std::uint64_t*>(
      mmap(nullptr, kHugePage, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  ASSERT_NE(words, MAP_FAILED);
  words[32 / sizeof *words] = 4096;
  munmap(words, kHugePage);
  ASSERT_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE), 0);

  const Segment part = sound(Segment::attach_fd(fd, {}, Access::kReadOnly));
  EXPECT_EQ(part.bytes().size(), 4096u);
  EXPECT_EQ(code_of(segment.overlay(place, part)), code_of(ErrorCode::kMisaligned));
  for (const std::size_t at : {place, place + 4096, place + kHugePage - 1}) {
    EXPECT_EQ(segment.bytes()[at], std::byte{7});
  }
  // Nor is it taken for what a guarded ring's other side hands over.
  EXPECT_EQ(code_of(Segment::attach_fd(fd, {.sole_writer = true}, Access::kReadOnly)),
            code_of(ErrorCode::kUnsupported));
  close(fd);
}

// Its holes would be filled from the pool by a process that looks at them.
TEST_F(HugePageTest, AHollowFileOfThemIsRefused) {
  const int fd = memfd_create("hollow", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
  ASSERT_EQ(ftruncate(fd, kHugePage), 0);
  ASSERT_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  EXPECT_EQ(code_of(Segment::attach_fd(fd)), code_of(ErrorCode::kTooSmall));
  close(fd);
}

TEST_F(HugePageTest, AnonymousMemoryTakesTransparentOnesWhereAdvised) {
  const Setting advised(kSharedMemory, "advise");
  if (setting(kSharedMemory) != "advise") GTEST_SKIP() << "they can't be had here";
  const auto segment =
      Segment::create({Backing::kAnonymous, {}}, 4 * kHugePage, kHuge, leave_empty);
  ASSERT_TRUE(segment) << message_of(segment);
  EXPECT_TRUE(segment->report().huge_pages);
  EXPECT_GE(segment->report().huge_page_bytes, 4 * kHugePage);
}

// As /dev/shm with `mount -o remount,huge=advise`.
TEST_F(HugePageTest, NamesTakeTransparentOnesWhereTheirFileSystemIsAdvised) {
  const Directory directory;
  const std::string path = directory.path("");
  if (mount("none", path.c_str(), "tmpfs", 0, "size=64m,huge=advise") != 0) {
    GTEST_SKIP() << "needs root to mount a tmpfs";
  }
  {
    const auto segment = Segment::create(directory.name("a"), 4 * kHugePage, kHuge, leave_empty);
    EXPECT_TRUE(segment) << message_of(segment);
    EXPECT_TRUE(!segment || segment->report().huge_pages);
  }
  EXPECT_EQ(umount(path.c_str()), 0);
}

}  // namespace
}  // namespace rondo
