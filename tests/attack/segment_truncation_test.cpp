// A file that loses its bytes while processes map it: zeros, a mark, and no SIGBUS.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include <fstream>
#include <thread>
#include <vector>

#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

constexpr std::size_t kPage = 4096;
constexpr std::size_t kSize = 16 * kPage;

Result<void> fill_with_ones(std::span<std::byte> bytes) {
  for (std::byte& byte : bytes) byte = std::byte{1};
  return {};
}

std::byte read(const Segment& segment, std::size_t offset) {
  return *static_cast<volatile std::byte*>(segment.bytes().data() + offset);
}
void write(const Segment& segment, std::size_t offset) {
  *static_cast<volatile std::byte*>(segment.bytes().data() + offset) = std::byte{2};
}

class TruncatedSegment : public Watchdog {
 protected:
  Segment create(const SegmentName& name) {
    return sound(Segment::create(name, kSize, {}, fill_with_ones));
  }
  ShmName name_;
};

TEST_F(TruncatedSegment, MissingBytesReadAsZerosAndAreMarked) {
  const Segment segment = create(name_);
  EXPECT_FALSE(segment.truncated());
  ASSERT_EQ(truncate(name_.path().c_str(), kPage), 0);
  EXPECT_FALSE(segment.truncated());  // not met yet

  EXPECT_EQ(read(segment, 3 * kPage), std::byte{0});

  EXPECT_TRUE(segment.truncated());
  EXPECT_EQ(read(segment, 0), std::byte{1});  // what is still there
}

TEST_F(TruncatedSegment, MissingBytesMayBeWritten) {
  const Segment segment = create(name_);
  ASSERT_EQ(truncate(name_.path().c_str(), 0), 0);
  for (std::size_t offset = 0; offset < kSize; offset += kPage) {
    write(segment, offset + 5);
    EXPECT_EQ(read(segment, offset + 5), std::byte{2});
  }
  EXPECT_TRUE(segment.truncated());
}

TEST_F(TruncatedSegment, EveryMappingHasItsOwnMark) {
  const Segment one = create(name_);
  const Segment two = sound(Segment::attach(name_));
  const ShmName other_name;
  const Segment other = create(other_name);
  ASSERT_EQ(truncate(name_.path().c_str(), 0), 0);

  EXPECT_EQ(read(two, 0), std::byte{0});

  EXPECT_FALSE(one.truncated());
  EXPECT_TRUE(two.truncated());
  EXPECT_FALSE(other.truncated());
}

TEST_F(TruncatedSegment, ReadersAreGuardedToo) {
  const Segment segment = create(name_);
  const Segment reader = sound(Segment::attach(name_, {}, Access::kReadOnly));
  ASSERT_EQ(truncate(name_.path().c_str(), 0), 0);
  EXPECT_EQ(read(reader, kSize - 1), std::byte{0});
  EXPECT_TRUE(reader.truncated());
}

TEST_F(TruncatedSegment, FilesAreGuardedToo) {
  const Directory directory;
  const Segment segment = create(directory.name("segment"));
  ASSERT_EQ(truncate(directory.path("segment").c_str(), 0), 0);
  EXPECT_EQ(read(segment, 0), std::byte{0});
  EXPECT_TRUE(segment.truncated());
}

TEST_F(TruncatedSegment, TheMarkOutlivesTheGap) {
  const Segment segment = create(name_);
  ASSERT_EQ(truncate(name_.path().c_str(), 0), 0);
  EXPECT_EQ(read(segment, 0), std::byte{0});
  ASSERT_EQ(truncate(name_.path().c_str(), kSize), 0);
  EXPECT_EQ(read(segment, kPage), std::byte{0});
  EXPECT_TRUE(segment.truncated());
}

TEST_F(TruncatedSegment, TheNextMappingStartsUnmarked) {
  for (int i = 0; i < 3; ++i) {
    const ShmName name;
    const Segment segment = create(name);
    EXPECT_FALSE(segment.truncated());
    ASSERT_EQ(truncate(name.path().c_str(), 0), 0);
    EXPECT_EQ(read(segment, 0), std::byte{0});
    EXPECT_TRUE(segment.truncated());
  }
}

TEST_F(TruncatedSegment, SeveralThreadsMeetTheGapAtOnce) {
  const Segment segment = create(name_);
  ASSERT_EQ(truncate(name_.path().c_str(), 0), 0);
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::size_t offset = 0; offset < kSize; offset += kPage) read(segment, offset);
    });
  }
  threads.clear();
  EXPECT_TRUE(segment.truncated());
}

TEST_F(TruncatedSegment, PunchedHolesOnAFullFileSystemAreGuarded) {
  if (geteuid() != 0) GTEST_SKIP() << "needs root to fill a tmpfs";
  // Seals against shrinking don't keep a peer from punching holes. Refilling one needs memory, and
  // on a full tmpfs there is none: any access then faults.
  const Directory directory;
  const std::string root = directory.path("");
  if (mount("none", root.c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "may not mount here";
  }
  {
    const Segment segment = create(directory.name("segment"));
    ASSERT_EQ(fallocate(segment.fd(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kPage, kPage), 0);
    {
      std::ofstream hog(directory.path("hog"));
      while (hog << std::string(kPage, 'x') << std::flush) {
      }
    }
    EXPECT_EQ(read(segment, kPage), std::byte{0});
    write(segment, kPage);
    EXPECT_TRUE(segment.truncated());
    EXPECT_EQ(read(segment, 2 * kPage), std::byte{1});
  }
  EXPECT_EQ(umount(root.c_str()), 0);
}

TEST_F(TruncatedSegment, TheHeaderOfATruncatedSegmentIsNotReady) {
  const int fd = open(name_.path().c_str(), O_CREAT | O_RDWR, 0600);
  ASSERT_EQ(posix_fallocate(fd, 0, kSize), 0);
  const Segment segment = sound(Segment::attach(name_, {.prefault = false}));
  ASSERT_EQ(ftruncate(fd, kPage), 0);
  close(fd);
  EXPECT_EQ(code_of(check_header(segment.bytes(), kAnyKind, "it")), code_of(ErrorCode::kNotReady));
  ASSERT_EQ(truncate(name_.path().c_str(), 0), 0);
  EXPECT_EQ(code_of(check_header(segment.bytes(), kAnyKind, "it")), code_of(ErrorCode::kNotReady));
  EXPECT_TRUE(segment.truncated());
}

TEST_F(TruncatedSegment, MoreMappingsThanCanBeGuardedAreRefused) {
  const Segment segment = create(name_);
  std::vector<Segment> all;
  for (;;) {
    auto next = Segment::attach(name_, {.prefault = false});
    if (!next) {
      EXPECT_EQ(code_of(next), code_of(ErrorCode::kNoSpace));
      break;
    }
    all.push_back(std::move(*next));
  }
  EXPECT_EQ(all.size(), 1023u);
  all.pop_back();
  EXPECT_TRUE(Segment::attach(name_));
}

}  // namespace
}  // namespace rondo
