// Each system call that moves packets fails once with each error that it can have: nothing is lost
// untold, and the handle goes on or says why it does not.
//
//   1. OfASend
//   2. OfASendOfMany
//   3. OfAReceive
//   4. OfAReceiveOfMany
//   5. OfAnOpen
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "support/system_call_filter.hpp"

namespace rondo::testing {
namespace {

constexpr int kNoFilter = 77;

class PacketErrors : public Watchdog {
 protected:
  // What `use` returns in a process in which the call fails, once both ends are open.
  template <class Use>
  int with_failing(long call, int error, const std::string& options, Use&& use) {
    Child child([&] {
      auto pair = open_pair("unix-seqpacket:" + directory_.path() + "/name" + options);
      if (!pair) return 99;
      auto& [sender, receiver] = *pair;
      // So that the next call is one for many packets.
      if (sender.try_send(bytes_of("first")) != Status::kOk) return 98;
      if (receive(receiver) != "first") return 97;
      const int result = use(sender, receiver, [&] { return forbid_system_call(call, error); });
      _exit(result);  // a handle tries for long to send what is left
    });
    return child.join();
  }
  ScratchDirectory directory_;
};

struct Expected {
  int error;
  Status status;
};

int judge(Status found, Status expected) {
  return found == expected ? 0 : 10 + static_cast<int>(found);
}

// What is refused for now stays with the sender.
constexpr Expected kSending[]{
    {EINTR, Status::kOk},          {EAGAIN, Status::kOk},
    {EPIPE, Status::kPeerGone},    {ECONNRESET, Status::kPeerGone},
    {ENOTCONN, Status::kPeerGone}, {ECONNREFUSED, Status::kPeerGone},
    {EMSGSIZE, Status::kIoError},  {ENOBUFS, Status::kIoError},
    {ENOMEM, Status::kIoError},    {EPERM, Status::kIoError},
};

TEST_F(PacketErrors, OfASend) {
  for (const auto& [error, expected] : kSending) {
    const int result = with_failing(
        SYS_sendto, error, "", [expected = expected](Sender& sender, Receiver&, auto fail) {
          if (!fail()) return kNoFilter;
          const int found = judge(sender.try_send(bytes_of("x")), expected);
          const bool kept = sender.info().pending_bytes > 0;
          return found != 0 ? found : kept ? 0 : 5;
        });
    if (result == kNoFilter) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(result, 0) << error;
  }
}

TEST_F(PacketErrors, OfASendOfMany) {
  for (const auto& [error, expected] : kSending) {
    const int result = with_failing(
        SYS_sendmmsg, error, "", [expected = expected](Sender& sender, Receiver&, auto fail) {
          if (!fail()) return kNoFilter;
          Sender::Batch batch(sender);
          for (int i = 0; i < 2; ++i) {
            if (batch.try_add(bytes_of(std::string(20'000, 'x'))) != Status::kOk) return 6;
          }
          const Status found = std::move(batch).commit(Deadline::now());
          const bool kept = sender.info().pending_bytes > 40'000;
          return found != expected ? judge(found, expected) : kept ? 0 : 5;
        });
    if (result == kNoFilter) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(result, 0) << error;
  }
}

constexpr Expected kReceiving[]{
    {EINTR, Status::kWouldBlock},  {EAGAIN, Status::kWouldBlock}, {ECONNRESET, Status::kPeerDied},
    {ENOTCONN, Status::kPeerDied}, {ENOMEM, Status::kIoError},    {EPERM, Status::kIoError},
};

TEST_F(PacketErrors, OfAReceive) {
  for (const auto& [error, expected] : kReceiving) {
    const int result =
        with_failing(SYS_recvfrom, error, "",
                     [expected = expected](Sender& sender, Receiver& receiver, auto fail) {
                       // Behind a large packet one is received at a time.
                       if (sender.try_send(bytes_of(std::string(20'000, 'x'))) != Status::kOk)
                         return 6;
                       if (receive(receiver).size() != 20'000) return 7;
                       if (sender.try_send(bytes_of("x")) != Status::kOk) return 8;
                       if (!fail()) return kNoFilter;
                       return judge(receiver.next(Deadline::now()).status(), expected);
                     });
    if (result == kNoFilter) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(result, 0) << error;
  }
}

TEST_F(PacketErrors, OfAReceiveOfMany) {
  for (const auto& [error, expected] : kReceiving) {
    const int result =
        with_failing(SYS_recvmmsg, error, "",
                     [expected = expected](Sender& sender, Receiver& receiver, auto fail) {
                       if (sender.try_send(bytes_of("x")) != Status::kOk) return 8;
                       if (!fail()) return kNoFilter;
                       return judge(receiver.next(Deadline::now()).status(), expected);
                     });
    if (result == kNoFilter) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(result, 0) << error;
  }
}

// Nothing stays behind: the directory is empty in the end.
TEST_F(PacketErrors, OfAnOpen) {
  const std::string url = "unix-seqpacket:" + directory_.path() + "/name";
  const std::vector<std::pair<long, std::vector<int>>> calls{
      {SYS_socket, {EMFILE, ENFILE, ENOMEM, EACCES, EAFNOSUPPORT}},
      {SYS_bind, {EACCES, ENOMEM, EROFS}},
      {SYS_listen, {EADDRINUSE, ENOMEM}},
      {SYS_connect, {EACCES, ENOMEM}},
      {SYS_accept4, {EMFILE, ENFILE, ENOMEM, ENOBUFS}},
      {SYS_getsockopt, {ENOBUFS, EINVAL}},
  };
  for (const auto& [call, errors] : calls) {
    for (const int error : errors) {
      Child child([&, call = call] {
        if (!forbid_system_call(call, error)) return kNoFilter;
        const auto pair = open_pair(url, {.wait = Deadline::after(std::chrono::seconds(60))});
        return pair ? 1 : pair.error().message.empty() ? 2 : 0;
      });
      const int result = child.join();
      if (result == kNoFilter) GTEST_SKIP() << "no seccomp here";
      EXPECT_EQ(result, 0) << call << " " << error;
    }
  }
  Child child([&] {
    if (!forbid_system_call(SYS_setsockopt, EPERM)) return kNoFilter;
    const auto pair = open_pair(url + "?max=1MiB");
    return !pair && pair.error().code == ErrorCode::kInvalidCapacity &&
                   pair.error().message.find("wmem_max") != std::string::npos
               ? 0
               : 1;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_TRUE(open_pair(url + "?max=1MiB"));
}

}  // namespace
}  // namespace rondo::testing
