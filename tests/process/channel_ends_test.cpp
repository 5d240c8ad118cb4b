// What a channel says at its end is true, whatever the order of lives; the case of one sender and
// one receiver in full is channel_lives_test.
//
//   1. ASenderThatLostItsReceiverLeavesNoEndMark
//   2. AReceiverThatComesIntoAClosingSenderIsToldOfItsEnd
//   3. AnEndThatWasNotToldIsStillToBeRead
//   4. AReceiverThatAwaitsASuccessorWaitsPastABrokenOffStream
//   5. WhatIsNotAcknowledgedHasNotArrived
//   6. AProbeThatFailsIsNeitherLifeNorDeath
//   7. WhatAKilledReliableReaderHasNotReadKeepsTheName
//   8. WhatReadersLeaveWithoutASenderKeepsTheName
//   9. WhatReceiversWhoShareLeaveUnreadKeepsTheName
//  10. ASharingSenderThatLostItsReceiversIsNoEnd
//  11. WhatNoViewerHasSeenKeepsTheName
//  12. ARemovalIsRefusedWhileAParticipantIsAttached
//  13. ASuccessorThatSendsNothingSaysItsOwnEnd
//  14. WhatNoReceiverCameForKeepsTheName
//  15. AReceiverThatPassesOverWhatWasLeftTakesNothingAway
//  16. ASenderLearnsThatAReceiverLeftWhichReadNothingOfIts
#include <errno.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <set>
#include <stdexcept>
#include <string>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;

const std::string kBrokenOffText = "<" + std::string(to_string(Status::kPeerGone)) + ">";
const std::string kDiedText = "<" + std::string(to_string(Status::kPeerDied)) + ">";

class ChannelEndsTest : public ::testing::Test {
 protected:
  ChannelEndsTest() { alarm(240); }
  ~ChannelEndsTest() override {
    alarm(0);
    static_cast<void>(remove(url_, true));
  }

  template <class Handle>
  [[nodiscard]] Handle open(const std::string& options = "", const OpenOptions& wishes = {}) const {
    auto handle = Handle::open(url_ + options, wishes);
    if (!handle) throw std::runtime_error(handle.error().message);
    return std::move(handle).value();
  }
  [[nodiscard]] bool name_exists() const {
    return access(("/dev/shm/rondo-" + url_.substr(4)).c_str(), F_OK) == 0;
  }

  std::string url_ = "shm:" + unique_word();
};

TEST_F(ChannelEndsTest, ASenderThatLostItsReceiverLeavesNoEndMark) {
  Sender sender = open<Sender>("?capacity=4KiB");
  const std::string message(500, 'm');
  while (sender.try_send(message) == Status::kOk) {
  }
  run_and_kill([&] {
    auto* receiver = new Receiver(open<Receiver>("?ack=eager"));
    return receive(*receiver) == message ? 0 : 1;
  });
  Status status = Status::kOk;
  while (status == Status::kOk) status = sender.send(message);
  EXPECT_EQ(status, Status::kPeerDied);
  // The next one comes before the sender has drawn its conclusion.
  Receiver second = open<Receiver>();
  EXPECT_EQ(sender.close(), Status::kPeerDied);
  std::string last = message;
  while (last == message) last = receive(second);
  EXPECT_EQ(last, kBrokenOffText);
}

TEST_F(ChannelEndsTest, AReceiverThatComesIntoAClosingSenderIsToldOfItsEnd) {
  { const Sender first = open<Sender>("?keep=1"); }
  Receiver receiver = open<Receiver>("?keep=1");
  ASSERT_EQ(receive(receiver), kEndOfStreamText);
  receiver.detach();
  // Its end mark stands already, and is behind the place where the receiver begins.
  Sender closing = open<Sender>("?keep=1");
  receiver = open<Receiver>();
  EXPECT_EQ(closing.close(), Status::kOk);
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
}

TEST_F(ChannelEndsTest, AnEndThatWasNotToldIsStillToBeRead) {
  { const Sender sender = open<Sender>("?keep=1"); }
  { const Receiver asks_for_nothing = open<Receiver>("?keep=1"); }
  Receiver receiver = open<Receiver>();
  EXPECT_EQ(receive(receiver), kEndOfStreamText);
}

TEST_F(ChannelEndsTest, AReceiverThatAwaitsASuccessorWaitsPastABrokenOffStream) {
  Sender first = open<Sender>();
  Receiver receiver = open<Receiver>("?await_successor=1");
  ASSERT_EQ(first.send("first"), Status::kOk);
  first.break_off();
  ASSERT_EQ(receive(receiver), "first");
  EXPECT_FALSE(receiver.try_next());
  EXPECT_EQ(receiver.status(), Status::kOk);
  Sender second = open<Sender>();
  ASSERT_EQ(second.send("second"), Status::kOk);
  EXPECT_EQ(receive(receiver), "second");
}

TEST_F(ChannelEndsTest, WhatIsNotAcknowledgedHasNotArrived) {
  for (const std::string options : {"?readers=1", "?readers=2"}) {
    Sender sender = open<Sender>(options);
    Receiver receiver = open<Receiver>("?ack=explicit");
    for (const char* text : {"1", "2", "3"}) ASSERT_EQ(sender.send(text), Status::kOk);
    EXPECT_EQ(receive(receiver), "1");
    EXPECT_EQ(receive(receiver), "2");
    receiver.acknowledge();
    EXPECT_EQ(receive(receiver), "3");
    EXPECT_FALSE(receiver.try_next()) << "finding nothing acknowledges nothing";
    EXPECT_EQ(sender.flush(Deadline::now()), Status::kWouldBlock);
    if (options == "?readers=1") {
      receiver.detach();
      receiver = open<Receiver>("?ack=explicit");
      EXPECT_EQ(receive(receiver), "3");
    }
    receiver.acknowledge();
    EXPECT_EQ(sender.flush(), Status::kOk);
    EXPECT_EQ(sender.close(), Status::kOk);
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
    receiver.detach();
    EXPECT_FALSE(name_exists());
  }
}

// Every F_OFD_GETLK of this process fails from now on, as a file system that runs out of locks has
// it. For a child.
void let_probes_fail() {
  const auto load = [](std::size_t offset) {
    return sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
  };
  sock_filter code[] = {
      load(offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
      load(offsetof(seccomp_data, args) + sizeof(std::uint64_t)),  // its command
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_OFD_GETLK, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOLCK),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(std::size(code)), code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) _exit(98);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(97);
}

TEST_F(ChannelEndsTest, AProbeThatFailsIsNeitherLifeNorDeath) {
  for (const std::string options : {"?capacity=4KiB", "?capacity=4KiB&readers=2"}) {
    Child child([&] {
      Sender sender = open<Sender>(options);
      Receiver receiver = open<Receiver>();
      let_probes_fail();
      const std::string message(500, 'm');
      // A ring that is full, of a receiver that is there: waited for.
      while (sender.try_send(message) == Status::kOk) {
      }
      if (sender.send(message, Deadline::after(milliseconds(150))) != Status::kTimedOut) return 1;
      // An empty one, of a sender that is there: the same.
      while (receiver.try_next()) {
      }
      if (receiver.next(Deadline::after(milliseconds(150))).status() != Status::kTimedOut) return 2;
      // No peer is known to be there.
      if (sender.receiver_attached()) return 3;
      receiver.detach();
      static_cast<void>(sender.close());
      // Nor to be the last: the name stays.
      return name_exists() ? 0 : 4;
    });
    EXPECT_EQ(child.join(), 0) << options;
    static_cast<void>(remove(url_, true));
  }
}

TEST_F(ChannelEndsTest, WhatAKilledReliableReaderHasNotReadKeepsTheName) {
  Sender sender = open<Sender>("?readers=2");
  for (const char* text : {"1", "2", "3"}) ASSERT_EQ(sender.send(text), Status::kOk);
  run_and_kill([&] {
    auto* reader = new Receiver(open<Receiver>("?ack=eager&name=one"));
    return receive(*reader) == "1" ? 0 : 1;
  });
  EXPECT_EQ(sender.flush(), Status::kOk) << "the dead are not waited for";
  EXPECT_EQ(sender.close(), Status::kOk);
  ASSERT_TRUE(name_exists());
  Receiver next = open<Receiver>("?name=one");
  EXPECT_EQ(receive(next), "2");
  EXPECT_EQ(receive(next), "3");
  EXPECT_EQ(receive(next), kEndOfStreamText);
  next.detach();
  EXPECT_FALSE(name_exists());
}

TEST_F(ChannelEndsTest, WhatReadersLeaveWithoutASenderKeepsTheName) {
  {
    Sender sender = open<Sender>("?readers=2");
    for (const char* text : {"1", "2", "3"}) ASSERT_EQ(sender.send(text), Status::kOk);
  }
  Receiver first = open<Receiver>();
  Receiver second = open<Receiver>();
  EXPECT_EQ(receive(first), "1");
  EXPECT_EQ(receive(second), "1");
  EXPECT_EQ(receive(second), "2");
  first.detach();
  second.detach();
  ASSERT_TRUE(name_exists()) << "nobody has read the third";
  Receiver third = open<Receiver>();
  while (receive(third) != "3") {
  }
  third.detach();
  EXPECT_FALSE(name_exists());
}

TEST_F(ChannelEndsTest, WhatReceiversWhoShareLeaveUnreadKeepsTheName) {
  Sender sender = open<Sender>("?kind=mpmc");
  Receiver first = open<Receiver>();
  for (const char* text : {"1", "2", "3"}) ASSERT_EQ(sender.send(text), Status::kOk);
  EXPECT_EQ(sender.close(), Status::kOk);
  EXPECT_EQ(receive(first), "1");
  first.detach();
  ASSERT_TRUE(name_exists());
  run_and_kill([&] {
    auto* holds = new Receiver(open<Receiver>());
    static auto message = holds->next();
    return message && message->text() == "2" ? 0 : 1;
  });
  { const Receiver reads_nothing = open<Receiver>(); }
  ASSERT_TRUE(name_exists());
  Receiver last = open<Receiver>();
  std::set<std::string> rest{receive(last)};
  rest.insert(receive(last));
  EXPECT_EQ(rest, (std::set<std::string>{"2", "3"})) << "also what the dead one held";
  EXPECT_EQ(receive(last), kEndOfStreamText);
  last.detach();
  EXPECT_FALSE(name_exists());
}

TEST_F(ChannelEndsTest, ASharingSenderThatLostItsReceiversIsNoEnd) {
  Sender sender = open<Sender>("?kind=mpmc&slots=2");
  run_and_kill([&] { return new Receiver(open<Receiver>()) == nullptr ? 1 : 0; });
  Status status = Status::kOk;
  while (status == Status::kOk) status = sender.send("m");
  EXPECT_EQ(status, Status::kPeerDied);
  Receiver late = open<Receiver>();
  EXPECT_EQ(sender.close(), Status::kPeerDied);
  EXPECT_EQ(receive(late), "m");
  EXPECT_EQ(receive(late), "m");
  EXPECT_EQ(receive(late), kDiedText);
}

TEST_F(ChannelEndsTest, WhatNoViewerHasSeenKeepsTheName) {
  Sender sender = open<Sender>("?kind=frames&frame_size=4KiB&readers=2");
  Receiver viewer = open<Receiver>();
  ASSERT_EQ(sender.send("1"), Status::kOk);
  EXPECT_EQ(receive(viewer), "1");
  ASSERT_EQ(sender.send("2"), Status::kOk);
  sender.break_off();
  viewer.detach();
  ASSERT_TRUE(name_exists());
  Receiver next = open<Receiver>("?from=newest");
  EXPECT_EQ(receive(next), "2");
  EXPECT_EQ(receive(next), kDiedText) << "broken off, and no end";
  next.detach();
  EXPECT_FALSE(name_exists());
}

TEST_F(ChannelEndsTest, ARemovalIsRefusedWhileAParticipantIsAttached) {
  const SegmentName name{Backing::kSharedMemory, url_.substr(4)};
  {
    const Sender sender = open<Sender>("?keep=1");
    const auto removed = Segment::remove(name, Segment::Remove::kIfUnused);
    ASSERT_FALSE(removed);
    EXPECT_EQ(removed.error().code, ErrorCode::kBusy);
    EXPECT_TRUE(name_exists());
  }
  EXPECT_TRUE(Segment::remove(name, Segment::Remove::kIfUnused));
  EXPECT_FALSE(name_exists());
}

TEST_F(ChannelEndsTest, ASuccessorThatSendsNothingSaysItsOwnEnd) {
  {  // One that gives up behind an end.
    { const Sender well = open<Sender>("?keep=1"); }
    Sender gives_up = open<Sender>("?keep=1");
    Receiver first = open<Receiver>("?keep=1");
    EXPECT_EQ(receive(first), kEndOfStreamText);
    first.detach();
    Receiver second = open<Receiver>("?keep=1");
    gives_up.break_off();
    EXPECT_EQ(receive(second), kBrokenOffText);
  }
  // And one that ends well behind one that gave up: a receiver that awaited it is told.
  Sender gives_up = open<Sender>("?keep=1");
  Receiver awaits = open<Receiver>("?await_successor=1");
  gives_up.break_off();
  EXPECT_FALSE(awaits.try_next());
  { const Sender well = open<Sender>(); }
  EXPECT_EQ(receive(awaits), kEndOfStreamText);
}

TEST_F(ChannelEndsTest, WhatNoReceiverCameForKeepsTheName) {
  for (const std::string options :
       {"?readers=2", "?kind=frames&frame_size=4KiB&readers=2", "?kind=mpmc"}) {
    Sender sender = open<Sender>(options);
    ASSERT_EQ(sender.send("1"), Status::kOk);
    {
      Receiver leaves = open<Receiver>();
      EXPECT_EQ(receive(leaves), "1");
    }
    ASSERT_EQ(sender.send("2"), Status::kOk);
    static_cast<void>(sender.close());
    ASSERT_TRUE(name_exists() || options == "?kind=mpmc") << "its receivers left in order";
    if (!name_exists()) continue;
    Receiver comes = open<Receiver>("?from=newest");
    EXPECT_EQ(receive(comes), "2");
    EXPECT_EQ(receive(comes), kEndOfStreamText);
    comes.detach();
    static_cast<void>(remove(url_));
  }
}

TEST_F(ChannelEndsTest, AReceiverThatPassesOverWhatWasLeftTakesNothingAway) {
  {
    Sender sender = open<Sender>("?readers=2");
    for (const char* text : {"1", "2", "3"}) ASSERT_EQ(sender.send(text), Status::kOk);
  }
  for (const std::string options : {"?from=newest", "?policy=latest"}) {
    Receiver passes_over = open<Receiver>(options);
    EXPECT_EQ(receive(passes_over), "3");
    passes_over.detach();
    EXPECT_TRUE(name_exists()) << options;
  }
}

TEST_F(ChannelEndsTest, ASenderLearnsThatAReceiverLeftWhichReadNothingOfIts) {
  run_and_kill([&] {
    auto* sender = new Sender(open<Sender>());
    for (int i = 0; i < 10; ++i) {
      if (sender->send("earlier") != Status::kOk) return 1;
    }
    return 0;
  });
  {
    Receiver first = open<Receiver>();
    EXPECT_EQ(receive(first), "earlier");
  }
  Sender sender = open<Sender>();
  ASSERT_EQ(sender.send("ours"), Status::kOk);
  EXPECT_EQ(sender.flush(Deadline::after(milliseconds(120))), Status::kTimedOut)
      << "nobody has come to it";
  {
    Receiver second = open<Receiver>();
    EXPECT_EQ(receive(second), "earlier");
  }
  EXPECT_EQ(sender.flush(), Status::kPeerGone);
  EXPECT_EQ(sender.close(), Status::kPeerGone);
  EXPECT_TRUE(name_exists()) << "what the earlier one sent is nobody's to throw away";
}

}  // namespace
}  // namespace rondo::testing
