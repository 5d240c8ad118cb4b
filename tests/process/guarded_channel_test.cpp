// Guarded rings between processes: who is let in, what may be handed over, and what a hostile or
// killed side can do to the other.
//
//  Who is let in
//   1. AnotherUserIsTurnedAwayUnlessNamed
//   2. AReceiverTurnsAwayAnotherUsersSender
//   3. ASecondReceiverIsTurnedAway
//   4. WhatIsNoGuardedRingIsRefused
//   5. AStalledHandshakeKeepsNoReceiverOut
//   6. AQueueOfThoseWhoAreTurnedAwayDoesNotHoldTheSender
//   7. WithoutDescriptorsASenderSleepsWhileAReceiverConnects
//   8. WhoAsksForReceiversLetsThemIn
//  What is handed over
//   9. ARingWithoutItsSealsIsRefused
//  10. APartWithoutItsSealsOrOfAnotherKindIsRefused
//  11. AnUnpermittedPeersDescriptorDoesNotHoldTheSender
//  12. APendingPeersDescriptorDoesNotHoldTheSender
//  13. ADescriptorInTheQueueDoesNotHoldTheSendersEnd
//  14. WhatAReceiverGetsCanOnlyBeRead
//  Joining a sender that never waits
//  15. ASenderThatOnlySendsLetsAReceiverIn
//  16. ASenderThatHoldsAllBackLetsAReceiverIn
//  17. ASenderThatClosesWaitsForAReceiver
//  18. WhatIsLostWithASenderItIsTold
//  19. ASenderThatClosesIsToldOfAHeadThatIsNonsense
//  20. ASenderThatGoesElsewhereHasNotLostItsName
//  21. AClosingSenderThatAwaitsASuccessorWaitsForIt
//  Death
//  22. AKilledSendersMessagesArriveAndItsDeathIsTold
//  23. ReceiversKilledAtRandomAreFollowed
//  24. SendersKilledAtRandomAreNoticed
//  25. ASenderIsToldThatItsOnlyReceiverDied
//  26. AReceiverThatGivesUpOnItsWayInIsNotTakenForDead
//  27. ASenderThatDiesBeforeItAcceptsIsNotTakenForAnotherProgram
//  28. ASenderThatDiesWhenItHasLetUsInIsNotWaitedFor
//  A hostile receiver
//  29. AReceiverThatScribblesSpoilsNothingOfAnothers
//  Several receivers
//  30. EachOfSeveralReceiversGetsWhatItsPolicySays
//  31. OneKilledAmongSeveralIsNotWaitedFor
//  32. OneThatScribblesAmongSeveralHarmsNoOther
//  33. TooManyReceiversAreTurnedAway
//  34. NamesOfParticipantsReachTheSendersInfo
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/segment.hpp"
#include "support/sanitizers.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr uid_t kOther = 65534;  // "nobody", where a test that runs as root can become it

int connect_raw(const std::string& path) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

Deadline soon() { return Deadline::after(seconds(60)); }

class GuardedChannel : public Watchdog {
 protected:
  GuardedChannel() { chmod(directory_.path().c_str(), 0755); }

  [[nodiscard]] std::string path() const { return directory_.path() + "/ring"; }
  [[nodiscard]] std::string url(const std::string& options = "capacity=4KiB") const {
    return "shm+guarded:" + path() + "?" + options;
  }
  [[nodiscard]] int listen_raw() const {
    const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path().copy(address.sun_path, sizeof address.sun_path - 1);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        listen(fd, 8) != 0) {
      std::abort();
    }
    return fd;
  }

  ScratchDirectory directory_;
  std::mt19937_64 random_{random_seed()};
};

// The wire's messages as bytes, as guarded/wire.hpp lays them out.
struct Offer {
  std::uint64_t magic = 0x4452'4755'444E'4F52;
  std::uint32_t version = 1;
  std::uint32_t verdict = 0;
  std::uint64_t start = 0;
};
struct Answer {
  std::uint64_t magic = Offer{}.magic;
  std::uint32_t version = 1;
  std::uint32_t reserved = 0;
};
struct JoinReply {
  std::uint64_t magic = 0;
  std::uint32_t verdict = ~0u;
  std::uint32_t reader = 0;
  std::uint64_t state = 0;
};

template <class T>
bool send_with(int socket, const T& value, std::vector<int> fds) {
  iovec bytes{const_cast<T*>(&value), sizeof value};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(256 * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(part), fds.data(), fds.size() * sizeof(int));
  }
  return sendmsg(socket, &header, MSG_NOSIGNAL) >= 0;
}

// The message, and the descriptors that came with it.
template <class T>
std::vector<int> receive_all_with(int socket, T& value) {
  iovec bytes{&value, sizeof value};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(256 * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &bytes;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  if (recvmsg(socket, &header, 0) < 0) return {};
  const cmsghdr* part = CMSG_FIRSTHDR(&header);
  if (part == nullptr) return {};
  std::vector<int> fds((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
  std::memcpy(fds.data(), CMSG_DATA(part), fds.size() * sizeof(int));
  return fds;
}

// The message, and the one descriptor that came with it, or -1.
template <class T>
int receive_with(int socket, T& value) {
  const std::vector<int> fds = receive_all_with(socket, value);
  return fds.empty() ? -1 : fds.front();
}

// A process in which a sender does nothing but keep its acceptor, by waiting for a receiver. Not a
// thread: what is forked beside one may find a lock of the allocator taken for ever.
template <class Body>
void beside_a_waiting_sender(const std::string& url, Body&& body) {
  enum : int { kOpening, kOpen, kRefused, kDone };
  Shared<std::atomic<int>> state;
  Child serving([&] {
    auto sender = Sender::open(url);
    *state = sender ? kOpen : kRefused;
    if (!sender) return 1;
    while (*state != kDone) {
      static_cast<void>(sender->wait_for_receiver(Deadline::after(milliseconds(5))));
      static_cast<void>(sender->receiver_attached());
    }
    static_cast<void>(sender->close(Deadline::now()));
    return 0;
  });
  while (*state == kOpening) usleep(100);  // the watchdog bounds it
  ASSERT_EQ(*state, kOpen);
  body();
  *state = kDone;
  EXPECT_EQ(serving.join(), 0);
}

// What opening a receiver comes to, as another user: 0 when it is let in, else 1 + the error.
int open_as(uid_t user, const std::string& url) {
  Child child([&] {
    if (setgid(user) != 0 || setuid(user) != 0) return 250;
    auto receiver = Receiver::open(url, {.wait = soon()});
    return receiver ? 0 : 1 + static_cast<int>(receiver.error().code);
  });
  return child.join();
}
constexpr int failed_with(ErrorCode code) { return 1 + static_cast<int>(code); }

TEST_F(GuardedChannel, AnotherUserIsTurnedAwayUnlessNamed) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  beside_a_waiting_sender(url("mode=0666"), [&] {
    EXPECT_EQ(open_as(kOther, url("uid=0")), failed_with(ErrorCode::kForeignOwner));
  });
  beside_a_waiting_sender(url("mode=0600&uid=65534"), [&] {
    EXPECT_EQ(open_as(kOther, url("uid=0")), failed_with(ErrorCode::kPermission));
  });
  beside_a_waiting_sender(url("mode=0666&uid=65533,65535&gid=12"), [&] {
    EXPECT_EQ(open_as(kOther, url("uid=0")), failed_with(ErrorCode::kForeignOwner));
  });
  beside_a_waiting_sender(url("mode=0666&uid=65533,65534"),
                          [&] { EXPECT_EQ(open_as(kOther, url("uid=0")), 0); });
  beside_a_waiting_sender(url("mode=0666&gid=65534"),
                          [&] { EXPECT_EQ(open_as(kOther, url("uid=0")), 0); });
}

TEST_F(GuardedChannel, AReceiverTurnsAwayAnotherUsersSender) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  beside_a_waiting_sender(url("mode=0666&uid=65534"), [&] {
    EXPECT_EQ(open_as(kOther, url()), failed_with(ErrorCode::kForeignOwner));
  });
}

TEST_F(GuardedChannel, ASecondReceiverIsTurnedAway) {
  beside_a_waiting_sender(url(), [&] {
    auto first = Receiver::open(url(), {.wait = soon()});
    ASSERT_TRUE(first) << first.error().message;
    auto second = Receiver::open(url(), {.wait = soon()});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::kBusy) << second.error().message;
    auto sender = Sender::open(url());
    ASSERT_FALSE(sender);
    EXPECT_EQ(sender.error().code, ErrorCode::kBusy) << sender.error().message;
  });
}

TEST_F(GuardedChannel, WhatIsNoGuardedRingIsRefused) {
  {
    std::ofstream(path()) << "a file";
    EXPECT_FALSE(Sender::open(url()));
    unlink(path().c_str());
  }
  {  // a unix: receiver
    Child other([&] { return Receiver::open("unix:" + path(), {.wait = soon()}) ? 0 : 1; });
    const std::string lock = path() + ".rondo-lock";  // stands until the name is made
    while (access(path().c_str(), F_OK) != 0 || access(lock.c_str(), F_OK) == 0) usleep(100);
    auto receiver = Receiver::open(url(), {.wait = soon()});
    ASSERT_FALSE(receiver);
    EXPECT_EQ(receiver.error().code, ErrorCode::kForeignObject) << receiver.error().message;
    other.signal(SIGKILL);
    other.join();
    unlink(path().c_str());
  }
  const auto refused_with = [&](const auto& message, std::vector<int> fds) {
    const int listening = listen_raw();
    std::thread answering([&] {
      const int fd = accept(listening, nullptr, nullptr);
      send_with(fd, message, fds);
      char byte;
      static_cast<void>(recv(fd, &byte, 1, 0));
      close(fd);
    });
    auto receiver = Receiver::open(url(), {.wait = Deadline::after(milliseconds(500))});
    answering.join();
    close(listening);
    unlink(path().c_str());
    EXPECT_FALSE(receiver);
    return receiver ? ErrorCode::kSystem : receiver.error().code;
  };
  EXPECT_EQ(refused_with(Offer{.magic = 5}, {0}), ErrorCode::kBadMagic);
  EXPECT_EQ(refused_with(Offer{.version = 2}, {0}), ErrorCode::kBadVersion);
  EXPECT_EQ(refused_with(Offer{.verdict = 77}, {}), ErrorCode::kUnsupported);
  EXPECT_EQ(refused_with(std::array<char, 100>{'x'}, {}), ErrorCode::kBadMagic);
  EXPECT_EQ(refused_with(std::array<char, 3>{'x'}, {}), ErrorCode::kBadMagic);
}

TEST_F(GuardedChannel, AStalledHandshakeKeepsNoReceiverOut) {
  beside_a_waiting_sender(url(), [&] {
    std::vector<int> silent;
    for (int i = 0; i < 10; ++i) silent.push_back(connect_raw(path()));
    auto receiver = Receiver::open(url(), {.wait = soon()});
    EXPECT_TRUE(receiver) << receiver.error().message;
    for (const int fd : silent) close(fd);
  });
}

// Each is refused as all places are taken, so none of them becomes a pending peer.
TEST_F(GuardedChannel, AQueueOfThoseWhoAreTurnedAwayDoesNotHoldTheSender) {
  auto pair = open_pair(url());
  ASSERT_TRUE(pair) << pair.error().message;
  std::vector<int> unpermitted_peers;
  for (int i = 0; i < 50; ++i) unpermitted_peers.push_back(connect_raw(path()));
  const auto answered = [&] {
    return std::ranges::count_if(unpermitted_peers, [](int unpermitted) {
      Offer offer;
      return recv(unpermitted, &offer, sizeof offer, MSG_PEEK | MSG_DONTWAIT) > 0;
    });
  };
  EXPECT_TRUE(pair->first.receiver_attached());
  EXPECT_GT(answered(), 0);
  EXPECT_LT(answered(), 40);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(pair->first.receiver_attached());
  EXPECT_EQ(answered(), 50);
  for (const int unpermitted : unpermitted_peers) close(unpermitted);
}

// Each wait sleeps, which the kernel counts, unless the machine stood still until its deadline.
TEST_F(GuardedChannel, WithoutDescriptorsASenderSleepsWhileAReceiverConnects) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  constexpr int kWaits = 40;
  Child child([&] {
    auto sender = Sender::open(url());
    if (!sender || connect_raw(path()) < 0) return 1;
    const rlimit few{64, 64};
    if (setrlimit(RLIMIT_NOFILE, &few) != 0) return 2;
    while (dup(0) >= 0) {
    }
    rusage before{};
    rusage after{};
    getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < kWaits; ++i) {
      if (sender->wait_for_receiver(Deadline::after(milliseconds(10))) != Status::kTimedOut)
        return 3;
    }
    getrusage(RUSAGE_SELF, &after);
    return after.ru_nvcsw - before.ru_nvcsw >= kWaits / 2 ? 0 : 4;
  });
  EXPECT_EQ(child.join(), 0);
}

TEST_F(GuardedChannel, WhoAsksForReceiversLetsThemIn) {
  for (const char* options : {"capacity=4KiB", "capacity=4KiB&readers=2"}) {
    Child child([&] {
      auto sender = Sender::open(url(options));
      if (!sender) return 1;
      while (!sender->receiver_attached()) usleep(100);  // the watchdog bounds it
      return sender->close(soon()) == Status::kOk ? 0 : 2;
    });
    auto receiver = Receiver::open(url(), {.wait = soon()});
    ASSERT_TRUE(receiver) << options << receiver.error().message;
    EXPECT_EQ(receiver->next(soon()).status(), Status::kEnded);
    EXPECT_EQ(child.join(), 0);
  }
}

TEST_F(GuardedChannel, ARingWithoutItsSealsIsRefused) {
  const std::uint64_t size = record_ring::layout_for({4096})->total_bytes;
  constexpr int kAll = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  for (const int missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_FUTURE_WRITE, 0}) {
    const int memory = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    ASSERT_EQ(posix_fallocate(memory, 0, static_cast<off_t>(size)), 0);
    void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    ASSERT_NE(mapped, MAP_FAILED);
    // The last one has its seals, but no ring in it.
    if (missing != 0) {
      ASSERT_TRUE(record_ring::create({static_cast<std::byte*>(mapped), size}, {4096}));
    }
    ASSERT_EQ(fcntl(memory, F_ADD_SEALS, kAll & ~missing), 0);
    const int listening = listen_raw();
    std::thread answering([&] {
      const int fd = accept(listening, nullptr, nullptr);
      send_with(fd, Offer{}, {memory});
      char byte;
      static_cast<void>(recv(fd, &byte, 1, 0));
      close(fd);
    });
    auto receiver = Receiver::open(url(), {.wait = Deadline::after(milliseconds(500))});
    answering.join();
    ASSERT_FALSE(receiver);
    EXPECT_EQ(receiver.error().code, missing != 0 ? ErrorCode::kUnsealed : ErrorCode::kNotReady)
        << receiver.error().message;
    munmap(mapped, size);
    close(memory);
    close(listening);
    unlink(path().c_str());
  }
}

// A part as a receiver makes it, or as it should not be.
struct Part {
  std::size_t size = 4096;
  int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;
  std::uint64_t head = 0;
  bool lock = true;
  bool hollow = false;
};
int make_part(const Part& wish) {
  const int fd = memfd_create("part", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  EXPECT_EQ(ftruncate(fd, static_cast<off_t>(wish.size)), 0);
  if (!wish.hollow) {
    EXPECT_EQ(pwrite(fd, &wish.head, sizeof wish.head, 0), 8);
    const char zero = 0;
    for (std::size_t at = 4095; at < wish.size; at += 4096) {
      EXPECT_EQ(pwrite(fd, &zero, 1, static_cast<off_t>(at)), 1);
    }
  }
  EXPECT_EQ(fcntl(fd, F_ADD_SEALS, wish.seals), 0);
  return fd;
}
int open_again(int fd, int flags) {
  return open(("/proc/self/fd/" + std::to_string(fd)).c_str(), flags | O_CLOEXEC);
}

TEST_F(GuardedChannel, APartWithoutItsSealsOrOfAnotherKindIsRefused) {
  beside_a_waiting_sender(url(), [&] {
    const auto verdict_on = [&](int reading, int locking, int held) {
      const int socket = connect_raw(path());
      Offer offer;
      const int ring = receive_with(socket, offer);
      EXPECT_EQ(offer.verdict, 0u);
      struct flock lock {};
      lock.l_type = F_WRLCK;
      lock.l_start = static_cast<off_t>((std::uint64_t{1} << 40) + 1);
      lock.l_len = 1;
      if (held >= 0) {
        EXPECT_EQ(fcntl(held, F_OFD_SETLK, &lock), 0);
      }
      send_with(socket, Answer{}, {reading, locking});
      JoinReply join_reply;
      receive_with(socket, join_reply);
      close(ring);
      close(socket);
      return join_reply.verdict;
    };
    const auto verdict = [&](const Part& wish) {
      const int part = make_part(wish);
      const int reading = open_again(part, O_RDONLY);
      const int locking = open_again(part, O_RDWR);
      const std::uint32_t found = verdict_on(reading, locking, wish.lock ? part : -1);
      for (const int fd : {part, reading, locking}) close(fd);
      return found;
    };
    constexpr std::uint32_t kUnsound = 3;
    constexpr int kSealed = Part{}.seals;
    EXPECT_EQ(verdict({.seals = kSealed & ~F_SEAL_SHRINK}), kUnsound);
    EXPECT_EQ(verdict({.seals = kSealed & ~F_SEAL_GROW}), kUnsound);
    EXPECT_EQ(verdict({.seals = kSealed & ~F_SEAL_FUTURE_WRITE}), kUnsound);
    EXPECT_EQ(verdict({.size = 8192}), kUnsound);
    EXPECT_EQ(verdict({.size = 2048}), kUnsound);
    EXPECT_EQ(verdict({.hollow = true}), kUnsound);
    EXPECT_EQ(verdict({.head = 8}), kUnsound);
    EXPECT_EQ(verdict({.lock = false}), kUnsound);
    // Descriptors of two files, of a pipe, and of a directory.
    const int one = make_part({});
    const int other = make_part({});
    EXPECT_EQ(verdict_on(one, other, one), kUnsound);
    std::array<int, 2> pipes{};
    ASSERT_EQ(pipe(pipes.data()), 0);
    EXPECT_EQ(verdict_on(pipes[0], pipes[1], -1), kUnsound);
    const int folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    EXPECT_EQ(verdict_on(folder, folder, -1), kUnsound);
    for (const int fd : {one, other, pipes[0], pipes[1], folder}) close(fd);
    // And as it has to be: none of this was held against a later receiver.
    EXPECT_EQ(verdict({}), 0u);
  });
}

// A TCP connection whose closing takes an hour, as the other end does not read what was sent.
class Lingering {
 public:
  // False in a container without a network, not even to itself.
  static bool possible() {
    const auto [mine, other] = make_pair();
    close(other);
    close(mine);
    return mine >= 0;
  }
  Lingering() {
    const auto [mine, other] = make_pair();
    if (mine < 0) std::abort();
    fd_ = mine;
    other_ = other;
    const linger hour{1, 3600};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hour, sizeof hour);
    const std::vector<char> bytes(1 << 20);
    while (send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) > 0) {
    }
  }
  Lingering(const Lingering&) = delete;
  Lingering& operator=(const Lingering&) = delete;
  ~Lingering() {
    close(other_);  // resets, so no side waits any more
    if (fd_ >= 0) close(fd_);
  }
  [[nodiscard]] int fd() const { return fd_; }
  // Ours goes: the process that was given a copy is the last one.
  void give_away() { close(std::exchange(fd_, -1)); }

 private:
  static std::array<int, 2> make_pair() {
    const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* any = reinterpret_cast<sockaddr*>(&address);
    const int mine = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    // Connected as soon as the kernel has put it into the queue.
    const bool connected = bind(listening, any, size) == 0 && listen(listening, 1) == 0 &&
                           getsockname(listening, any, &size) == 0 && connect(mine, any, size) == 0;
    const int other = connected ? accept(listening, nullptr, nullptr) : -1;
    close(listening);
    if (connected) return {mine, other};
    close(mine);
    return {-1, -1};
  }

  int fd_ = -1;
  int other_ = -1;
};

// As on kernels that can't refuse descriptors on a socket (before Linux 6.16).
void forbid_refusing_descriptors() {
  constexpr std::uint32_t kPassRights = 83;
  std::array<sock_filter, 6> program{
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_setsockopt, 0, 3),
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[2])),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kPassRights, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOPROTOOPT),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    _exit(252);
  }
}

// The attackers' sides are all in this process, and the sender in a child, which would stand still.
class GuardedHandover : public GuardedChannel {
 protected:
  void SetUp() override {
    if (!Lingering::possible()) GTEST_SKIP() << "no TCP over 127.0.0.1 here";
  }
  // Sends an answer for each of `sizes`, with so many descriptors whose closing lingers. Those that
  // could be sent are closed here, so that the process that got them would be the last.
  void send_lingering(int socket, const std::vector<std::size_t>& sizes) {
    for (const std::size_t copies : sizes) {
      Lingering& lingering = *lingering_.emplace_back(std::make_unique<Lingering>());
      if (send_with(socket, Answer{}, std::vector<int>(copies, lingering.fd())) && copies != 0) {
        lingering.give_away();
      }
    }
  }
  // Serves until told to end; exits with 0 if it was in order.
  template <class Body>
  void beside(bool old_kernel, const std::string& options, Body&& body) {
    Shared<std::atomic<int>> state;
    Child serving([&] {
      if (old_kernel) forbid_refusing_descriptors();
      auto sender = Sender::open(url(options));
      *state = sender ? 1 : 2;
      while (sender && *state == 1) {
        static_cast<void>(sender->wait_for_receivers(2, Deadline::after(milliseconds(5))));
        ++*turns_;
      }
      return sender && sender->close(Deadline::now()) == Status::kOk ? 0 : 1;
    });
    while (*state == 0) usleep(100);
    ASSERT_EQ(*state, 1);
    body();
    *state = 2;
    EXPECT_EQ(serving.join(), 0);
  }
  // Returns once the sender has been through its acceptor several times since.
  void await_turns() {
    for (const int until = *turns_ + 5; *turns_ < until;) usleep(100);
  }

  std::vector<std::unique_ptr<Lingering>> lingering_;
  Shared<std::atomic<int>> turns_;
};

TEST_F(GuardedHandover, AnUnpermittedPeersDescriptorDoesNotHoldTheSender) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
  for (const bool old_kernel : {false, true}) {
    beside(old_kernel, "capacity=4KiB&mode=0666", [&] {
      for (int i = 0; i < 3; ++i) {
        Child unpermitted([&] {
          if (setgid(kOther) != 0 || setuid(kOther) != 0) return 250;
          const int socket = connect_raw(path());
          send_lingering(socket, {1});
          Offer offer;
          receive_with(socket, offer);
          return static_cast<int>(offer.verdict);
        });
        EXPECT_EQ(unpermitted.join(), 1);
        await_turns();
      }
      auto receiver = Receiver::open(url(""), {.wait = soon()});
      EXPECT_TRUE(receiver) << receiver.error().message;
    });
  }
}

// Whether that process has memory of this name open.
bool has_open(pid_t process, const std::string& memory) {
  const auto open_files = "/proc/" + std::to_string(process) + "/fd";
  std::error_code ignored;
  for (const auto& file : std::filesystem::directory_iterator(open_files)) {
    const auto target = std::filesystem::read_symlink(file, ignored).string();
    if (target.find("memfd:" + memory) != std::string::npos) return true;
  }
  return false;
}

// Memory that is more than a part, or can become more: the sender does not close it, as who closes
// it last has to give it all back to the system.
TEST_F(GuardedHandover, APendingPeersMemoryIsNotFreedByTheSender) {
  constexpr off_t kMuch = 1 << 20;
  const std::string name = "guests." + std::to_string(getpid());
  for (const bool sealed : {false, true}) {
    beside(false, "capacity=4KiB", [&] {
      const int socket = connect_raw(path());
      ucred sender{};
      socklen_t size = sizeof sender;
      ASSERT_EQ(getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &sender, &size), 0);
      Offer offer;
      close(receive_with(socket, offer));
      const int memory = memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
      ASSERT_EQ(ftruncate(memory, 4096), 0);
      ASSERT_EQ(fallocate(memory, FALLOC_FL_KEEP_SIZE, 0, kMuch), 0);
      if (sealed) {
        ASSERT_EQ(fcntl(memory, F_ADD_SEALS, Part{}.seals), 0);
      }
      send_with(socket, Answer{}, {memory, memory});
      close(memory);
      JoinReply join_reply;
      receive_with(socket, join_reply);
      EXPECT_EQ(join_reply.verdict, 3u);
      await_turns();
      EXPECT_TRUE(has_open(sender.pid, name)) << sealed;
      close(socket);
      auto receiver = Receiver::open(url(""), {.wait = soon()});
      EXPECT_TRUE(receiver) << receiver.error().message;
    });
  }
}

// What is allowed in, and hands over something else than its part: instead of it, too much of it,
// behind it.
TEST_F(GuardedHandover, APendingPeersDescriptorDoesNotHoldTheSender) {
  for (const bool old_kernel : {false, true}) {
    beside(old_kernel, "capacity=4KiB&readers=2", [&] {
      for (const std::vector<std::size_t>& sizes :
           {std::vector<std::size_t>{1}, {2}, {3}, {200}, {0, 1}, {1, 1}}) {
        const int socket = connect_raw(path());
        Offer offer;
        close(receive_with(socket, offer));
        EXPECT_EQ(offer.verdict, 0u);
        send_lingering(socket, sizes);
        await_turns();
        JoinReply join_reply;
        receive_with(socket, join_reply);
        EXPECT_NE(join_reply.verdict, 0u);
        close(socket);
      }
      auto receiver = Receiver::open(url(""), {.wait = soon()});
      EXPECT_TRUE(receiver) << receiver.error().message;
    });
  }
}

// A receiver that connects when the sender does not look any more.
TEST_F(GuardedHandover, ADescriptorInTheQueueDoesNotHoldTheSendersEnd) {
  for (const bool old_kernel : {false, true}) {
    Shared<std::atomic<int>> state;
    Child closing([&] {
      if (old_kernel) forbid_refusing_descriptors();
      auto sender = Sender::open(url());
      *state = sender ? 1 : 3;
      while (*state == 1) usleep(100);
      return sender && sender->close(Deadline::now()) == Status::kOk ? 0 : 1;
    });
    while (*state == 0) usleep(100);
    const int socket = connect_raw(path());
    send_lingering(socket, {1});
    *state = 2;
    EXPECT_EQ(closing.join(), 0);
    close(socket);
  }
}

TEST_F(GuardedChannel, WhatAReceiverGetsCanOnlyBeRead) {
  beside_a_waiting_sender(url(), [&] {
    const int socket = connect_raw(path());
    Offer offer;
    const int ring = receive_with(socket, offer);
    ASSERT_GE(ring, 0);
    EXPECT_EQ(fcntl(ring, F_GETFL) & O_ACCMODE, O_RDONLY);
    // As the same user, or root, one can open it for writing; the seals still hold.
    for (const int fd : {ring, open_again(ring, O_RDWR)}) {
      ASSERT_GE(fd, 0);
      const char byte = 1;
      EXPECT_LT(pwrite(fd, &byte, 1, 0), 0);
      EXPECT_EQ(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
      EXPECT_NE(ftruncate(fd, 0), 0);
      EXPECT_NE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
      void* mapped = mmap(nullptr, 4096, PROT_READ, MAP_SHARED, fd, 0);
      ASSERT_NE(mapped, MAP_FAILED);
      EXPECT_NE(mprotect(mapped, 4096, PROT_READ | PROT_WRITE), 0);
      munmap(mapped, 4096);
      close(fd);
    }
    close(socket);
  });
}

// `send_one` sends a message, and asks for nothing else.
template <class SendOne>
void expect_a_receiver_comes_in(const std::string& url, const SendOne& send_one) {
  auto sender = Sender::open(url + "capacity=16MiB");  // it will not come to wait for room
  ASSERT_TRUE(sender) << sender.error().message;
  Shared<std::atomic<bool>> inside;
  Child child([&] {
    auto receiver = Receiver::open(url, {.wait = soon()});
    if (!receiver) return 1;
    *inside = true;
    std::string got = receive(*receiver);
    if (got != "message") return 2;
    while (got == "message") got = receive(*receiver);
    return got == kEndOfStreamText ? 0 : 3;
  });
  // It does not ask meanwhile: receiver_attached() would let one in.
  const Deadline deadline = soon();
  while (!*inside && !deadline.passed()) {
    ASSERT_EQ(send_one(*sender), Status::kOk);
    usleep(1'500);
  }
  EXPECT_TRUE(*inside);
  EXPECT_EQ(sender->close(soon()), Status::kOk);
  EXPECT_EQ(child.join(), 0);
}

TEST_F(GuardedChannel, ASenderThatOnlySendsLetsAReceiverIn) {
  expect_a_receiver_comes_in(url(""), [](Sender& sender) { return sender.try_send("message"); });
}

TEST_F(GuardedChannel, ASenderThatHoldsAllBackLetsAReceiverIn) {
  expect_a_receiver_comes_in(url(""), [](Sender& sender) {
    return sender.try_send(std::string_view("message"), Wake::kLater);
  });
}

TEST_F(GuardedChannel, ASenderThatClosesWaitsForAReceiver) {
  Child child([&] {
    auto receiver = Receiver::open(url(""), {.wait = soon()});
    if (!receiver) return 1;
    if (receive(*receiver) != "only one") return 2;
    return receive(*receiver) == kEndOfStreamText ? 0 : 3;
  });
  auto sender = Sender::open(url());
  ASSERT_TRUE(sender) << sender.error().message;
  ASSERT_EQ(sender->send("only one"), Status::kOk);
  EXPECT_EQ(sender->close(soon()), Status::kOk);
  EXPECT_EQ(child.join(), 0);

  auto unheard = Sender::open(url());
  ASSERT_TRUE(unheard) << unheard.error().message;
  ASSERT_EQ(unheard->send("nobody comes"), Status::kOk);
  EXPECT_EQ(unheard->close(Deadline::after(milliseconds(30))), Status::kTimedOut);
  EXPECT_NE(access(path().c_str(), F_OK), 0);
}

// A receiver of our own making, with nothing but the wire and the kernel: the words of its part, or
// nullptr if it is not let in. It never gives anything back.
std::atomic<std::uint64_t>* be_let_in(const std::string& path) {
  int socket = -1;
  while ((socket = connect_raw(path)) < 0) usleep(100);
  Offer offer;
  const int ring = receive_with(socket, offer);
  const int part = memfd_create("part", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (ring < 0 || ftruncate(part, 4096) != 0) return nullptr;
  auto* words = static_cast<std::atomic<std::uint64_t>*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, part, 0));
  words[0] = offer.start;
  if (fcntl(part, F_ADD_SEALS, Part{}.seals) != 0) return nullptr;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_start = static_cast<off_t>((std::uint64_t{1} << 40) + 1);
  lock.l_len = 1;
  if (fcntl(part, F_OFD_SETLK, &lock) != 0) return nullptr;
  send_with(socket, Answer{}, {open_again(part, O_RDONLY), open_again(part, O_RDWR)});
  JoinReply join_reply;
  receive_with(socket, join_reply);
  return join_reply.verdict == 0 ? words : nullptr;
}

// A receiver that comes and reads nothing.
TEST_F(GuardedChannel, WhatIsLostWithASenderItIsTold) {
  for (const bool killed : {false, true}) {
    for (const bool awaits_successor : {false, true}) {
      auto sender = Sender::open(url(awaits_successor ? "await_successor=1" : "capacity=4KiB"));
      ASSERT_TRUE(sender) << sender.error().message;
      Child child([&] {
        auto receiver = Receiver::open(url(""), {.wait = soon()});
        if (killed) raise(SIGKILL);
        return receiver ? 0 : 1;
      });
      ASSERT_EQ(sender->wait_for_receiver(soon()), Status::kOk);
      EXPECT_EQ(child.join(), killed ? -SIGKILL : 0);
      // It has not been looked after yet, so that this is not refused.
      Status told = sender->send("nobody reads this");
      if (told == Status::kOk) told = sender->close(Deadline::after(milliseconds(30)));
      const Status gone = killed ? Status::kPeerDied : Status::kPeerGone;
      EXPECT_EQ(told, awaits_successor ? Status::kTimedOut : gone) << to_string(told);
    }
  }
}

TEST_F(GuardedChannel, ASenderThatClosesIsToldOfAHeadThatIsNonsense) {
  for (const std::string options : {"await_successor=1", "capacity=4KiB"}) {
    auto sender = Sender::open(url(options));
    ASSERT_TRUE(sender) << sender.error().message;
    Child child([&] {
      auto* words = be_let_in(path());
      if (words == nullptr) return 1;
      words[0] = ~std::uint64_t{7};
      return 0;
    });
    ASSERT_EQ(sender->wait_for_receiver(soon()), Status::kOk);
    EXPECT_EQ(child.join(), 0);
    Status told = sender->send("nobody can say whether this was read");
    if (told == Status::kOk) told = sender->close(soon());
    EXPECT_EQ(told, Status::kCorrupt) << options;
  }
}

// Its name stands where it did.
TEST_F(GuardedChannel, ASenderThatGoesElsewhereHasNotLostItsName) {
  Child child([&] {
    if (chdir(directory_.path().c_str()) != 0) return 1;
    auto sender = Sender::open("shm+guarded:ring");
    if (!sender || chdir("/") != 0) return 2;
    if (!sender->info().at_its_name) return 3;
    if (unlink(path().c_str()) != 0 || sender->info().at_its_name) return 4;
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
}

TEST_F(GuardedChannel, AClosingSenderThatAwaitsASuccessorWaitsForIt) {
  auto sender = Sender::open(url("await_successor=1"));
  ASSERT_TRUE(sender) << sender.error().message;
  Child first([&] { return Receiver::open(url(""), {.wait = soon()}) ? 0 : 1; });
  ASSERT_EQ(sender->wait_for_receiver(soon()), Status::kOk);
  EXPECT_EQ(first.join(), 0);
  ASSERT_EQ(sender->send("for the second"), Status::kOk);
  Child second([&] {
    auto receiver = Receiver::open(url(""), {.wait = soon()});
    if (!receiver || receive(*receiver) != "for the second") return 1;
    return receive(*receiver) == kEndOfStreamText ? 0 : 2;
  });
  EXPECT_EQ(sender->close(soon()), Status::kOk);
  EXPECT_EQ(second.join(), 0);
}

TEST_F(GuardedChannel, AKilledSendersMessagesArriveAndItsDeathIsTold) {
  Shared<std::atomic<int>> sent;
  Child child([&] {
    auto sender = Sender::open(url());
    if (!sender || sender->wait_for_receiver() != Status::kOk) return 1;
    for (int i = 0; i < 10; ++i) {
      if (sender->send("message " + std::to_string(i)) != Status::kOk) return 2;
    }
    sent->store(1);
    pause();
    return 0;
  });
  auto receiver = Receiver::open(url(), {.wait = soon()});
  ASSERT_TRUE(receiver) << receiver.error().message;
  while (sent->load() == 0) usleep(100);
  child.signal(SIGKILL);
  EXPECT_EQ(child.join(), -SIGKILL);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(receive(*receiver), "message " + std::to_string(i));
  EXPECT_EQ(receiver->next(soon()).status(), Status::kPeerDied);
  EXPECT_EQ(unlink(path().c_str()), 0) << "a dead sender's name stays for its successor";
}

struct World {
  std::atomic<std::uint64_t> expected{0};
  std::atomic<std::uint64_t> wrong{0};
  std::atomic<std::uint64_t> committed{0};
};
std::string message_of(std::uint64_t number) {
  return std::string(reinterpret_cast<const char*>(&number), sizeof number) +
         numbered_message(number, number % 400);
}
std::uint64_t number_of(const Message& message) {
  std::uint64_t number = ~std::uint64_t{0};
  if (message.size() >= sizeof number) std::memcpy(&number, message.bytes().data(), sizeof number);
  return number;
}

// Reads until the stream is over; counts what is not the next message as it was sent.
Status read_all(Receiver& receiver, World& world) {
  std::uint64_t expected = ~std::uint64_t{0};
  for (const Message& message : receiver) {
    const std::uint64_t number = number_of(message);
    const bool follows =
        expected == ~std::uint64_t{0} ? number <= world.expected : number == expected;
    if (!follows || message.text() != message_of(number)) ++world.wrong;
    expected = number + 1;
    if (expected > world.expected) world.expected = expected;
  }
  return receiver.status();
}

TEST_F(GuardedChannel, ReceiversKilledAtRandomAreFollowed) {
  Shared<World> world;
  auto sender = Sender::open(url("capacity=16KiB&await_successor=1"));
  ASSERT_TRUE(sender) << sender.error().message;
  std::uint64_t sent = 0;
  const std::uint64_t kills = scaled(200);
  for (std::uint64_t i = 0; i <= kills; ++i) {
    const bool last = i == kills;
    Child child([&] {
      auto receiver = Receiver::open(url(random_() % 2 == 0 ? "ack=eager" : ""), {.wait = soon()});
      if (!receiver) return 1;
      return read_all(*receiver, *world) == Status::kEnded && last ? 0 : 2;
    });
    const Deadline until = Deadline::after(std::chrono::microseconds(random_() % 4'000));
    while (!until.passed()) {
      const Status status = sender->send(message_of(sent), until);
      if (status == Status::kTimedOut) break;
      ASSERT_EQ(status, Status::kOk);
      ++sent;
    }
    if (last) {
      EXPECT_EQ(sender->flush(soon()), Status::kOk);
      EXPECT_EQ(sender->close(soon()), Status::kOk);
      EXPECT_EQ(child.join(), 0);
    } else {
      child.signal(SIGKILL);
      ASSERT_EQ(child.join(), -SIGKILL);
    }
  }
  EXPECT_EQ(world->wrong, 0u);
  EXPECT_EQ(world->expected, sent);
  std::printf("%llu kills, %llu messages\n", static_cast<unsigned long long>(kills),
              static_cast<unsigned long long>(sent));
}

TEST_F(GuardedChannel, SendersKilledAtRandomAreNoticed) {
  const std::uint64_t kills = scaled(200);
  std::uint64_t messages = 0;
  for (std::uint64_t i = 0; i < kills; ++i) {
    Shared<World> world;
    Child child([&] {
      auto sender = Sender::open(url("capacity=16KiB"));
      if (!sender || sender->wait_for_receiver() != Status::kOk) return 1;
      for (std::uint64_t number = 0;; ++number) {
        if (sender->send(message_of(number)) != Status::kOk) return 2;
        world->committed = number + 1;
      }
    });
    auto receiver = Receiver::open(url(""), {.wait = soon()});
    ASSERT_TRUE(receiver) << receiver.error().message;
    std::thread killing([&, after = random_() % 2'500] {
      usleep(static_cast<unsigned>(after));
      child.signal(SIGKILL);
    });
    EXPECT_EQ(read_all(*receiver, *world), Status::kPeerDied);
    killing.join();
    ASSERT_EQ(child.join(), -SIGKILL);
    EXPECT_EQ(world->wrong, 0u);
    EXPECT_GE(world->expected, world->committed);
    messages += world->expected;
  }
  EXPECT_EQ(unlink(path().c_str()), 0);
  std::printf("%llu kills, %llu messages\n", static_cast<unsigned long long>(kills),
              static_cast<unsigned long long>(messages));
}

TEST_F(GuardedChannel, ASenderIsToldThatItsOnlyReceiverDied) {
  for (const bool flushes : {false, true}) {
    auto sender = Sender::open(url());
    ASSERT_TRUE(sender) << sender.error().message;
    Child child([&] {
      auto receiver = Receiver::open(url(""), {.wait = soon()});
      if (receiver) pause();
      return 1;
    });
    ASSERT_EQ(sender->wait_for_receiver(soon()), Status::kOk);
    ASSERT_EQ(sender->send(message_of(0)), Status::kOk);
    child.signal(SIGKILL);
    ASSERT_EQ(child.join(), -SIGKILL);
    Status status = Status::kOk;
    for (std::uint64_t i = 1; status == Status::kOk && i < 1'000; ++i) {
      status = flushes ? sender->flush(soon()) : sender->send(message_of(i), soon());
    }
    EXPECT_EQ(status, Status::kPeerDied) << to_string(status);
  }
}

// Let in, and gone before the join reply reached it: its process was busy for so long. Between the
// two stands a process that keeps the join reply.
TEST_F(GuardedChannel, AReceiverThatGivesUpOnItsWayInIsNotTakenForDead) {
  auto sender = Sender::open("shm+guarded:" + path() + ".sender?capacity=4KiB");
  ASSERT_TRUE(sender) << sender.error().message;
  const int listening = listen_raw();
  std::atomic<bool> stop{false};
  std::optional<ErrorCode> came_to;
  std::thread joining([&] {
    const auto receiver = Receiver::open(url(""), {.wait = soon(), .stop = &stop});
    if (!receiver) came_to = receiver.error().code;
  });
  const int pending = accept(listening, nullptr, nullptr);
  const int connecting = connect_raw(path() + ".sender");
  EXPECT_FALSE(sender->receiver_attached());
  Offer offer;
  const std::vector<int> ring = receive_all_with(connecting, offer);
  EXPECT_TRUE(send_with(pending, offer, ring));
  Answer answer;
  const std::vector<int> part = receive_all_with(pending, answer);
  EXPECT_TRUE(send_with(connecting, answer, part));
  EXPECT_EQ(sender->wait_for_receiver(soon()), Status::kOk);
  stop = true;
  joining.join();
  EXPECT_EQ(came_to, ErrorCode::kTimedOut);
  for (const int fd : {pending, connecting, listening}) close(fd);
  unlink(path().c_str());
  for (const int fd : ring) close(fd);
  for (const int fd : part) close(fd);
  Status status = Status::kOk;
  for (std::uint64_t i = 0; status == Status::kOk && i < 1'000; ++i) {
    status = sender->send(message_of(i), soon());
  }
  EXPECT_EQ(status, Status::kPeerGone) << to_string(status);
}

// The next sender is one that is killed where it stands.
int let_in_by_another_sender(const std::string& url) {
  auto receiver = Receiver::open(url, {.wait = soon()});
  if (!receiver) return 1;
  return receive(*receiver) == "from the next one" ? 0 : 2;
}

TEST_F(GuardedChannel, ASenderThatDiesBeforeItAcceptsIsNotTakenForAnotherProgram) {
  const int listening = listen_raw();
  Child connecting([&] {
    close(listening);
    return let_in_by_another_sender(url(""));
  });
  pollfd waiting{listening, POLLIN, 0};
  ASSERT_EQ(poll(&waiting, 1, 60'000), 1);
  close(listening);  // with the connection that was never accepted
  auto sender = Sender::open(url());
  ASSERT_TRUE(sender) << sender.error().message;
  ASSERT_EQ(sender->wait_for_receiver(soon()), Status::kOk);
  ASSERT_EQ(sender->send("from the next one"), Status::kOk);
  EXPECT_EQ(connecting.join(), 0);
}

TEST_F(GuardedChannel, ASenderThatDiesWhenItHasLetUsInIsNotWaitedFor) {
  const std::uint64_t size = record_ring::layout_for({4096})->total_bytes;
  const int memory = memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(posix_fallocate(memory, 0, static_cast<off_t>(size)), 0);
  void* mapped = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
  ASSERT_NE(mapped, MAP_FAILED);
  ASSERT_TRUE(record_ring::create({static_cast<std::byte*>(mapped), size}, {4096}));
  ASSERT_EQ(fcntl(memory, F_ADD_SEALS, Part{}.seals), 0);
  const int listening = listen_raw();
  Child connecting([&] {
    close(listening);
    return let_in_by_another_sender(url(""));
  });
  const int pending = accept(listening, nullptr, nullptr);
  send_with(pending, Offer{}, {memory});
  Answer answer;
  const int part = receive_with(pending, answer);
  EXPECT_GE(part, 0);
  // Its lock on the part was freed by its death: it never holds one.
  send_with(pending, JoinReply{.magic = Offer{}.magic, .verdict = 0}, {});
  for (const int fd : {pending, listening, part, memory}) close(fd);
  munmap(mapped, size);
  auto sender = Sender::open(url());
  ASSERT_TRUE(sender) << sender.error().message;
  ASSERT_EQ(sender->wait_for_receiver(soon()), Status::kOk);
  ASSERT_EQ(sender->send("from the next one"), Status::kOk);
  EXPECT_EQ(connecting.join(), 0);
}

// Writes anything into the one page that it may write, again and again.
int scribble(const std::string& path, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  auto* words = be_let_in(path);
  if (words == nullptr) return 1;
  for (;;) {
    // Mostly the words that the sender looks at: head, state, waiter, notifier.
    constexpr std::array<std::size_t, 4> kAims{0, 1, 16, 32};
    const std::size_t at = random() % 4 == 0 ? random() % 512 : kAims[random() % 4];
    const std::uint64_t value = random() >> random() % 64;
    if (at == 1) {
      words[at] = value << 8 | random() % 6;  // any policy, and what is none
    } else {
      words[at] = random() % 2 == 0 ? value & ~std::uint64_t{7} : words[at] + 8;
    }
    if (random() % 16 == 0) usleep(static_cast<unsigned>(random() % 50));
  }
}

// The sender must not crash or hang; and it does not take anything from there beyond its bounds
// (ASan would see).
TEST_F(GuardedChannel, AReceiverThatScribblesSpoilsNothingOfAnothers) {
  const std::uint64_t rounds = scaled(40);
  for (std::uint64_t round = 0; round < rounds; ++round) {
    const std::uint64_t seed = random_();
    Child hostile([&] { return scribble(path(), seed); });
    auto sender = Sender::open(url());
    ASSERT_TRUE(sender) << sender.error().message;
    ASSERT_EQ(sender->wait_for_receiver(soon()), Status::kOk);
    Status status = Status::kOk;
    for (std::uint64_t i = 0; i < 2'000 && (status == Status::kOk || status == Status::kTimedOut);
         ++i) {
      status = sender->send(message_of(i), Deadline::after(std::chrono::microseconds(200)));
    }
    EXPECT_TRUE(status == Status::kOk || status == Status::kTimedOut ||
                status == Status::kCorrupt || status == Status::kPeerGone)
        << to_string(status);
    static_cast<void>(sender->info());
    static_cast<void>(sender->close(Deadline::now()));
    hostile.signal(SIGKILL);
    ASSERT_EQ(hostile.join(), -SIGKILL);
  }
}

// Reads a stream of numbered messages to its end. What was lost has to add up.
int read_with_policy(const std::string& url, bool may_lose, std::uint64_t count) {
  auto receiver = Receiver::open(url, {.wait = soon()});
  if (!receiver) return 1;
  std::uint64_t expected = 0;
  for (const Message& message : *receiver) {
    const std::uint64_t number = number_of(message);
    const std::string copy(message.text());
    // Overwritten while it was read, its number included.
    if (may_lose && !message.intact()) continue;
    if (may_lose ? number < expected : number != expected) return 2;
    if (copy != message_of(number)) return 3;
    expected = number + 1;
  }
  if (receiver->status() != Status::kEnded) return 4;
  return may_lose || expected == count ? 0 : 5;
}

TEST_F(GuardedChannel, EachOfSeveralReceiversGetsWhatItsPolicySays) {
  constexpr std::uint64_t kCount = 20'000;
  auto sender = Sender::open(url("capacity=16KiB&readers=4"));
  ASSERT_TRUE(sender) << sender.error().message;
  Child one([&] { return read_with_policy(url(""), false, kCount); });
  Child two([&] { return read_with_policy(url("policy=reliable"), false, kCount); });
  Child lossy([&] { return read_with_policy(url("policy=lossy"), true, kCount); });
  Child latest([&] { return read_with_policy(url("policy=latest&from=newest"), true, kCount); });
  ASSERT_EQ(sender->wait_for_receivers(4, soon()), Status::kOk);
  for (std::uint64_t i = 0; i < kCount; ++i) {
    ASSERT_EQ(sender->send(message_of(i), soon()), Status::kOk);
  }
  EXPECT_EQ(std::get<BroadcastInfo>(sender->info().kind).readers.size(), 4u);
  EXPECT_EQ(sender->close(soon()), Status::kOk);
  EXPECT_EQ(one.join(), 0);
  EXPECT_EQ(two.join(), 0);
  EXPECT_EQ(lossy.join(), 0);
  EXPECT_EQ(latest.join(), 0);
}

TEST_F(GuardedChannel, OneKilledAmongSeveralIsNotWaitedFor) {
  const std::uint64_t kills = scaled(200);
  auto sender = Sender::open(url("capacity=16KiB&readers=3"));
  ASSERT_TRUE(sender) << sender.error().message;
  Shared<std::atomic<std::uint64_t>> total;
  Child honest([&] {
    auto receiver = Receiver::open(url(""), {.wait = soon()});
    if (!receiver) return 1;
    std::uint64_t expected = 0;
    for (const Message& message : *receiver) {
      if (message.text() != message_of(expected)) return 2;
      ++expected;
    }
    return receiver->status() == Status::kEnded && expected == total->load() ? 0 : 3;
  });
  ASSERT_EQ(sender->wait_for_receivers(1, soon()), Status::kOk);
  std::uint64_t sent = 0;
  for (std::uint64_t i = 0; i < kills; ++i) {
    Child victim([&] {
      const char* policy = random_() % 3 == 0 ? "policy=lossy" : "policy=reliable";
      auto receiver = Receiver::open(url(policy), {.wait = soon()});
      if (!receiver) return 1;
      std::uint64_t sum = 0;
      for (const Message& message : *receiver) sum += number_of(message);
      return sum == 0 ? 2 : 3;
    });
    const Deadline until = Deadline::after(std::chrono::microseconds(random_() % 5'000));
    while (!until.passed()) {
      const Status status = sender->send(message_of(sent), until);
      if (status == Status::kTimedOut) break;
      ASSERT_EQ(status, Status::kOk);
      ++sent;
    }
    victim.signal(SIGKILL);
    ASSERT_EQ(victim.join(), -SIGKILL);
    // The dead one's place, and its share of the space, are there again.
    for (int more = 0; more < 100; ++more) {
      ASSERT_EQ(sender->send(message_of(sent), soon()), Status::kOk);
      ++sent;
    }
  }
  total->store(sent);
  EXPECT_EQ(sender->close(soon()), Status::kOk);
  EXPECT_EQ(honest.join(), 0);
  std::printf("%llu kills, %llu messages\n", static_cast<unsigned long long>(kills),
              static_cast<unsigned long long>(sent));
}

TEST_F(GuardedChannel, OneThatScribblesAmongSeveralHarmsNoOther) {
  const std::uint64_t rounds = scaled(20);
  constexpr std::uint64_t kCount = 3'000;
  for (std::uint64_t round = 0; round < rounds; ++round) {
    std::uint32_t hostile_reader = ~0u;
    OpenOptions wishes;
    wishes.on_slow_reader = [&](const SlowReader& slow) { return slow.reader == hostile_reader; };
    auto sender = Sender::open(url("capacity=16KiB&readers=3"), wishes);
    ASSERT_TRUE(sender) << sender.error().message;
    const std::uint64_t seed = random_();
    Child hostile([&] { return scribble(path(), seed); });
    Child reliable([&] { return read_with_policy(url(""), false, kCount); });
    Child lossy([&] { return read_with_policy(url("policy=lossy"), true, kCount); });
    const Deadline deadline = soon();
    while (sender->info().participants.size() < 4 && !deadline.passed()) {
      static_cast<void>(sender->wait_for_receivers(3, Deadline::after(milliseconds(5))));
    }
    for (const ParticipantInfo& info : sender->info().participants) {
      if (info.pid == static_cast<std::uint32_t>(hostile.pid())) hostile_reader = info.slot - 1;
    }
    ASSERT_LT(hostile_reader, 3u);
    // Inside is not joined: only a receiver that has joined is waited for. Before, it is as one
    // that has left.
    const auto honest_have_joined = [&] {
      std::uint32_t joined = 0;
      const ChannelInfo channel = sender->info();
      for (const ReaderInfo& reader : channel.readers()) {
        const bool reads =
            reader.policy == ReaderPolicy::kReliable || reader.policy == ReaderPolicy::kLossy;
        joined += reader.reader != hostile_reader && reads;
      }
      return joined == 2;
    };
    while (!honest_have_joined() && !deadline.passed()) usleep(100);
    for (std::uint64_t i = 0; i < kCount; ++i) {
      ASSERT_EQ(sender->send(message_of(i), soon()), Status::kOk);
    }
    static_cast<void>(sender->info());
    EXPECT_EQ(sender->close(soon()), Status::kOk);
    EXPECT_EQ(reliable.join(), 0);
    EXPECT_EQ(lossy.join(), 0);
    hostile.signal(SIGKILL);
    ASSERT_EQ(hostile.join(), -SIGKILL);
  }
}

TEST_F(GuardedChannel, TooManyReceiversAreTurnedAway) {
  beside_a_waiting_sender(url("capacity=4KiB&readers=2"), [&] {
    auto first = Receiver::open(url(""), {.wait = soon()});
    auto second = Receiver::open(url("policy=lossy"), {.wait = soon()});
    ASSERT_TRUE(first && second);
    auto third = Receiver::open(url(""), {.wait = soon()});
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, ErrorCode::kBusy);
    first->detach();
    auto fourth = Receiver::open(url(""), {.wait = soon()});
    EXPECT_TRUE(fourth) << fourth.error().message;
  });
}

TEST_F(GuardedChannel, NamesOfParticipantsReachTheSendersInfo) {
  for (const std::uint32_t readers : {1u, 2u}) {
    auto sender = Sender::open(url("capacity=4KiB&readers=" + std::to_string(readers)),
                               {.name = "the one who sends"});
    ASSERT_TRUE(sender) << sender.error().message;
    Child receiving([&] {
      auto receiver = Receiver::open(url(""), {.wait = soon(), .name = "the one who reads"});
      return receiver && receiver->next(soon()).status() == Status::kEnded ? 0 : 1;
    });
    ASSERT_EQ(sender->wait_for_receivers(1, soon()), Status::kOk);
    const ChannelInfo info = sender->info();
    ASSERT_EQ(info.participants.size(), 2u);
    EXPECT_EQ(info.participants[0].name, "the one who sends");
    EXPECT_EQ(info.participants[1].name, "the one who reads");
    if (readers == 2) {
      ASSERT_EQ(info.readers().size(), 1u);
      EXPECT_EQ(info.readers()[0].name, "the one who reads");
      EXPECT_EQ(info.readers()[0].pid, static_cast<std::uint32_t>(receiving.pid()));
    }
    sender->close(soon());
    EXPECT_EQ(receiving.join(), 0);
  }
}

}  // namespace
}  // namespace rondo::testing
