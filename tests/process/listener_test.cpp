// Listener and Connection: many at one address, strangers among them.
//
//   1. MessagesGoBothWaysAtOnce
//   2. ASenderOrAReceiverUsesOneDirection
//   3. OneDirectionEndsBeforeTheOther
//   4. TwoHundredConnections
//   5. AStormOfConnectionsLeavesNoDescriptor
//   6. StrangersKeepNobodyWaiting
//      OneOfManyPeersKeepsNobodyOut
//   7. ASilentOneIsLetGoOf, WhoIsBeyondTheLimitWaitsForAPlace
//   8. OneOfManyPeersTakesNotAllPlaces
//      OneThatDoesNotReadHoldsUpNobody, OneThatTalksAndDoesNotReadHoldsUpNobody,
//      WhoIsToGetAllIsWaitedFor, ClosingWaitsUntilTheSystemHasNoneOfIt,
//      ClosingWaitsForOneThatHasEnded, ClosingWaitsWhileAnotherThreadReads
//   9. WhoSaysNothingForTooLongIsCutOff, WhoIsCutOffHasNotEnded, WhoHasEndedIsNotCutOff,
//      TheLongestLimitOfIdlenessCutsNobodyOff, WhoEndsNoMessageIsCutOff, WhoIsNotReadIsNotCutOff,
//      WhoWasLeftWaitingAmidAMessageIsNotCutOff, WhoIsCloseToTheLimitIsLookedAtNowAndThen,
//      WhoseMessagesAreTakenSlowlyIsNotCutOff,
//      WhoIsCutOffHasItsPlaceUntilItIsClosed, WhoTakesNothingIsCutOff, WhoHasTakenAllIsNotCutOff
//  10. AMessageBeyondTheLimitIsRefusedOnItsLength
//  11. WithoutDescriptorsItWaitsAndGoesOn, StrangersTakeNoDescriptorOfAnothers,
//      TheLastDescriptorsAreForOneThatTakesItsTime
//  12. ItIsWaitedForInEveryWay
//  13. WhoIsThereIsTold
//  14. OtherUsersAreLetInByTheirNumberAlone
//  15. AForkedChildTouchesNothing
//  16. ClosedItLetsNobodyIn
//  17. WithoutItsNameItSaysSo, AnotherRootTakesNoNameAway,
//      WhoWaitsForAPlaceComesThoughTheNameIsGone
//  18. ProgramsOfOthersAreServed
#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <list>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "rondo/async.hpp"
#include "support/raw_socket.hpp"
#include "support/sanitizers.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::HasSubstr;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

Deadline soon() { return Deadline::after(seconds(60)); }

// The one that comes next.
Connection next(Listener& listener) {
  auto connection = listener.accept(soon());
  if (!connection) throw std::runtime_error(std::string(to_string(connection.status())));
  return *std::move(connection);
}

class Listeners : public ChannelTest {
 protected:
  Listener listen(const std::string& options = "", const ListenOptions& limits = {}) {
    auto listener = Listener::open(url_ + "?capacity=64KiB" + options, limits);
    if (!listener) throw std::runtime_error(listener.error().message);
    return std::move(listener).value();
  }
  [[nodiscard]] Connection call() const {
    auto connection = Connection::open(url_ + "?capacity=64KiB", {.wait = soon()});
    if (!connection) throw std::runtime_error(connection.error().message);
    return std::move(connection).value();
  }
  // Both ends of a new connection.
  struct Ends {
    Connection far;
    Connection near;
  };
  Ends meet(Listener& listener) const {
    auto far = std::async(std::launch::async, [this] { return call(); });
    Connection near = next(listener);
    return {far.get(), std::move(near)};
  }
  [[nodiscard]] bool local() const { return GetParam().scheme == "unix:"; }

  std::string url_ = url();
};

std::vector<ChannelCase> sockets() {
  std::vector<ChannelCase> cases;
  for (const ChannelCase& channel : kChannelCases) {
    const bool socket = channel.scheme == "unix:" || channel.scheme == "tcp:";
    if (socket && channel.options.empty()) cases.push_back(channel);
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Every, Listeners, ::testing::ValuesIn(sockets()),
                         [](const auto& channel) { return std::string(channel.param.name); });

TEST_P(Listeners, MessagesGoBothWaysAtOnce) {
  Listener listener = listen();
  auto [far, near] = meet(listener);
  const std::uint64_t messages = scaled(3'000);
  const auto pour = [messages](Sender& sender) {
    for (std::uint64_t i = 0; i < messages; ++i) {
      ASSERT_EQ(sender.send(numbered_message(i, i % 900)), Status::kOk);
    }
    EXPECT_EQ(sender.close(), Status::kOk);
  };
  const auto drink = [messages](Receiver& receiver) {
    for (std::uint64_t i = 0; i < messages; ++i) {
      ASSERT_EQ(receive(receiver), numbered_message(i, i % 900));
    }
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  };
  std::thread a([&, &far = far] { pour(far.sender); });
  std::thread b([&, &near = near] { pour(near.sender); });
  std::thread c([&, &far = far] { drink(far.receiver); });
  drink(near.receiver);
  a.join();
  b.join();
  c.join();
}

TEST_P(Listeners, ASenderOrAReceiverUsesOneDirection) {
  Listener listener = listen();
  {
    auto sender = Sender::open(url_, {.wait = Deadline::after(milliseconds(0))});
    EXPECT_FALSE(sender);  // nobody accepts yet
  }
  std::thread calling([&] {
    auto sender = Sender::open(url_, {.wait = soon()});
    ASSERT_TRUE(sender) << sender.error().message;
    EXPECT_EQ(sender->send("up"), Status::kOk);
    EXPECT_TRUE(sender->receiver_attached());
    EXPECT_EQ(sender->close(), Status::kOk);
    auto receiver = Receiver::open(url_ + "?listen=0", {.wait = soon()});
    ASSERT_TRUE(receiver) << receiver.error().message;
    EXPECT_EQ(receive(*receiver), "down");
    EXPECT_EQ(receive(*receiver), kEndOfStreamText);
  });
  Connection up = next(listener);
  EXPECT_EQ(receive(up.receiver), "up");
  EXPECT_EQ(receive(up.receiver), kEndOfStreamText);
  EXPECT_EQ(up.sender.status(), Status::kClosed);
  EXPECT_EQ(up.sender.try_send("nobody reads it"), Status::kClosed);
  Connection down = next(listener);
  EXPECT_EQ(down.receiver.status(), Status::kClosed);
  EXPECT_FALSE(down.receiver.try_next());
  EXPECT_EQ(down.sender.send("down"), Status::kOk);
  EXPECT_EQ(down.sender.close(), Status::kOk);
  calling.join();
}

TEST_P(Listeners, OneDirectionEndsBeforeTheOther) {
  Listener listener = listen();
  auto [far, near] = meet(listener);
  EXPECT_EQ(far.sender.send("a question"), Status::kOk);
  EXPECT_EQ(far.sender.close(), Status::kOk);
  EXPECT_EQ(receive(near.receiver), "a question");
  EXPECT_EQ(receive(near.receiver), kEndOfStreamText);
  EXPECT_TRUE(near.sender.receiver_attached());
  for (int i = 0; i < 100; ++i) EXPECT_EQ(near.sender.send("an answer"), Status::kOk);
  near.receiver.detach();
  EXPECT_EQ(near.sender.close(), Status::kOk);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(receive(far.receiver), "an answer");
  EXPECT_EQ(receive(far.receiver), kEndOfStreamText);
}

TEST_P(Listeners, TwoHundredConnections) {
  constexpr std::size_t kConnections = 200;
  const std::size_t before = open_descriptors();
  {
    Listener listener = listen();
    std::list<Connection> far;
    std::thread calling([&] {
      for (std::size_t i = 0; i < kConnections; ++i) far.push_back(call());
    });
    std::list<Connection> near;
    for (std::size_t i = 0; i < kConnections; ++i) near.push_back(next(listener));
    calling.join();
    EXPECT_EQ(listener.info().connections, kConnections);
    EXPECT_EQ(listener.info().accepted, kConnections);
    // Each has one descriptor at each side.
    EXPECT_LE(open_descriptors(), before + 2 * kConnections + 16);
    std::size_t number = 0;
    for (Connection& one : far)
      EXPECT_EQ(one.sender.send(numbered_message(number++, 50)), Status::kOk);
    number = 0;
    for (Connection& one : near) {
      EXPECT_EQ(receive(one.receiver), numbered_message(number++, 50));
      EXPECT_EQ(one.sender.send("yes"), Status::kOk);
    }
    for (Connection& one : far) EXPECT_EQ(receive(one.receiver), "yes");
    near.clear();
    EXPECT_EQ(listener.info().connections, 0u);
    for (Connection& one : far) EXPECT_EQ(receive(one.receiver), kEndOfStreamText);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_P(Listeners, AStormOfConnectionsLeavesNoDescriptor) {
  const std::size_t before = open_descriptors();
  {
    Listener listener = listen();
    std::atomic<bool> over{false};
    std::vector<std::thread> storm;
    for (unsigned seed = 0; seed < 4; ++seed) {
      storm.emplace_back([&, seed] {
        for (unsigned i = seed; !over; ++i) {
          const RawSocket visitor(url_);
          if (!visitor.try_connect()) continue;
          if (i % 3 == 0) visitor.send(kHelloOfBoth);
          if (i % 3 == 1) visitor.send("nonsense");
          usleep(
              500);  // or the system's own queue is full all the time, and that of unix: is unfair
        }
      });
    }
    // The honest ones get through.
    for (std::uint64_t i = 0; i < scaled(50); ++i) {
      auto far = std::async(std::launch::async, [this] {
        Connection connection = call();
        EXPECT_EQ(connection.sender.send("honest"), Status::kOk);
        return receive(connection.receiver) == "heard";
      });
      for (bool heard = false; !heard;) {
        Connection near = next(listener);
        const auto message = near.receiver.next(soon());
        if (!message || message->text() != "honest") continue;
        EXPECT_EQ(near.sender.send("heard"), Status::kOk);
        heard = true;
        EXPECT_TRUE(far.get());
      }
    }
    over = true;
    for (std::thread& thread : storm) thread.join();
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST_P(Listeners, StrangersKeepNobodyWaiting) {
  Listener listener = listen("", {.handshakes = 8});
  // Silent ones, more than there is room for; and one that takes its time.
  std::vector<RawSocket> silent;
  for (int i = 0; i < 20; ++i) {
    silent.emplace_back(url_);
    silent.back().connect();
    for (ListenerInfo info; info.handshakes + info.turned_away <= static_cast<unsigned>(i);) {
      EXPECT_FALSE(listener.try_accept());
      info = listener.info();
    }
  }
  EXPECT_EQ(listener.info().handshakes, 8u);
  EXPECT_EQ(listener.info().turned_away, 12u);
  auto [far, near] = meet(listener);
  EXPECT_EQ(far.sender.send("through"), Status::kOk);
  EXPECT_EQ(receive(near.receiver), "through");
  const RawSocket slow(url_);
  slow.connect();
  for (const char byte : kHelloOfSender) {
    EXPECT_FALSE(listener.try_accept());
    slow.send(std::string(1, byte));
  }
  Connection taken = next(listener);
  const auto dribble = [&](std::string_view bytes) {
    for (const char byte : bytes) {
      EXPECT_FALSE(taken.receiver.try_next());
      slow.send(std::string(1, byte));
    }
  };
  dribble(frame_of("byte by byte"));
  EXPECT_EQ(receive(taken.receiver), "byte by byte");
  dribble(kEndMark);
  EXPECT_EQ(receive(taken.receiver), kEndOfStreamText);
}

// It is let go of itself, not another one that takes its time.
TEST_P(Listeners, OneOfManyPeersKeepsNobodyOut) {
  if (local() && geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  Listener listener = listen(local() ? "&mode=0666" : "", {.handshakes = 8});
  if (GetParam().target == ChannelCase::Target::kPath) {
    chmod(url_.substr(5, url_.rfind('/') - 5).c_str(), 0777);
  }
  const RawSocket slow(url_);
  if (local()) {
    // A thread's user is its own, to the kernel.
    std::thread other([&] {
      constexpr int kOther = 12'345;
      ASSERT_EQ(syscall(SYS_setresuid, -1, kOther, -1), 0);
      EXPECT_TRUE(slow.try_connect());
    });
    other.join();
  } else {
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
    ASSERT_EQ(bind(slow.fd(), reinterpret_cast<const sockaddr*>(&from), sizeof from), 0);
    slow.connect();
  }
  slow.send(kHelloOfSender.substr(0, 2));
  std::vector<RawSocket> greedy;
  for (unsigned i = 0; i < 20; ++i) {
    greedy.emplace_back(url_);
    greedy.back().connect();
    for (ListenerInfo info; info.handshakes + info.turned_away <= i + 1;) {
      EXPECT_FALSE(listener.try_accept());
      info = listener.info();
    }
  }
  EXPECT_EQ(listener.info().handshakes, 8u);
  slow.send(kHelloOfSender.substr(2));
  Connection near = next(listener);
  slow.send(frame_of("through"));
  EXPECT_EQ(receive(near.receiver), "through");
}

// Whoever has not said what it is by its deadline is let go of, though nobody else comes.
TEST_P(Listeners, ASilentOneIsLetGoOf) {
  Listener listener = listen("", {.handshake = milliseconds(20)});
  const RawSocket silent(url_);
  silent.connect();
  std::atomic<bool> gone{false};
  std::thread waiting([&] {
    EXPECT_EQ(silent.receive(1), "");
    gone = true;
  });
  while (!gone) EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(5))));
  waiting.join();
  EXPECT_EQ(listener.info().handshakes, 0u);
}

TEST_P(Listeners, WhoIsBeyondTheLimitWaitsForAPlace) {
  Listener listener = listen("", {.connections = 2});
  auto first = meet(listener);
  auto second = meet(listener);
  auto third = std::async(std::launch::async, [this] { return call(); });
  EXPECT_EQ(listener.accept(Deadline::after(milliseconds(200))).status(), Status::kTimedOut);
  first.near.receiver.detach();
  EXPECT_EQ(listener.accept(Deadline::after(milliseconds(100))).status(), Status::kTimedOut);
  first.near.sender.close();
  Connection near = next(listener);
  Connection far = third.get();
  EXPECT_EQ(near.sender.send("in"), Status::kOk);
  EXPECT_EQ(receive(far.receiver), "in");
  // Memory is a limit, too.
  const auto none = Listener::open("tcp://127.0.0.1:0?capacity=1MiB", {.buffered_bytes = 1 << 20});
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, ErrorCode::kInvalidOption);
}

TEST_P(Listeners, OneOfManyPeersTakesNotAllPlaces) {
  Listener listener = listen("", {.connections = 10, .connections_per_peer = 2});
  auto first = meet(listener);
  auto second = meet(listener);
  const RawSocket greedy(url_);
  greedy.connect();
  greedy.send(kHelloOfBoth);
  EXPECT_EQ(listener.accept(Deadline::after(milliseconds(50))).status(), Status::kTimedOut);
  EXPECT_EQ(greedy.receive(1), "\x55");
  EXPECT_EQ(listener.info().connections, 2u);
}

// As many as would take longer than soon() if each were waited for.
TEST_P(Listeners, OneThatDoesNotReadHoldsUpNobody) {
  Listener listener = listen();
  const Deadline limit = soon();
  for (int i = 0; i < 15; ++i) {
    auto [far, near] = meet(listener);
    std::uint64_t sent = 0;
    while (near.sender.try_send(numbered_message(sent, 900)) == Status::kOk) ++sent;
    if (i % 2 == 0) {
      near.sender.break_off();
    } else {
      const Sender dropped = std::move(near.sender);
    }
    ASSERT_FALSE(limit.passed());
    if (i > 0) continue;
    // It has lost some, and knows it.
    near.receiver.detach();
    std::uint64_t got = 0;
    for (const Message& message : far.receiver) {
      ASSERT_EQ(message.text(), numbered_message(got++, 900));
    }
    EXPECT_LT(got, sent);
    EXPECT_EQ(far.receiver.status(), Status::kPeerDied);
  }
}

// All was handed to the system, which still has it, as the other machine takes no more.
TEST_P(Listeners, OneThatTalksAndDoesNotReadHoldsUpNobody) {
  if (local()) GTEST_SKIP() << "what a UNIX socket has taken is at the other side";
  Listener listener = listen();
  const Deadline limit = soon();
  for (int i = 0; i < 65; ++i) {
    const RawSocket peer(url_);
    const int little = 2048;
    setsockopt(peer.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    peer.connect();
    peer.send(kHelloOfBoth);
    Connection near = next(listener);
    for (int k = 0; k < 20; ++k)
      ASSERT_EQ(near.sender.send(numbered_message(0, 1000)), Status::kOk);
    peer.send(frame_of("not read"));
    { const Connection dropped = std::move(near); }
    ASSERT_FALSE(limit.passed());
  }
}

TEST_P(Listeners, WhoIsToGetAllIsWaitedFor) {
  for (const bool closed : {true, false}) {
    ListenOptions limits;
    if (!closed) limits.linger = seconds(60);
    Listener listener = listen("", limits);
    auto [far, near] = meet(listener);
    std::uint64_t sent = 0;
    while (near.sender.try_send(numbered_message(sent, 900)) == Status::kOk) ++sent;
    EXPECT_EQ(far.sender.send("not read"), Status::kOk);
    std::atomic<bool> closing{false};
    std::thread reading([&, &far = far] {
      while (!closing) usleep(100);
      for (std::uint64_t i = 0; i < sent; ++i) {
        ASSERT_EQ(receive(far.receiver), numbered_message(i, 900));
      }
      EXPECT_EQ(receive(far.receiver), kEndOfStreamText);
    });
    closing = true;
    if (closed) {
      EXPECT_EQ(near.sender.close(soon()), Status::kOk);
    }
    { const Connection dropped = std::move(near); }
    reading.join();
  }
}

// Of one that is not talked to by it, only heard; its receiver is still there.
TEST_P(Listeners, ClosingWaitsUntilTheSystemHasNoneOfIt) {
  if (local()) GTEST_SKIP() << "what a UNIX socket has taken is at the other side";
  Listener listener = listen();
  const auto fill = [&](const RawSocket& peer) {
    const int little = 2048;
    setsockopt(peer.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    peer.connect();
    peer.send(kHelloOfBoth);
    Connection near = next(listener);
    for (int i = 0; i < 20; ++i) EXPECT_EQ(near.sender.send(std::string(1000, 'x')), Status::kOk);
    return near;
  };
  const RawSocket deaf(url_);
  Connection unheard = fill(deaf);
  EXPECT_EQ(unheard.sender.close(Deadline::after(milliseconds(50))), Status::kTimedOut);
  // One that talks may wait for us to read.
  const RawSocket talking(url_);
  Connection talked_to = fill(talking);
  talking.send(frame_of("not read"));
  EXPECT_EQ(talked_to.sender.close(soon()), Status::kOk);
  const RawSocket slow(url_);
  Connection heard = fill(slow);
  std::thread reading([&] { EXPECT_EQ(slow.receive_all().size(), 1 + 20 * 1004 + 4u); });
  EXPECT_EQ(heard.sender.close(soon()), Status::kOk);
  heard.receiver.detach();
  reading.join();
}

// That says no more, but takes what it is told, however slowly; with and without somebody who
// receives here.
TEST_P(Listeners, ClosingWaitsForOneThatHasEnded) {
  if (local()) GTEST_SKIP() << "what a UNIX socket has taken is at the other side";
  Listener listener = listen();
  for (const bool receives : {true, false}) {
    for (const bool reads : {false, true}) {
      const RawSocket ended(url_);
      const int little = 2048;
      setsockopt(ended.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
      ended.connect();
      ended.send(kHelloOfBoth);
      Connection near = next(listener);
      for (int i = 0; i < 20; ++i) EXPECT_EQ(near.sender.send(std::string(1000, 'x')), Status::kOk);
      ended.send(kEndMark);
      shutdown(ended.fd(), SHUT_WR);
      EXPECT_EQ(near.receiver.next(soon()).status(), Status::kEnded);
      if (!receives) near.receiver.detach();
      if (!reads) {
        EXPECT_EQ(near.sender.close(Deadline::after(milliseconds(100))), Status::kTimedOut);
        continue;
      }
      std::thread reading([&] { EXPECT_EQ(ended.receive_all().size(), 1 + 20 * 1004 + 4u); });
      EXPECT_EQ(near.sender.close(soon()), Status::kOk);
      near.receiver.detach();
      reading.join();
    }
  }
}

// Something always lies there, but is read.
TEST_P(Listeners, ClosingWaitsWhileAnotherThreadReads) {
  if (local()) GTEST_SKIP() << "what a UNIX socket has taken is at the other side";
  Listener listener = listen();
  std::atomic<bool> over = false;
  std::thread calling([&] {
    const RawSocket talking(url_);
    const int little = 2048;
    setsockopt(talking.fd(), SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    talking.connect();
    talking.send(kHelloOfBoth);
    const std::string frame = frame_of(std::string(8000, 'y'));
    while (!over) talking.send(frame);
    talking.send(kEndMark);
    shutdown(talking.fd(), SHUT_WR);
    EXPECT_FALSE(talking.receive_all().empty());
  });
  Connection near = next(listener);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(near.sender.send(std::string(1000, 'x')), Status::kOk);
  std::thread reading([&] {
    while (near.receiver.next(soon())) {
    }
  });
  EXPECT_EQ(near.sender.close(Deadline::after(milliseconds(600))), Status::kTimedOut);
  over = true;
  reading.join();
  near.receiver.detach();
  calling.join();
}

TEST_P(Listeners, WhoSaysNothingForTooLongIsCutOff) {
  Listener listener = listen("", {.idle = milliseconds(300)});
  auto silent = meet(listener);
  auto unread = meet(listener);
  EXPECT_EQ(unread.far.sender.send("not read for a long time"), Status::kOk);
  auto lively = meet(listener);
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(lively.far.sender.send("here"), Status::kOk);
    EXPECT_EQ(receive(lively.near.receiver), "here");
    EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(20))));
  }
  EXPECT_EQ(silent.near.receiver.next(Deadline::now()).status(), Status::kPeerDied);
  EXPECT_EQ(receive(unread.near.receiver), "not read for a long time");
  EXPECT_EQ(listener.info().cut_off, 1u);
  EXPECT_EQ(silent.far.receiver.next(soon()).status(), Status::kPeerDied);
}

// Where no end of the stream is said, either, it is told from one.
TEST_P(Listeners, WhoIsCutOffHasNotEnded) {
  for (const char* framing : {"&framing=lines", "&framing=raw", "&framing=length32"}) {
    Listener listener = listen(framing, {.idle = milliseconds(1)});
    const RawSocket program(url_);
    program.connect();
    Connection near = next(listener);
    while (listener.info().cut_off == 0) {
      EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(5))));
    }
    EXPECT_EQ(near.receiver.next(soon()).status(), Status::kPeerDied) << framing;
  }
}

// It waits for its answer, however long that takes; and one that nobody listens to has no say.
TEST_P(Listeners, WhoHasEndedIsNotCutOff) {
  Listener listener = listen("", {.idle = milliseconds(50)});
  auto ended = meet(listener);
  EXPECT_EQ(ended.far.sender.close(), Status::kOk);
  EXPECT_EQ(receive(ended.near.receiver), kEndOfStreamText);
  auto unheard = meet(listener);
  unheard.near.receiver.detach();
  auto silent = meet(listener);
  while (listener.info().cut_off == 0) {
    EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(5))));
  }
  for (auto* ends : {&ended, &unheard}) {
    EXPECT_EQ(ends->near.sender.send("the answer"), Status::kOk);
    EXPECT_EQ(receive(ends->far.receiver), "the answer");
  }
  EXPECT_EQ(silent.near.receiver.next(soon()).status(), Status::kPeerDied);
}

TEST_P(Listeners, TheLongestLimitOfIdlenessCutsNobodyOff) {
  Listener listener = listen("", {.idle = std::chrono::nanoseconds::max()});
  auto silent = meet(listener);
  EXPECT_FALSE(listener.try_accept());
  EXPECT_FALSE(listener.try_accept());
  EXPECT_EQ(listener.info().cut_off, 0u);
  EXPECT_EQ(silent.near.receiver.next(Deadline::now()).status(), Status::kWouldBlock);
}

// It has its memory and its descriptor, too.
TEST_P(Listeners, WhoIsCutOffHasItsPlaceUntilItIsClosed) {
  Listener listener = listen("", {.connections = 1, .idle = milliseconds(1)});
  std::optional<Ends> silent = meet(listener);
  while (listener.info().cut_off == 0) {
    EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(5))));
  }
  auto second = std::async(std::launch::async, [this] { return call(); });
  EXPECT_EQ(listener.accept(Deadline::after(milliseconds(150))).status(), Status::kTimedOut);
  EXPECT_EQ(listener.info().connections, 1u);
  EXPECT_EQ(listener.info().cut_off, 1u);
  silent.reset();
  const Connection near = next(listener);
  const Connection far = second.get();
}

TEST_P(Listeners, WhoEndsNoMessageIsCutOff) {
  Listener listener = listen("", {.idle = milliseconds(300)});
  const RawSocket dribbler(url_);
  dribbler.connect();
  dribbler.send(kHelloOfSender);
  Connection near = next(listener);
  const std::string endless = frame_of(std::string(20'000, 'x'));
  for (std::size_t sent = 0; listener.info().cut_off == 0; ++sent) {
    ASSERT_LT(sent, endless.size() - 1);
    dribbler.send(endless.substr(sent, 1));
    EXPECT_FALSE(near.receiver.try_next());
    EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(10))));
  }
  EXPECT_EQ(near.receiver.next(soon()).status(), Status::kPeerDied);
}

// Half of a message was read here, and the rest has waited since.
TEST_P(Listeners, WhoIsNotReadIsNotCutOff) {
  Listener listener = listen("", {.idle = milliseconds(500)});
  const RawSocket peer(url_);
  peer.connect();
  peer.send(kHelloOfSender);
  Connection near = next(listener);
  const std::string frame = frame_of("in two halves");
  peer.send(frame.substr(0, 9));
  EXPECT_EQ(near.receiver.next(Deadline::after(milliseconds(10))).status(), Status::kTimedOut);
  peer.send(frame.substr(9));
  EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(1'500))));
  EXPECT_EQ(listener.info().cut_off, 0u);
  EXPECT_EQ(receive(near.receiver), "in two halves");
}

// The same, of one that had more to say than that; and what we look at next is not its end yet.
TEST_P(Listeners, WhoWasLeftWaitingAmidAMessageIsNotCutOff) {
  std::uint64_t cut_off = 1;
  // It may be this test that takes its time between two looks.
  for (int i = 0; i < 5 && cut_off != 0; ++i) {
    Listener listener = listen("", {.idle = seconds(1)});
    const RawSocket peer(url_);
    peer.connect();
    peer.send(kHelloOfSender);
    Connection near = next(listener);
    const std::string frame = frame_of("in three thirds");
    peer.send(frame.substr(0, 6));
    EXPECT_EQ(near.receiver.next(Deadline::after(milliseconds(10))).status(), Status::kTimedOut);
    peer.send(frame.substr(6, 6));
    EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(1'600))));
    EXPECT_EQ(listener.info().cut_off, 0u);
    EXPECT_FALSE(near.receiver.try_next());
    for (int k = 0; k < 3; ++k) EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(50))));
    cut_off = listener.info().cut_off;
    if (cut_off != 0) continue;
    peer.send(frame.substr(12));
    EXPECT_EQ(receive(near.receiver), "in three thirds");
    // But one that we do not keep waiting has no more than its time.
    EXPECT_FALSE(near.receiver.try_next());
    while (listener.info().cut_off == 0) {
      EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(5))));
    }
  }
  EXPECT_EQ(cut_off, 0u);
}

// The time of one that has kept us waiting for nearly as long as it may stands still, while we do
// not read: it was looked at again and again.
TEST_P(Listeners, WhoIsCloseToTheLimitIsLookedAtNowAndThen) {
  constexpr milliseconds kIdle{400};
  long sleeps = 0;
  bool close_to_it = false;
  for (int i = 0; i < 20 && !close_to_it; ++i) {
    Listener listener = listen("", {.idle = kIdle});
    const RawSocket peer(url_);
    peer.connect();
    peer.send(kHelloOfSender);
    Connection near = next(listener);
    EXPECT_FALSE(near.receiver.try_next());
    const Deadline limit = Deadline::after(kIdle - milliseconds(2));
    while (!limit.passed()) sched_yield();
    EXPECT_FALSE(near.receiver.try_next());
    peer.send(frame_of("half of it").substr(0, 9));
    rusage usage{};
    getrusage(RUSAGE_THREAD, &usage);
    sleeps = -usage.ru_nvcsw;
    EXPECT_FALSE(listener.accept(Deadline::after(seconds(1))));
    getrusage(RUSAGE_THREAD, &usage);
    sleeps += usage.ru_nvcsw;
    close_to_it = listener.info().cut_off == 0;
  }
  EXPECT_TRUE(close_to_it);
  EXPECT_LE(sleeps, 60);  // it was 500
}

// What waits in the receiver's buffer waits for us, and its sender may wait for the answers.
TEST_P(Listeners, WhoseMessagesAreTakenSlowlyIsNotCutOff) {
  Listener listener = listen("", {.idle = milliseconds(100)});
  auto asking = meet(listener);
  for (const char* request : {"1", "2", "3"}) {
    EXPECT_EQ(asking.far.sender.send(request), Status::kOk);
  }
  for (const char* request : {"1", "2", "3"}) {
    EXPECT_EQ(receive(asking.near.receiver), request);
    EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(300))));
    EXPECT_EQ(listener.info().cut_off, 0u) << request;
  }
  // Now it is the other side that is waited for.
  EXPECT_FALSE(asking.near.receiver.try_next());
  while (listener.info().cut_off == 0) {
    EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(5))));
  }
}

TEST_P(Listeners, WhoTakesNothingIsCutOff) {
  Listener listener = listen("", {.idle = milliseconds(50)});
  const RawSocket deaf(url_);
  deaf.connect();
  deaf.send(kHelloOfReceiver);
  Connection near = next(listener);
  while (near.sender.try_send(std::string(1'000, 'x')) == Status::kOk) {
  }
  while (listener.info().cut_off == 0) {
    EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(5))));
  }
  EXPECT_EQ(near.sender.try_send("more"), Status::kPeerGone);
}

// And we have not written more since.
TEST_P(Listeners, WhoHasTakenAllIsNotCutOff) {
  Listener listener = listen("", {.idle = milliseconds(50)});
  std::atomic<bool> full{false};
  std::atomic<std::uint64_t> got{0};
  std::thread calling([&] {
    auto receiver = Receiver::open(url_ + "?listen=0&capacity=64KiB", {.wait = soon()});
    ASSERT_TRUE(receiver) << receiver.error().message;
    while (!full) usleep(100);
    for (const Message& message : *receiver) {
      ASSERT_EQ(message.text(), numbered_message(got, 1'000));
      ++got;
    }
    EXPECT_EQ(receiver->status(), Status::kEnded);
  });
  Connection near = next(listener);
  std::uint64_t sent = 0;
  while (near.sender.try_send(numbered_message(sent, 1'000)) == Status::kOk) ++sent;
  const std::uint64_t written = sent - near.sender.info().pending_bytes / 1'000 - 2;
  full = true;
  while (got < written) usleep(100);
  EXPECT_FALSE(listener.accept(Deadline::after(milliseconds(300))));
  EXPECT_EQ(listener.info().cut_off, 0u);
  EXPECT_EQ(near.sender.close(), Status::kOk);
  calling.join();
  EXPECT_EQ(got, sent);
}

TEST_P(Listeners, AMessageBeyondTheLimitIsRefusedOnItsLength) {
  Listener listener = listen("&max=1KiB");
  for (const std::uint32_t length : {0x7FFFFFFFu, 0xFFFFFFF0u, 0x00100000u}) {
    const RawSocket liar(url_);
    liar.connect();
    liar.send(kHelloOfSender);
    Connection near = next(listener);
    liar.send({reinterpret_cast<const char*>(&length), sizeof length});
    EXPECT_EQ(near.receiver.next(soon()).status(), Status::kCorrupt);
  }
}

TEST_P(Listeners, WithoutDescriptorsItWaitsAndGoesOn) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  Child child([&] {
    Listener listener = listen();
    const RawSocket peer(url_);
    peer.connect();
    peer.send(kHelloOfBoth);
    rlimit before{};
    getrlimit(RLIMIT_NOFILE, &before);
    const rlimit none{3, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &none);
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    const long sleeps = usage.ru_nvcsw;
    if (listener.accept(Deadline::after(milliseconds(500))).status() != Status::kTimedOut) return 1;
    getrusage(RUSAGE_SELF, &usage);
    // It sleeps between its looks, which get rarer.
    if (usage.ru_nvcsw - sleeps > 30) return 2;
    if (listener.info().trouble.find("open files") == std::string::npos) return 3;
    setrlimit(RLIMIT_NOFILE, &before);
    auto connection = listener.accept(soon());
    if (!connection) return 4;
    return listener.info().trouble.empty() && peer.receive(1) == kConfirmation ? 0 : 5;
  });
  EXPECT_EQ(child.join(), 0);
  if (GetParam().target == ChannelCase::Target::kPath) unlink(url_.substr(5).c_str());
}

// From now on this process can open so many, whatever numbers it has inherited.
void leave_descriptors(unsigned count) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = 0;
  for (unsigned left = count; left > 0; ++limit.rlim_cur) {
    if (fcntl(static_cast<int>(limit.rlim_cur), F_GETFD) < 0) --left;
  }
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Silent ones that take all the descriptors there are, in all the time of the world: the one that
// came first goes.
TEST_P(Listeners, StrangersTakeNoDescriptorOfAnothers) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  Child server([&] {
    Listener listener = listen("", {.handshake = std::chrono::hours(1)});
    leave_descriptors(5);
    auto connection = listener.accept(soon());
    if (!connection) return 1;
    const auto message = connection->receiver.next(soon());
    if (!message) return 2;
    static_cast<void>(connection->receiver.next(soon()));
    return message->text() == "through" ? 0 : 3;
  });
  std::list<RawSocket> silent;
  for (int i = 0; i < 10; ++i) silent.emplace_back(url_).connect();
  {
    auto far = Connection::open(url_ + "?capacity=64KiB", {.wait = soon()});
    EXPECT_TRUE(far && far->sender.send("through") == Status::kOk);
  }
  EXPECT_EQ(server.join(), 0);
  if (GetParam().target == ChannelCase::Target::kPath) unlink(url_.substr(5).c_str());
}

// On its way in it takes two: accept() fails behind it, though nobody else is there. And beside one
// that says nothing a single one is left for it.
TEST_P(Listeners, TheLastDescriptorsAreForOneThatTakesItsTime) {
  if (kAddressSanitizer) GTEST_SKIP() << kSanitizerNeedsIt;
  for (const unsigned strangers : {0u, 1u}) {
    Child server([&] {
      Listener listener = listen();
      leave_descriptors(2 + strangers);
      if (!listener.accept(soon())) return 1;
      return listener.info().trouble.empty() ? 0 : 2;
    });
    std::list<RawSocket> silent;
    for (unsigned i = 0; i < strangers; ++i) silent.emplace_back(url_).connect();
    const RawSocket late(url_);
    late.connect();
    usleep(200'000);  // on a slow machine it has said all before it is accepted
    late.send(kHelloOfBoth);
    EXPECT_EQ(late.receive(1), kConfirmation) << strangers;
    EXPECT_EQ(server.join(), 0) << strangers;
    if (GetParam().target == ChannelCase::Target::kPath) unlink(url_.substr(5).c_str());
  }
}

Task<> serve(Listener& listener, std::string& heard) {
  auto connection = co_await async_accept(listener);
  if (!connection) co_return;
  auto message = co_await async_next((*connection)->receiver);
  if (message) heard = message->text();
}

TEST_P(Listeners, ItIsWaitedForInEveryWay) {
  Listener listener = listen();
  const auto send_soon = [this](const std::string& text) {
    return std::thread([this, text] {
      Connection far = call();
      EXPECT_EQ(far.sender.send(text), Status::kOk);
      EXPECT_NE(receive(far.receiver), "");
    });
  };
  {  // a descriptor
    std::thread far = send_soon("poll");
    std::optional<Connection> near;
    while (!near) {
      pollfd ready{listener.fd(), POLLIN, 0};
      ASSERT_EQ(poll(&ready, 1, 60'000), 1);
      near = listener.try_accept();
    }
    EXPECT_EQ(receive(near->receiver), "poll");
    near.reset();
    far.join();
  }
  {  // a wait set
    auto set = WaitSet::make();
    ASSERT_TRUE(set);
    ASSERT_TRUE(set->add(listener, 7));
    std::thread far = send_soon("set");
    std::optional<Connection> near;
    std::array<WaitSet::Key, 1> room{};
    while (!near) {
      ASSERT_TRUE(set->wait(room, soon()));
      near = listener.try_accept();
    }
    EXPECT_EQ(receive(near->receiver), "set");
    near.reset();
    far.join();
  }
  {  // a coroutine
    auto executor = Executor::make();
    ASSERT_TRUE(executor);
    std::string heard;
    (*executor)->spawn(serve(listener, heard));
    std::thread far = send_soon("task");
    EXPECT_EQ((*executor)->run(soon()), Status::kOk);
    EXPECT_EQ(heard, "task");
    far.join();
  }
  // A flag.
  std::atomic<bool> stop{false};
  Listener other = std::move(listener);
  EXPECT_EQ(listener.accept().status(), Status::kClosed);
  other.close();
  Listener stopped = listen("", {.stop = &stop});
  std::thread waiting([&] { EXPECT_EQ(stopped.accept().status(), Status::kInterrupted); });
  stop = true;
  waiting.join();
  EXPECT_EQ(stopped.accept(Deadline::now()).status(), Status::kInterrupted);
}

TEST_P(Listeners, WhoIsThereIsTold) {
  Listener listener = listen();
  const auto [far, near] = meet(listener);
  for (const Peer& peer : {far.peer, near.peer}) {
    ASSERT_EQ(peer.process.has_value(), local());
    if (local()) {
      EXPECT_EQ(peer.process->pid, static_cast<std::uint32_t>(getpid()));
      EXPECT_EQ(peer.process->user, geteuid());
      EXPECT_EQ(peer.process->group, getegid());
      EXPECT_EQ(peer.address, "");
    } else {
      EXPECT_THAT(peer.address, ::testing::StartsWith("127.0.0.1:"));
    }
  }
  if (!local()) {
    EXPECT_EQ("tcp://" + far.peer.address, url_);
  }
  EXPECT_EQ(listener.info().name, url_);
}

TEST_P(Listeners, OtherUsersAreLetInByTheirNumberAlone) {
  if (!local()) GTEST_SKIP() << "who is at the other end of tcp: is not known";
  if (geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  constexpr std::uint32_t kOther = 12'345;
  const std::string directory = url_.substr(5, url_.rfind('/') - 5);
  if (GetParam().target == ChannelCase::Target::kPath) chmod(directory.c_str(), 0777);
  const auto call_as = [&](std::uint32_t user) {
    return Child([&, user] {
      if (setegid(user) != 0 || seteuid(user) != 0) return 1;
      const auto connection =
          Connection::open(url_ + "?uid=0&capacity=64KiB", {.wait = Deadline::after(seconds(5))});
      if (connection) return 0;
      return connection.error().code == ErrorCode::kForeignOwner ? 2 : 3;
    });
  };
  struct Rule {
    std::string options;
    int result;
  };
  for (const auto& [options, result] :
       {Rule{"&mode=0666&uid=12345", 0}, Rule{"&mode=0666&gid=12345", 0},
        Rule{"&mode=0666&uid=54321", 2}, Rule{"&mode=0666", 0}}) {
    Listener listener = listen(options);
    Child child = call_as(kOther);
    std::atomic<int> code{-1};
    std::thread waiting([&] { code = child.join(); });
    while (code < 0) static_cast<void>(listener.accept(Deadline::after(milliseconds(5))));
    waiting.join();
    EXPECT_EQ(code, result) << options;
  }
  if (GetParam().target != ChannelCase::Target::kAbstract) return;
  // An abstract name has no mode of a file: the same goes for it by credentials.
  Listener listener = listen("&mode=0600");
  Child child = call_as(kOther);
  std::atomic<int> code{-1};
  std::thread waiting([&] { code = child.join(); });
  while (code < 0) static_cast<void>(listener.accept(Deadline::after(milliseconds(5))));
  waiting.join();
  EXPECT_EQ(code, 2);
}

TEST_P(Listeners, AForkedChildTouchesNothing) {
  Listener listener = listen();
  auto [far, near] = meet(listener);
  Child child([&, &near = near] {
    if (listener.accept(Deadline::now()).status() != Status::kForked) return 1;
    listener.close();
    if (near.sender.close() != Status::kForked) return 2;
    near.receiver.detach();
    return 0;
  });
  EXPECT_EQ(child.join(), 0);
  EXPECT_EQ(near.sender.send("still here"), Status::kOk);
  EXPECT_EQ(receive(far.receiver), "still here");
  auto again = meet(listener);
  EXPECT_EQ(again.far.sender.send("and open"), Status::kOk);
  EXPECT_EQ(receive(again.near.receiver), "and open");
}

TEST_P(Listeners, ClosedItLetsNobodyIn) {
  Listener listener = listen();
  const auto taken = Listener::open(url_);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::kBusy);
  auto [far, near] = meet(listener);
  const RawSocket silent(url_);
  silent.connect();
  EXPECT_FALSE(listener.try_accept());
  listener.close();
  EXPECT_EQ(silent.receive(1), "");
  EXPECT_EQ(listener.accept().status(), Status::kClosed);
  EXPECT_FALSE(RawSocket(url_).try_connect());
  if (GetParam().target == ChannelCase::Target::kPath) {
    EXPECT_FALSE(std::filesystem::exists(url_.substr(5)));
  }
  EXPECT_EQ(far.sender.send("inside"), Status::kOk);
  EXPECT_EQ(receive(near.receiver), "inside");
  Listener anew = listen();
  const auto other = Listener::open("shm:ticks");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kUnsupported);
}

TEST_P(Listeners, WithoutItsNameItSaysSo) {
  if (GetParam().target != ChannelCase::Target::kPath) GTEST_SKIP() << "it has no file";
  const std::string path = url_.substr(5);
  for (const bool replaced : {false, true}) {
    Listener listener = listen();
    std::optional<Listener> other;
    const RawSocket early(url_);
    early.connect();
    EXPECT_FALSE(listener.try_accept());
    std::filesystem::rename(path, path + ".away");
    if (replaced) other = listen();
    // What came before is seen to, whatever time it takes.
    EXPECT_EQ(listener.accept(Deadline::after(milliseconds(1'200))).status(), Status::kTimedOut);
    early.send(kHelloOfBoth);
    next(listener);
    EXPECT_EQ(listener.accept(soon()).status(), Status::kPeerGone);
    EXPECT_FALSE(listener.info().at_its_name);
    pollfd ready{listener.fd(), POLLIN, 0};
    EXPECT_EQ(poll(&ready, 1, 60'000), 1);
    EXPECT_EQ(listener.accept(Deadline::now()).status(), Status::kPeerGone);
    listener.close();
    EXPECT_EQ(std::filesystem::exists(path), replaced);
  }
  unlink((path + ".away").c_str());
}

// Its peers see it where it was. A directory that has another name is none where they would look.
TEST_P(Listeners, AnotherRootTakesNoNameAway) {
  if (GetParam().target != ChannelCase::Target::kPath) GTEST_SKIP() << "it has no file";
  const std::string path = url_.substr(5);
  const std::string directory = path.substr(0, path.rfind('/'));
  const std::string away = directory + ".away";
  {
    Listener listener = listen();
    ASSERT_EQ(rename(directory.c_str(), away.c_str()), 0);
    EXPECT_EQ(listener.accept(soon()).status(), Status::kPeerGone);
    ASSERT_EQ(rename(away.c_str(), directory.c_str()), 0);
  }
  if (geteuid() != 0) GTEST_SKIP() << "needs root to have another root";
  std::atomic<bool> there{true};
  Shared<std::atomic<bool>> seen;  // that it has its name
  Child server([&] {
    Listener listener = listen();
    if (chroot(directory.c_str()) != 0) return 77;
    if (listener.accept(Deadline::after(milliseconds(2'500))).status() != Status::kTimedOut) {
      return 1;
    }
    seen->store(true);
    Connection near = next(listener);
    return listener.info().at_its_name && receive(near.receiver) == "over there" ? 0 : 2;
  });
  std::thread calling([&] {
    while (!seen->load()) usleep(1000);
    if (!there.load()) return;
    Connection far = call();
    EXPECT_EQ(far.sender.send("over there"), Status::kOk);
    static_cast<void>(far.receiver.next(soon()));  // until the server ends
  });
  EXPECT_EQ(server.join(), 0);
  there = false;
  seen->store(true);
  calling.join();
  unlink(path.c_str());
}

TEST_P(Listeners, WhoWaitsForAPlaceComesThoughTheNameIsGone) {
  if (GetParam().target != ChannelCase::Target::kPath) GTEST_SKIP() << "it has no file";
  Listener listener = listen("", {.connections = 1});
  const RawSocket first(url_);
  const RawSocket second(url_);
  first.connect();
  first.send(kHelloOfBoth);
  std::optional<Connection> near = next(listener);
  second.connect();
  second.send(kHelloOfBoth);
  unlink(url_.substr(5).c_str());
  EXPECT_EQ(listener.accept(Deadline::after(milliseconds(1'500))).status(), Status::kTimedOut);
  near.reset();
  near = next(listener);
  near.reset();
  EXPECT_EQ(listener.accept(soon()).status(), Status::kPeerGone);
}

TEST_P(Listeners, ProgramsOfOthersAreServed) {
  Listener listener = listen("&framing=lines");
  const RawSocket program(url_);
  program.connect();
  program.send("a line\nanother");
  Connection near = next(listener);
  EXPECT_EQ(receive(near.receiver), "a line");
  EXPECT_EQ(near.sender.send("an answer"), Status::kOk);
  EXPECT_EQ(near.sender.close(), Status::kOk);
  EXPECT_EQ(program.receive_all(), "an answer\n");
}

}  // namespace
}  // namespace rondo::testing
