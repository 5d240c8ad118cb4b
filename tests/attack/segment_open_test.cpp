// What may stand at a name, or come as a descriptor, when a segment is opened: each line of
// "When opening" that concerns the file. What concerns the header is in spec/segment_header_spec.
#include <fcntl.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

#include "rondo/core/segment_info.hpp"
#include "support/processes.hpp"
#include "support/sanitizers.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;
using ::testing::HasSubstr;

class OpenSegment : public Watchdog {
 protected:
  [[nodiscard]] static bool is_root() { return geteuid() == 0; }

  Directory directory_;
  SegmentName file_ = directory_.name("segment");
  std::string path_ = directory_.path("segment");
};

Result<void> leave_empty(std::span<std::byte>) { return {}; }

std::string attach_error(const SegmentName& name) { return code_of(Segment::attach(name)); }

TEST_F(OpenSegment, NamesThatCantBeOnes) {
  const std::string long_name(kMaxSegmentNameBytes + 1, 'x');
  for (const std::string& name :
       {std::string(), std::string("a/b"), std::string("/a"), std::string(".."), std::string("."),
        std::string("a..b"), std::string("a\0b", 3), std::string("a\nb"), std::string("\x1b[31m"),
        long_name}) {
    const SegmentName shm{Backing::kSharedMemory, name};
    EXPECT_EQ(attach_error(shm), code_of(ErrorCode::kInvalidName)) << name;
    EXPECT_EQ(code_of(create_small(shm)), code_of(ErrorCode::kInvalidName)) << name;
    EXPECT_EQ(code_of(Segment::remove(shm)), code_of(ErrorCode::kInvalidName)) << name;
    EXPECT_EQ(code_of(inspect_segment(shm)), code_of(ErrorCode::kInvalidName)) << name;
  }
  for (const std::string& path :
       {std::string(), std::string("a/"), std::string("a/.."), std::string("."), std::string("/"),
        std::string("a\0b", 3), "/tmp/" + std::string(256, 'x'), std::string(5000, '/') + "x"}) {
    const SegmentName file{Backing::kFile, path};
    EXPECT_EQ(attach_error(file), code_of(ErrorCode::kInvalidName)) << path;
    EXPECT_EQ(code_of(create_small(file)), code_of(ErrorCode::kInvalidName)) << path;
  }
  EXPECT_EQ(attach_error({Backing::kAnonymous, {}}), code_of(ErrorCode::kInvalidName));
  EXPECT_EQ(code_of(create_small({Backing::kMemfd, "x"})), code_of(ErrorCode::kInvalidName));
  const std::string longest(kMaxSegmentNameBytes, 'x');
  EXPECT_EQ(attach_error({Backing::kSharedMemory, longest}), code_of(ErrorCode::kNotFound));
}

TEST_F(OpenSegment, NothingThere) {
  EXPECT_EQ(attach_error(file_), code_of(ErrorCode::kNotFound));
  EXPECT_EQ(attach_error(directory_.name("no/segment")), code_of(ErrorCode::kNoDirectory));
  EXPECT_EQ(code_of(create_small(directory_.name("no/segment"))), code_of(ErrorCode::kNoDirectory));
}

TEST_F(OpenSegment, SymbolicLink) {
  const Segment target = sound(create_small(directory_.name("target")));
  ASSERT_EQ(symlink("target", path_.c_str()), 0);
  const auto attached = Segment::attach(file_);
  EXPECT_EQ(code_of(attached), code_of(ErrorCode::kForeignObject));
  EXPECT_THAT(message_of(attached), HasSubstr("symbolic link"));
  EXPECT_EQ(code_of(create_small(file_)), code_of(ErrorCode::kAlreadyExists));
  EXPECT_EQ(code_of(Segment::remove(file_)), code_of(ErrorCode::kForeignObject));
}

TEST_F(OpenSegment, LinkToNowhereIsNotFollowedWhenCreating) {
  ASSERT_EQ(symlink("elsewhere", path_.c_str()), 0);
  EXPECT_EQ(code_of(create_small(file_)), code_of(ErrorCode::kAlreadyExists));
  EXPECT_FALSE(std::filesystem::exists(directory_.path("elsewhere")));
}

TEST_F(OpenSegment, Fifo) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(attach_error(file_), code_of(ErrorCode::kForeignObject));  // and does not wait
}

TEST_F(OpenSegment, DirectoryAtTheName) {
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  EXPECT_EQ(attach_error(file_), code_of(ErrorCode::kForeignObject));
  EXPECT_EQ(code_of(Segment::remove(file_)), code_of(ErrorCode::kForeignObject));
}

TEST_F(OpenSegment, Socket) {
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  EXPECT_EQ(attach_error(file_), code_of(ErrorCode::kForeignObject));
  close(listener);
}

TEST_F(OpenSegment, Device) {
  EXPECT_EQ(attach_error({Backing::kFile, "/dev/null"}), code_of(ErrorCode::kForeignObject));
  EXPECT_EQ(attach_error({Backing::kFile, "/dev/zero"}), code_of(ErrorCode::kForeignObject));
}

TEST_F(OpenSegment, FileOfAnotherUser) {
  if (!is_root()) GTEST_SKIP() << "needs root to give a file away";
  const Segment created = sound(create_small(file_));
  ASSERT_EQ(chown(path_.c_str(), 65534, 65534), 0);
  EXPECT_EQ(attach_error(file_), code_of(ErrorCode::kForeignOwner));
  // On purpose: a mode that lets others in.
  EXPECT_TRUE(Segment::attach(file_, {.mode = 0660}));
}

TEST_F(OpenSegment, FileThatOthersMayWrite) {
  for (const unsigned mode : {0620u, 0602u, 0666u}) {
    const Segment created = sound(create_small(file_, {.mode = mode}));
    EXPECT_EQ(attach_error(file_), code_of(ErrorCode::kForeignOwner)) << std::oct << mode;
    EXPECT_TRUE(Segment::attach(file_, {.mode = mode}));
    ASSERT_TRUE(Segment::remove(file_));
  }
  const Segment created = sound(create_small(file_, {.mode = 0666}));
  EXPECT_EQ(code_of(Segment::attach(file_, {.mode = 0660})), code_of(ErrorCode::kForeignOwner));
}

TEST_F(OpenSegment, FileThatMayNotBeOpened) {
  if (!is_root()) GTEST_SKIP() << "needs root to become another user";
  const Segment created = sound(create_small(file_));
  ASSERT_EQ(chmod(std::filesystem::path(path_).parent_path().c_str(), 0755), 0);
  Child other([&] {
    if (setgroups(0, nullptr) != 0 || setgid(65534) != 0 || setuid(65534) != 0) return 1;
    if (attach_error(file_) != code_of(ErrorCode::kForeignOwner)) return 2;
    if (code_of(Segment::attach(file_, {.mode = 0660})) != code_of(ErrorCode::kPermission))
      return 3;
    return code_of(Segment::remove(file_)) == code_of(ErrorCode::kPermission) ? 0 : 4;
  });
  EXPECT_EQ(other.join(), 0);
}

// What the file has, and which side lacks what.
TEST_F(OpenSegment, WhichSideLacksModeIsSaid) {
  using ::testing::HasSubstr;
  {
    const Segment created = sound(create_small(file_, {.mode = 0660}));
    EXPECT_THAT(message_of(Segment::attach(file_)), HasSubstr("say mode=0660 on this side too"));
    ASSERT_TRUE(Segment::remove(file_));
  }
  if (!is_root()) GTEST_SKIP() << "needs root to give a file away, and to become another user";
  ASSERT_EQ(chmod(std::filesystem::path(path_).parent_path().c_str(), 0755), 0);
  const auto told = [&](unsigned mode, unsigned asked, const std::string& words) {
    const Segment created = sound(create_small(file_, {.mode = mode}));
    Child other([&] {
      if (setgroups(0, nullptr) != 0 || setgid(65533) != 0 || setuid(65533) != 0) return 1;
      const std::string message = message_of(Segment::attach(file_, {.mode = asked}));
      const bool has =
          message.find("belongs to user 0 and group 0, with mode 0") != std::string::npos &&
          message.find("this is user 65533") != std::string::npos &&
          message.find(words) != std::string::npos;
      if (!has) std::fprintf(stderr, "%s\n", message.c_str());
      return has ? 0 : 2;
    });
    EXPECT_EQ(other.join(), 0) << words;
    EXPECT_TRUE(Segment::remove(file_));
  };
  told(0600, 0600, "the side that makes it has to say mode=0660");
  told(0600, 0600, "and this side mode=0660");
  told(0600, 0660, "as this side does");
  told(0666, 0600, "say mode=0666 on this side too");
  told(0660, 0660, "which group");
}

TEST_F(OpenSegment, ANewFileHasTheGroupAskedForBeforeItsName) {
  if (!is_root()) GTEST_SKIP() << "needs root to be in any group";
  for (const std::string& group : {std::string("65533"), std::string("daemon")}) {
    const auto created = create_small(file_, {.mode = 0660, .group = group});
    ASSERT_TRUE(created) << message_of(created);
    struct stat status {};
    ASSERT_EQ(stat(path_.c_str(), &status), 0);
    EXPECT_EQ(status.st_gid, group == "daemon" ? getgrnam("daemon")->gr_gid : 65533u);
    EXPECT_EQ(status.st_mode & 07777, 0660u);
    ASSERT_TRUE(Segment::remove(file_));
  }
  // A process of another user in that group is let in, and one that is not in it is not.
  const Segment created = sound(create_small(file_, {.mode = 0660, .group = "65533"}));
  ASSERT_EQ(chmod(std::filesystem::path(path_).parent_path().c_str(), 0755), 0);
  for (const gid_t group : {65533u, 65532u}) {
    Child other([&] {
      if (setgroups(0, nullptr) != 0 || setgid(group) != 0 || setuid(65533) != 0) return 1;
      return Segment::attach(file_, {.mode = 0660}) ? 0 : 2;
    });
    EXPECT_EQ(other.join(), group == 65533u ? 0 : 2);
  }
}

TEST_F(OpenSegment, AGroupThatCantBeGivenIsAnErrorAndLeavesNothing) {
  using ::testing::HasSubstr;
  const auto unknown = create_small(file_, {.mode = 0660, .group = "no-such-group"});
  EXPECT_EQ(code_of(unknown), code_of(ErrorCode::kInvalidOption));
  EXPECT_THAT(message_of(unknown), HasSubstr("no group 'no-such-group'"));
  EXPECT_TRUE(directory_.empty());
  if (!is_root()) GTEST_SKIP() << "needs root to become another user";
  ASSERT_EQ(chmod(std::filesystem::path(path_).parent_path().c_str(), 0777), 0);
  Child other([&] {
    if (setgroups(0, nullptr) != 0 || setgid(65533) != 0 || setuid(65533) != 0) return 1;
    const auto refused = create_small(file_, {.mode = 0660, .group = "0"});
    if (code_of(refused) != code_of(ErrorCode::kPermission)) return 2;
    return message_of(refused).find("is not in it") != std::string::npos ? 0 : 3;
  });
  EXPECT_EQ(other.join(), 0);
  EXPECT_TRUE(directory_.empty());
}

TEST_F(OpenSegment, SeveralHardLinks) {
  const Segment created = sound(create_small(file_));
  ASSERT_EQ(link(path_.c_str(), directory_.path("other").c_str()), 0);
  EXPECT_EQ(attach_error(file_), code_of(ErrorCode::kForeignObject));
}

TEST_F(OpenSegment, EmptyAndTruncatedAndOddSizes) {
  for (const off_t size : {0, 1, 71, 4095}) {
    const Segment created = sound(create_small(file_));
    ASSERT_EQ(truncate(path_.c_str(), size), 0);
    EXPECT_EQ(attach_error(file_), code_of(ErrorCode::kTooSmall)) << size;
    ASSERT_TRUE(Segment::remove(file_));
  }
  // From a page on it can be mapped; the header then tells that bytes are missing, or too many.
  for (const off_t size : {off_t{4096}, off_t{4097}, off_t{8191}, off_t{1} << 20}) {
    const Segment created = sound(create_small(file_));
    ASSERT_EQ(truncate(path_.c_str(), size), 0);
    const Segment attached = sound(Segment::attach(file_));
    const auto header = check_header(attached.bytes(), kAnyKind, "it");
    const bool shorter = size < static_cast<off_t>(small_geometry().total_bytes);
    EXPECT_EQ(code_of(header), code_of(shorter ? ErrorCode::kTooSmall : ErrorCode::kSizeMismatch));
    ASSERT_TRUE(Segment::remove(file_));
  }
}

TEST_F(OpenSegment, LessMemoryBehindItThanItsSize) {
  const ShmName name;
  {
    const int fd = open(name.path().c_str(), O_CREAT | O_RDWR, 0600);
    ASSERT_EQ(ftruncate(fd, 1 << 20),
              0);  // a hole: mapping it would take memory from a full /dev/shm
    close(fd);
  }
  EXPECT_EQ(attach_error(name), code_of(ErrorCode::kTooSmall));
  ASSERT_EQ(truncate(name.path().c_str(), off_t{1} << 50), 0);
  EXPECT_EQ(attach_error(name), code_of(ErrorCode::kBadGeometry));
}

TEST_F(OpenSegment, LargeHolesOnDiskAreNotBroughtIn) {
  { std::ofstream file(path_); }
  ASSERT_EQ(truncate(path_.c_str(), off_t{1} << 40), 0);
  const auto attached = Segment::attach(file_);
  ASSERT_TRUE(attached) << message_of(attached);
  EXPECT_FALSE(attached->report().prefaulted);
  EXPECT_EQ(code_of(check_header(attached->bytes(), kAnyKind, "it")),
            code_of(ErrorCode::kNotReady));
}

TEST_F(OpenSegment, SizesThatCantBe) {
  for (const std::size_t size : {std::size_t{0}, (std::size_t{1} << 46) + 1, ~std::size_t{0}}) {
    for (const Backing backing : {Backing::kMemfd, Backing::kAnonymous, Backing::kHeap}) {
      EXPECT_EQ(code_of(Segment::create({backing, {}}, size, {}, leave_empty)),
                code_of(ErrorCode::kInvalidCapacity));
    }
  }
}

// Another process swaps the file at the name as fast as it can, between a segment, a symbolic link
// and a FIFO: each look is at one of them, and only at that one.
TEST_F(OpenSegment, ReplacedBetweenLookAndOpen) {
  const Segment good = sound(create_small(directory_.name("good")));
  std::ofstream(directory_.path("bad")) << std::string(8192, 'x');
  ASSERT_EQ(chmod(directory_.path("bad").c_str(), 0666), 0);
  ASSERT_EQ(mkfifo(directory_.path("fifo").c_str(), 0600), 0);
  Shared<std::atomic<bool>> stop;
  Child swapper([&] {
    const std::string paths[] = {"good", "bad", "fifo", "gone"};
    for (std::size_t i = 0; !stop->load(); ++i) {
      // Never a second link to `good`: it is renamed to the name and back.
      const std::string from = directory_.path(paths[i % 4]);
      rename(from.c_str(), path_.c_str());
      rename(path_.c_str(), from.c_str());
    }
    return 0;
  });
  int attached = 0;
  for (int i = 0; i < 20'000; ++i) {
    const auto segment = Segment::attach(file_);
    if (segment) {
      ++attached;
      EXPECT_TRUE(check_header(segment->bytes(), RingKind::kRecord, "it"));
    } else {
      const ErrorCode code = segment.error().code;
      EXPECT_TRUE(code == ErrorCode::kNotFound || code == ErrorCode::kForeignObject ||
                  code == ErrorCode::kForeignOwner)
          << segment.error().message;
    }
  }
  stop->store(true);
  EXPECT_EQ(swapper.join(), 0);
  std::printf("attached %d times\n", attached);
}

TEST_F(OpenSegment, NameMadeAnewWhileOldParticipantsHoldTheOldOne) {
  const Segment old_one = sound(create_small(file_));
  Participants old_producer = participants_of(old_one);
  ASSERT_TRUE(old_producer.join({.role = Role::kProducer}));
  ASSERT_TRUE(Segment::remove(file_));

  const Segment new_one = sound(create_small(file_));
  Participants new_producer = participants_of(new_one);
  EXPECT_TRUE(new_producer.join({.role = Role::kProducer}));

  // The old ones are among themselves, and no new one joins them; nor do they remove the new name.
  Participants late = participants_of(old_one);
  EXPECT_EQ(code_of(late.join({.first_slot = 1})), code_of(ErrorCode::kReplaced));
  EXPECT_TRUE(old_producer.leave(true));
  EXPECT_TRUE(new_one.still_at_its_name());
}

TEST_F(OpenSegment, MemfdWithoutSeals) {
  for (const unsigned seals : {0u, unsigned{F_SEAL_SHRINK}, unsigned{F_SEAL_GROW}}) {
    const int fd = memfd_create("attack", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ASSERT_EQ(ftruncate(fd, 8192), 0);
    ASSERT_EQ(fcntl(fd, F_ADD_SEALS, seals), 0);
    EXPECT_EQ(code_of(Segment::attach_fd(fd)), code_of(ErrorCode::kUnsealed));
    close(fd);
  }
}

TEST_F(OpenSegment, SealedMemfdsThatAreEmptyOrHollow) {
  for (const off_t size : {0, 4095, 1 << 20}) {
    const int fd = memfd_create("attack", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ASSERT_EQ(ftruncate(fd, size), 0);
    ASSERT_EQ(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
    EXPECT_EQ(code_of(Segment::attach_fd(fd)), code_of(ErrorCode::kTooSmall));
    close(fd);
  }
}

TEST_F(OpenSegment, SealedMemfdOfAnotherSizeThanAsked) {
  const Segment created = sound(create_small({Backing::kMemfd, {}}));
  const std::size_t size = created.bytes().size();
  EXPECT_EQ(code_of(Segment::attach_fd(created.fd(), {.file_bytes = size - 4096})),
            code_of(ErrorCode::kSizeMismatch));
  EXPECT_TRUE(Segment::attach_fd(created.fd(), {.file_bytes = size}));
}

TEST_F(OpenSegment, DescriptorsOfTheWrongType) {
  int pipes[2];
  ASSERT_EQ(pipe(pipes), 0);
  const Segment file = sound(create_small(file_));
  for (const int fd : {pipes[0], file.fd(), open("/dev/zero", O_RDWR), open("/", O_RDONLY)}) {
    // Files on tmpfs bear seals too, but lack the right ones.
    const auto attached = Segment::attach_fd(fd);
    ASSERT_FALSE(attached);
    EXPECT_TRUE(attached.error().code == ErrorCode::kForeignObject ||
                attached.error().code == ErrorCode::kUnsealed)
        << attached.error().message;
  }
  const ShmName name;
  const Segment shm = sound(create_small(name));
  EXPECT_EQ(code_of(Segment::attach_fd(shm.fd())), code_of(ErrorCode::kUnsealed));
  EXPECT_EQ(code_of(Segment::attach_fd(-1)), code_of(ErrorCode::kSystem));
  close(pipes[0]);
  close(pipes[1]);
}

TEST_F(OpenSegment, DescriptorForReadingOnly) {
  const Segment created = sound(create_small({Backing::kMemfd, {}}));
  const std::string path = "/proc/self/fd/" + std::to_string(created.fd());
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  EXPECT_EQ(code_of(Segment::attach_fd(fd)), code_of(ErrorCode::kPermission));
  EXPECT_TRUE(Segment::attach_fd(fd, {}, Access::kReadOnly));
  close(fd);
}

// Limits, each in a child so that they don't outlive the test.
TEST_F(OpenSegment, NoDescriptorsLeft) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  const Segment created = sound(create_small(file_));
  const Segment handed_over = sound(create_small({Backing::kMemfd, {}}));
  Child child([&] {
    const rlimit none{static_cast<rlim_t>(handed_over.fd()) + 4, 1024};
    if (setrlimit(RLIMIT_NOFILE, &none) != 0) return 1;
    std::vector<int> all;
    for (int fd; (fd = dup(0)) >= 0;) all.push_back(fd);
    const std::string expected = code_of(ErrorCode::kNoDescriptors);
    if (attach_error(file_) != expected) return 2;
    if (code_of(create_small(directory_.name("b"))) != expected) return 3;
    if (code_of(create_small({Backing::kMemfd, {}})) != expected) return 4;
    if (code_of(create_small({Backing::kHeap, {}})) != expected) return 5;
    if (code_of(Segment::attach_fd(handed_over.fd())) != expected) return 6;
    if (code_of(LivenessLock::open(created)) != expected) return 7;
    // With few left, whatever succeeds in part is undone.
    for (std::size_t spare = 1; spare <= 3 && !all.empty(); ++spare) {
      close(all.back());
      all.pop_back();
      if (auto one = create_small(directory_.name("b")); one) {
        if (!Segment::remove(directory_.name("b"))) return 8;
      }
    }
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_FALSE(std::filesystem::exists(directory_.path("b")));
}

TEST_F(OpenSegment, NoAddressSpaceLeft) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  const Segment created = sound(Segment::create(file_, 64 << 20, {.prefault = false}, leave_empty));
  Child child([&] {
    const rlimit little{32 << 20, 32 << 20};
    if (setrlimit(RLIMIT_AS, &little) != 0) return 1;
    if (attach_error(file_) != code_of(ErrorCode::kNoSpace)) return 2;
    const auto anonymous = Segment::create({Backing::kAnonymous, {}}, 64 << 20, {}, leave_empty);
    return code_of(anonymous) == code_of(ErrorCode::kNoSpace) ? 0 : 3;
  });
  EXPECT_EQ(child.join(), 0);
}

TEST_F(OpenSegment, MoreMemoryThanThereIs) {
  const ShmName name;
  constexpr std::size_t kSize = std::size_t{1} << 45;
  const SegmentName nameless[] = {
      {Backing::kMemfd, {}}, {Backing::kAnonymous, {}}, {Backing::kHeap, {}}};
  for (const SegmentName& each : nameless) {
    EXPECT_EQ(code_of(Segment::create(each, kSize, {}, leave_empty)), code_of(ErrorCode::kNoSpace));
  }
  EXPECT_EQ(code_of(Segment::create(name, kSize, {}, leave_empty)), code_of(ErrorCode::kNoSpace));
  EXPECT_EQ(code_of(Segment::create(file_, kSize, {}, leave_empty)), code_of(ErrorCode::kNoSpace));
  EXPECT_FALSE(std::filesystem::exists(name.path()));
  EXPECT_TRUE(directory_.empty());
}

TEST_F(OpenSegment, FilesMayNotBeThisLarge) {
  Child child([&] {
    const rlimit small{4096, 4096};
    if (setrlimit(RLIMIT_FSIZE, &small) != 0) return 1;
    return code_of(create_small(file_)) == code_of(ErrorCode::kNoSpace) ? 0 : 2;
  });
  EXPECT_EQ(child.join(), 0);  // and not killed by SIGXFSZ
}

TEST_F(OpenSegment, AFullFileSystemIsAnErrorAtCreation) {
  if (!is_root() || mount("none", directory_.path("").c_str(), "tmpfs", 0, "size=256k") != 0) {
    GTEST_SKIP() << "needs root to mount a small tmpfs";
  }
  const auto too_large = Segment::create(file_, 1 << 20, {}, leave_empty);
  EXPECT_EQ(code_of(too_large), code_of(ErrorCode::kNoSpace));
  EXPECT_TRUE(directory_.empty());
  const auto huge = Segment::create(file_, 4 << 20, {.huge_pages = HugePages::kTry}, leave_empty);
  EXPECT_EQ(code_of(huge), code_of(ErrorCode::kNoSpace));
  {
    const auto fits = Segment::create(file_, 128 << 10, {}, leave_empty);
    EXPECT_TRUE(fits) << message_of(fits);
    EXPECT_EQ(code_of(Segment::create(directory_.name("b"), 192 << 10, {}, leave_empty)),
              code_of(ErrorCode::kNoSpace));
  }
  EXPECT_EQ(umount(directory_.path("").c_str()), 0);
}

TEST_F(OpenSegment, ADirectoryThatMayNotBeWritten) {
  EXPECT_NE(code_of(create_small({Backing::kFile, "/proc/rondo"})), "no error");
  EXPECT_NE(code_of(create_small({Backing::kFile, "/sys/rondo"})), "no error");
}

}  // namespace
}  // namespace rondo
