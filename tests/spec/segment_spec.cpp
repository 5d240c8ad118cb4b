// Contract of Segment. Each line has a test of the same name, in this order.
//  1. WhatTheCreatorWritesIsSeenAtTheName
//  2. BothSidesSeeTheSameMemory
//  3. ANewSegmentIsZero
//  4. TheNameAppearsOnlyWhenTheContentsAreComplete
//  5. AFailedFillLeavesNothing
//  6. TheSizeIsExactlyTheOneAskedFor
//  7. OnlyTheOwnerMayOpenItUnlessAModeIsAsked
//  8. ATakenNameIsNotTakenAgain
//  9. RemovedIsNotFoundAndThoseAttachedKeepIt
// 10. AReplacedNameIsNoticed
// 11. AMemfdIsSealedAndHandedOnAsAnFd
// 12. AnonymousMemoryIsInheritedByFork
// 13. HeapMemoryNeedsNoFile
// 14. MemoryOfTheCallersIsReleasedAtTheEnd
// 15. MovingLeavesTheAddressesAlone
// 16. ReadOnlyMeansSo
// 17. TheReportSaysWhatWasObtained
// 18. WishesThatCantBeMetAreNoted
// 19. RequiredHugePagesAreHadOrRefused
// 20. FilesAreFoundFromAnotherWorkingDirectory
// 21. SegmentsAreListedWithTheirGeometry
// 22. UnsoundSegmentsAreListedWithTheirProblem
// 23. OfASoleWritersMemoryNoOtherCanWriteOrTakeAnything
// 24. WithoutThatSealItIsRefused
// 25. PagesCanShowAnothersMemory
#include "rondo/core/segment.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "rondo/core/segment_info.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

Result<void> leave_empty(std::span<std::byte>) { return {}; }

// The backings that have names, by one test each.
class NamedSegment : public ::testing::TestWithParam<Backing> {
 protected:
  [[nodiscard]] SegmentName name() const {
    return GetParam() == Backing::kSharedMemory ? static_cast<const SegmentName&>(shm_)
                                                : directory_.name("segment");
  }
  [[nodiscard]] std::string path() const {
    return GetParam() == Backing::kSharedMemory ? shm_.path() : directory_.path("segment");
  }

 private:
  ShmName shm_;
  Directory directory_;
};
INSTANTIATE_TEST_SUITE_P(Backings, NamedSegment,
                         ::testing::Values(Backing::kSharedMemory, Backing::kFile),
                         [](const auto& test) {
                           return test.param == Backing::kFile ? "File" : "SharedMemory";
                         });

TEST_P(NamedSegment, WhatTheCreatorWritesIsSeenAtTheName) {
  const Segment created = sound(create_small(name()));

  const Segment attached = sound(Segment::attach(name()));

  const auto geometry = check_header(attached.bytes(), RingKind::kRecord, "it");
  ASSERT_TRUE(geometry) << geometry.error().message;
  EXPECT_EQ(geometry->capacity, small_geometry().capacity);
  EXPECT_EQ(attached.name(), name());
  EXPECT_TRUE(attached.still_at_its_name());
}

TEST_P(NamedSegment, BothSidesSeeTheSameMemory) {
  const Segment created = sound(create_small(name()));
  const Segment attached = sound(Segment::attach(name()));

  created.bytes().back() = std::byte{1};
  attached.bytes().front() = std::byte{2};

  EXPECT_EQ(attached.bytes().back(), std::byte{1});
  EXPECT_EQ(created.bytes().front(), std::byte{2});
}

TEST_P(NamedSegment, ANewSegmentIsZero) {
  bool zero = false;
  const auto created = Segment::create(name(), 100'000, {}, [&](auto bytes) -> Result<void> {
    zero = std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
    return {};
  });
  EXPECT_TRUE(created) << message_of(created);
  EXPECT_TRUE(zero);
}

TEST_P(NamedSegment, TheNameAppearsOnlyWhenTheContentsAreComplete) {
  std::string during;
  const auto created = Segment::create(name(), 8192, {}, [&](auto) -> Result<void> {
    during = code_of(Segment::attach(name()));
    return {};
  });
  EXPECT_TRUE(created) << message_of(created);
  EXPECT_EQ(during, code_of(ErrorCode::kNotFound));
  EXPECT_TRUE(Segment::attach(name()));
}

TEST_P(NamedSegment, AFailedFillLeavesNothing) {
  const auto created = Segment::create(name(), 8192, {}, [](auto) -> Result<void> {
    return Error{ErrorCode::kInvalidCapacity, "not like this"};
  });
  EXPECT_EQ(message_of(created), "not like this");
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_P(NamedSegment, TheSizeIsExactlyTheOneAskedFor) {
  for (const std::size_t size : {std::size_t{4096}, std::size_t{4097}, std::size_t{1} << 20}) {
    const Segment created = sound(Segment::create(name(), size, {}, leave_empty));
    EXPECT_EQ(created.bytes().size(), size);
    EXPECT_EQ(sound(Segment::attach(name())).bytes().size(), size);
    ASSERT_TRUE(Segment::remove(name()));
  }
}

TEST_P(NamedSegment, OnlyTheOwnerMayOpenItUnlessAModeIsAsked) {
  const mode_t umask_before = umask(0077);
  for (const unsigned mode : {0600u, 0640u, 0666u}) {
    const Segment created = sound(create_small(name(), {.mode = mode}));
    struct stat status = {};
    ASSERT_EQ(stat(path().c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, mode);
    ASSERT_TRUE(Segment::remove(name()));
  }
  umask(umask_before);
}

TEST_P(NamedSegment, ATakenNameIsNotTakenAgain) {
  const Segment first = sound(create_small(name()));

  const auto second = create_small(name());

  EXPECT_EQ(code_of(second), code_of(ErrorCode::kAlreadyExists));
  EXPECT_THAT(message_of(second), HasSubstr(to_string(name())));
  EXPECT_TRUE(first.still_at_its_name());
}

TEST_P(NamedSegment, RemovedIsNotFoundAndThoseAttachedKeepIt) {
  const Segment segment = sound(create_small(name()));

  ASSERT_TRUE(Segment::remove(name()));

  EXPECT_EQ(code_of(Segment::attach(name())), code_of(ErrorCode::kNotFound));
  EXPECT_EQ(code_of(Segment::remove(name())), code_of(ErrorCode::kNotFound));
  EXPECT_FALSE(segment.still_at_its_name());
  EXPECT_TRUE(check_header(segment.bytes(), kAnyKind, "it"));
}

TEST_P(NamedSegment, AReplacedNameIsNoticed) {
  const Segment old_one = sound(create_small(name()));
  ASSERT_TRUE(Segment::remove(name()));
  const Segment new_one = sound(create_small(name()));

  EXPECT_FALSE(old_one.still_at_its_name());
  EXPECT_FALSE(remove_if_at_its_name(old_one.identity()));
  EXPECT_TRUE(new_one.still_at_its_name());
  EXPECT_TRUE(remove_if_at_its_name(new_one.identity()));
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST(Segment, AMemfdIsSealedAndHandedOnAsAnFd) {
  const Segment created = sound(create_small({Backing::kMemfd, {}}));
  EXPECT_NE(ftruncate(created.fd(), 0), 0);
  EXPECT_NE(ftruncate(created.fd(), 1 << 20), 0);

  const Segment attached = sound(Segment::attach_fd(created.fd()));

  EXPECT_NE(attached.fd(), created.fd());
  created.bytes()[5000] = std::byte{9};
  EXPECT_EQ(attached.bytes()[5000], std::byte{9});
  EXPECT_EQ(code_of(Segment::attach({Backing::kMemfd, {}})), code_of(ErrorCode::kInvalidName));
}

TEST(Segment, AnonymousMemoryIsInheritedByFork) {
  const Segment segment = sound(create_small({Backing::kAnonymous, {}}));
  EXPECT_EQ(segment.fd(), -1);

  Child child([&] {
    segment.bytes()[5000] = std::byte{7};
    // The child becomes a participant of its own.
    return participants_of(segment).join({.first_slot = 1}).has_value() ? 0 : 1;
  });

  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(segment.bytes()[5000], std::byte{7});
}

TEST(Segment, HeapMemoryNeedsNoFile) {
  const Segment segment = sound(create_small({Backing::kHeap, {}}));
  EXPECT_EQ(segment.fd(), -1);
  EXPECT_TRUE(check_header(segment.bytes(), kAnyKind, "heap"));
  Participants first = participants_of(segment);
  Participants second = participants_of(segment);
  EXPECT_TRUE(first.join({.first_slot = 0}));
  EXPECT_EQ(code_of(second.join({.first_slot = 0})), code_of(ErrorCode::kBusy));
}

TEST(Segment, MemoryOfTheCallersIsReleasedAtTheEnd) {
  alignas(kSharingRange) static std::byte memory[4096];
  int released = 0;
  {
    Segment segment = sound(Segment::over(memory, [&] { ++released; }));
    const Segment moved = std::move(segment);
    EXPECT_EQ(moved.bytes().data(), memory);
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
  EXPECT_EQ(code_of(Segment::over(std::span(memory).subspan(8))), code_of(ErrorCode::kMisaligned));
}

TEST(Segment, MovingLeavesTheAddressesAlone) {
  Segment first = sound(create_small({Backing::kMemfd, {}}));
  const std::byte* const address = first.bytes().data();

  Segment second = std::move(first);
  first = sound(create_small({Backing::kMemfd, {}}));
  EXPECT_EQ(second.bytes().data(), address);

  second = std::move(first);
  EXPECT_TRUE(check_header(second.bytes(), kAnyKind, "it"));
}

TEST(Segment, ReadOnlyMeansSo) {
  const ShmName name;
  const Segment created = sound(create_small(name));
  const Segment reader = sound(Segment::attach(name, {}, Access::kReadOnly));

  EXPECT_EQ(fcntl(reader.fd(), F_GETFL) & O_ACCMODE, O_RDONLY);
  EXPECT_NE(mprotect(reader.bytes().data(), reader.bytes().size(), PROT_READ | PROT_WRITE), 0);
  EXPECT_EQ(code_of(participants_of(reader).join({})), code_of(ErrorCode::kPermission));
}

TEST(Segment, TheReportSaysWhatWasObtained) {
  for (const Backing backing : {Backing::kMemfd, Backing::kAnonymous}) {
    const Segment segment = sound(create_small({backing, {}}, {.lock = true, .numa_node = 0}));
    const SegmentReport& report = segment.report();
    EXPECT_EQ(report.size_bytes, small_geometry().total_bytes);
    EXPECT_GE(report.page_bytes, 4096u);
    EXPECT_TRUE(report.prefaulted);
    EXPECT_EQ(report.guarded, backing == Backing::kMemfd);
    EXPECT_FALSE(report.huge_pages);
    // Some machines and containers allow neither of these: then the notes say so.
    const int unmet = (report.locked ? 0 : 1) + (report.numa_node == 0 ? 0 : 1);
    EXPECT_EQ(report.notes.size(), static_cast<std::size_t>(unmet));
  }
}

TEST(Segment, WishesThatCantBeMetAreNoted) {
  const Segment segment =
      sound(create_small({Backing::kMemfd, {}}, {.huge_pages = HugePages::kTry, .numa_node = 999}));
  EXPECT_EQ(segment.report().numa_node, -1);
  EXPECT_THAT(segment.report().notes, Not(IsEmpty()));
  EXPECT_THAT(segment.report().notes.front(), HasSubstr("NUMA node 999"));
}

TEST(Segment, RequiredHugePagesAreHadOrRefused) {
  constexpr std::size_t kSize = std::size_t{4} << 20;
  for (const Backing backing : {Backing::kMemfd, Backing::kAnonymous}) {
    const auto segment =
        Segment::create({backing, {}}, kSize, {.huge_pages = HugePages::kRequire}, leave_empty);
    if (segment) {
      EXPECT_TRUE(segment->report().huge_pages);
      EXPECT_GE(segment->report().huge_page_bytes, kSize);
    } else {
      EXPECT_THAT(segment.error().message, HasSubstr("; "));  // what to do
    }
  }
}

TEST(Segment, FilesAreFoundFromAnotherWorkingDirectory) {
  const Directory directory;
  const std::string before = std::filesystem::current_path();
  std::filesystem::current_path(std::filesystem::path(directory.path("x")).parent_path());
  const Segment segment = sound(create_small({Backing::kFile, "relative"}));
  std::filesystem::current_path(before);

  EXPECT_TRUE(segment.still_at_its_name());
  EXPECT_TRUE(remove_if_at_its_name(segment.identity()));
  EXPECT_TRUE(directory.empty());
}

TEST(Segment, SegmentsAreListedWithTheirGeometry) {
  const ShmName name;
  const Segment segment = sound(create_small(name));
  Participants participants = participants_of(segment);
  ASSERT_TRUE(participants.join({.first_slot = 2, .role = Role::kConsumer, .name = "me"}));

  const auto all = list_segments();

  ASSERT_TRUE(all) << all.error().message;
  const auto it = std::find_if(all->begin(), all->end(), [&](const SegmentInfo& info) {
    return info.name == static_cast<const SegmentName&>(name);
  });
  ASSERT_NE(it, all->end());
  EXPECT_FALSE(it->problem);
  EXPECT_EQ(it->size_bytes, small_geometry().total_bytes);
  EXPECT_EQ(it->mode, 0600u);
  EXPECT_EQ(it->owner, geteuid());
  ASSERT_TRUE(it->geometry);
  EXPECT_EQ(it->geometry->capacity, small_geometry().capacity);
  ASSERT_EQ(it->participants.size(), 1u);
  EXPECT_EQ(it->participants[0].slot, 2u);
  EXPECT_TRUE(it->participants[0].alive);
  EXPECT_EQ(it->participants[0].name, "me");
}

TEST(Segment, UnsoundSegmentsAreListedWithTheirProblem) {
  const ShmName name;
  std::ofstream(name.path()) << "not a segment";

  const auto info = inspect_segment(name);

  ASSERT_TRUE(info) << info.error().message;
  EXPECT_EQ(info->size_bytes, 13u);
  ASSERT_TRUE(info->problem);
  EXPECT_EQ(info->problem->code, ErrorCode::kTooSmall);
  const ShmName other;
  EXPECT_EQ(code_of(inspect_segment(other)), code_of(ErrorCode::kNotFound));
}

// Every way that the kernel offers, also with a descriptor that is open for writing.
TEST(Segment, OfASoleWritersMemoryNoOtherCanWriteOrTakeAnything) {
  SegmentOptions options;
  options.sole_writer = true;
  const Segment created = sound(create_small({Backing::kMemfd, {}}, options));
  for (const Access access : {Access::kReadOnly, Access::kReadWrite}) {
    const int fd = created.open_description(access).value();
    const char byte = 1;
    EXPECT_LT(pwrite(fd, &byte, 1, 0), 0);
    EXPECT_NE(ftruncate(fd, 0), 0);
    EXPECT_NE(ftruncate(fd, 1 << 20), 0);
    EXPECT_NE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
    EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
    EXPECT_NE(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
    void* mapped = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
    ASSERT_NE(mapped, MAP_FAILED);
    EXPECT_NE(mprotect(mapped, 4096, PROT_READ | PROT_WRITE), 0);
    EXPECT_NE(madvise(mapped, 4096, MADV_REMOVE), 0);
    munmap(mapped, 4096);
    close(fd);
  }
  created.bytes()[5000] = std::byte{9};  // the creator still can
  const Segment attached = sound(Segment::attach_fd(created.fd(), options, Access::kReadOnly));
  EXPECT_EQ(attached.bytes()[5000], std::byte{9});
}

TEST(Segment, WithoutThatSealItIsRefused) {
  const Segment created = sound(create_small({Backing::kMemfd, {}}));
  SegmentOptions options;
  options.sole_writer = true;
  EXPECT_EQ(code_of(Segment::attach_fd(created.fd(), options, Access::kReadOnly)),
            code_of(ErrorCode::kUnsealed));
}

TEST(Segment, PagesCanShowAnothersMemory) {
  Segment segment = sound(create_small({Backing::kMemfd, {}}));
  const std::size_t last = segment.bytes().size() - 4096;
  {
    const Segment part =
        sound(Segment::create({Backing::kMemfd, {}}, 4096, {}, [](std::span<std::byte> bytes) {
          bytes[17] = std::byte{3};
          return Result<void>();
        }));
    EXPECT_EQ(code_of(segment.overlay(100, part)), code_of(ErrorCode::kMisaligned));
    EXPECT_EQ(code_of(segment.overlay(last + 4096, part)), code_of(ErrorCode::kTooSmall));
    ASSERT_TRUE(segment.overlay(last, part));
    part.bytes()[18] = std::byte{4};
  }
  EXPECT_EQ(segment.bytes()[last + 17], std::byte{3});  // also when the part is gone
  EXPECT_EQ(segment.bytes()[last + 18], std::byte{4});
}

}  // namespace
}  // namespace rondo
