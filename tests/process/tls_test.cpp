// What only tls: has to keep. (That it is a channel as all others, the conformance tests say.)
//
//   1. EachSideKnowsWhoTheOtherIs, MuchGoesBothWaysAtOnce
//   2. ACertificateThatIsNotRightIsAnErrorAtBothEnds, ACommonNameIsNoHost,
//      OneThatIsNoAuthorityIssuesNobody, OneThatIsAnAuthorityMayIssueAnyName,
//      TheEnvironmentSaysWhereTheSystemsListIs
//   3. ADemandForCertificatesIsMet, AnOlderProtocolIsRefused, WhatIsNotTlsIsRefused
//   4. OneWhoDribblesKeepsNobodyWaiting
//   5. TheEndIsTheOtherSidesWord, WhatIsForgedOnItsWayIsCorrupt
//   6. NewKeysAreTakenAndGiven
//   7. AKeyThatBothHaveIsEnough, AnotherKeyOrNameIsAnErrorAtBothEnds
//   8. AFileThatIsNotRightIsNamed, AListenerHasSomethingToShow
//   9. WhatIsDecryptedAlreadyIsNotSleptOver
//  10. AFloodOfNewKeysKeepsNoReceiver, AFloodOfNewKeysKeepsNoListener
//  11. AWriteThatWaitsForAReadRests
//  12. WhatOpenSslDoesAtExitIsTurnedOff
//  13. ErrorsAndSignalsAreTheProgramsOwn
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <fstream>
#include <future>
#include <optional>
#include <string>
#include <thread>

#include "conformance/channel_fixture.hpp"
#include "support/certificates.hpp"
#include "support/sanitizers.hpp"
#include "support/tls_peer.hpp"

namespace rondo::testing {
namespace {

using std::chrono::seconds;
using ::testing::AnyOf;
using ::testing::HasSubstr;

Deadline soon() { return Deadline::after(seconds(60)); }

// What a Connection::open() has come to, in words.
std::string error_of(const Result<Connection>& made) {
  if (made) return {};
  return std::string(to_string(made.error().code)) + ": " + made.error().message;
}

class Tls : public Watchdog {
 protected:
  Tls() { make_certificate(own_); }
  ~Tls() override {
    for (const auto& file : std::filesystem::directory_iterator(directory_.path())) {
      std::filesystem::remove(file);
    }
  }

  [[nodiscard]] std::string path(const std::string& name) const {
    return directory_.path() + "/" + name;
  }
  [[nodiscard]] std::string certificate(const std::string& name, CertificateWish wish = {}) const {
    make_certificate(path(name), wish);
    return path(name);
  }
  [[nodiscard]] std::string file(const std::string& name, const std::string& contents,
                                 mode_t mode = 0600) const {
    std::ofstream(path(name)) << contents;
    chmod(path(name).c_str(), mode);
    return path(name);
  }
  static std::string shows(const std::string& own) {
    return "certificate=" + own + ".pem&key=" + own + ".key";
  }
  [[nodiscard]] Listener listen(const std::string& options) const {
    auto listener = Listener::open(url_ + "?" + options);
    if (!listener) throw std::runtime_error(listener.error().message);
    return std::move(listener).value();
  }
  [[nodiscard]] Result<Connection> call(const std::string& options) const {
    return Connection::open(url_ + "?" + options, {.wait = soon()});
  }
  struct Ends {
    Connection far;
    Connection near;
  };
  // Both ends of a connection, by these options.
  [[nodiscard]] Ends meet(const std::string& listens, const std::string& connects) const {
    Listener listener = listen(listens);
    auto far = std::async(std::launch::async, [&] { return call(connects); });
    auto near = listener.accept(soon());
    auto other = far.get();
    if (!other || !near) throw std::runtime_error(error_of(other));
    return {*std::move(other), *std::move(near)};
  }
  // What becomes of one that is not to get in: what it is told, and what the listener says of it.
  struct Refused {
    std::string caller;
    std::string listener;
  };
  [[nodiscard]] Refused refused(const std::string& listens, const std::string& connects) const {
    Listener listener = listen(listens);
    auto far = std::async(std::launch::async, [&] { return call(connects); });
    serve_until(listener, [&] { return far.wait_for(seconds(0)) == std::future_status::ready; });
    serve_until(listener, [&] { return listener.info().turned_away > 0; });
    return {error_of(far.get()), listener.info().last_turned_away};
  }
  // Nobody gets in meanwhile.
  template <class Done>
  static void serve_until(Listener& listener, Done&& done) {
    while (!done()) {
      EXPECT_EQ(listener.accept(Deadline::after(std::chrono::milliseconds(1))).status(),
                Status::kTimedOut);
    }
  }

  ScratchDirectory directory_;
  std::string own_ = path("own");
  std::string url_ = "tls://127.0.0.1:" + std::to_string(free_port());
};

TEST_F(Tls, EachSideKnowsWhoTheOtherIs) {
  const std::string alice = certificate("alice", {.name = "alice, of \"Example\""});
  auto [far, near] =
      meet(shows(own_) + "&ca=" + alice + ".pem", shows(alice) + "&ca=" + own_ + ".pem");
  EXPECT_EQ(far.peer.identity, "CN=rondo");
  EXPECT_EQ(near.peer.identity, R"(CN=alice\, of \"Example\")");
  EXPECT_THAT(near.peer.address, HasSubstr("127.0.0.1:"));
  EXPECT_EQ(far.sender.send("hello"), Status::kOk);
  EXPECT_EQ(receive(near.receiver), "hello");

  // Nothing was asked of the one that connects.
  url_ = "tls://localhost:" + std::to_string(free_port());
  auto [nobody, here] = meet(shows(own_), "ca=" + own_ + ".pem");
  EXPECT_EQ(here.peer.identity, "");
  EXPECT_EQ(nobody.peer.identity, "CN=rondo");
}

TEST_F(Tls, MuchGoesBothWaysAtOnce) {
  constexpr std::string_view kSizes = "&max=4MiB";
  auto [far, near] =
      meet(shows(own_) + std::string(kSizes), "ca=" + own_ + ".pem" + std::string(kSizes));
  constexpr std::array<std::size_t, 6> kLengths{0, 1, 16'383, 16'385, 70'000, 4 << 20};
  const auto pour = [&](Sender& sender) {
    for (std::uint64_t i = 0; i < 30; ++i) {
      ASSERT_EQ(sender.send(numbered_message(i, kLengths[i % kLengths.size()])), Status::kOk);
    }
    EXPECT_EQ(sender.close(), Status::kOk);
  };
  const auto drink = [&](Receiver& receiver) {
    for (std::uint64_t i = 0; i < 30; ++i) {
      ASSERT_EQ(receive(receiver), numbered_message(i, kLengths[i % kLengths.size()]));
    }
    EXPECT_EQ(receive(receiver), kEndOfStreamText);
  };
  std::thread there([&, &far = far] { pour(far.sender); });
  std::thread back([&, &near = near] { pour(near.sender); });
  std::thread taker([&, &near = near] { drink(near.receiver); });
  drink(far.receiver);
  there.join();
  back.join();
  taker.join();
}

TEST_F(Tls, ACertificateThatIsNotRightIsAnErrorAtBothEnds) {
  const std::string expired = certificate("expired", {.from_hours = -48, .to_hours = -24});
  const std::string future = certificate("future", {.from_hours = 24, .to_hours = 48});
  const std::string other =
      certificate("other", {.name = "other", .alternatives = "DNS:elsewhere.example"});
  const std::string authority = certificate("authority", {.authority = true});
  const std::string issued = certificate("issued", {.name = "issued", .issuer = authority});
  struct Case {
    std::string shown;
    std::string trusted;
    std::string caller;
    std::string listener;
  };
  const std::array cases{
      Case{expired, expired, "has expired", "our certificate has expired"},
      Case{future, future, "not yet valid", "does not accept our certificate"},
      Case{own_, other, "self-signed", "does not trust"},
      Case{other, other, "IP address mismatch", "does not accept our certificate"},
      Case{issued, other, "unable to get local issuer", "does not trust"},
  };
  for (const Case& one : cases) {
    const auto [caller, listener] = refused(shows(one.shown), "ca=" + one.trusted + ".pem");
    EXPECT_THAT(caller, HasSubstr(one.caller));
    EXPECT_THAT(caller, HasSubstr(std::string(to_string(ErrorCode::kForeignOwner))));
    EXPECT_THAT(listener, HasSubstr(one.listener)) << one.caller;
  }
  // By its issuer, or by itself.
  EXPECT_EQ(meet(shows(issued), "ca=" + authority + ".pem").far.peer.identity, "CN=issued");
  EXPECT_EQ(meet(shows(issued), "ca=" + issued + ".pem").far.peer.identity, "CN=issued");
  // By the system's list, of which it is none.
  const auto [caller, listener] = refused(shows(own_), "");
  EXPECT_THAT(caller, HasSubstr("self-signed"));
}

TEST_F(Tls, ACommonNameIsNoHost) {
  url_ = "tls://localhost:" + std::to_string(free_port());
  const std::string named = certificate("named", {.name = "localhost", .alternatives = ""});
  const auto [caller, listener] = refused(shows(named), "ca=" + named + ".pem");
  EXPECT_THAT(caller, HasSubstr("hostname mismatch"));
}

TEST_F(Tls, OneThatIsNoAuthorityIssuesNobody) {
  const std::string issued = certificate("issued", {.name = "issued", .issuer = own_});
  EXPECT_THAT(refused(shows(issued), "ca=" + own_ + ".pem").caller,
              HasSubstr("its certificate is not accepted"));
}

// So that whoever trusts one for itself alone has it made with CA:FALSE.
TEST_F(Tls, OneThatIsAnAuthorityMayIssueAnyName) {
  const std::string authority = certificate("authority", {.name = "authority", .authority = true});
  const std::string any = certificate("any", {.name = "any", .issuer = authority});
  auto [far, near] = meet(shows(any), "ca=" + authority + ".pem");
  EXPECT_EQ(far.peer.identity, "CN=any");
}

TEST_F(Tls, TheEnvironmentSaysWhereTheSystemsListIs) {
  Child child([&] {
    setenv("SSL_CERT_FILE", (own_ + ".pem").c_str(), 1);
    auto [far, near] = meet(shows(own_), "");
    return far.peer.identity == "CN=rondo" ? 0 : 1;
  });
  EXPECT_EQ(child.join(), 0);
  // An explicit ca= is all that counts.
  const std::string other = certificate("other", {.name = "other"});
  Child strict([&] {
    setenv("SSL_CERT_FILE", (own_ + ".pem").c_str(), 1);
    return refused(shows(own_), "ca=" + other + ".pem").caller.empty() ? 1 : 0;
  });
  EXPECT_EQ(strict.join(), 0);
}

TEST_F(Tls, ADemandForCertificatesIsMet) {
  const std::string stranger = certificate("stranger");
  const std::string listens = shows(own_) + "&ca=" + own_ + ".pem";
  const std::string trusts = "ca=" + own_ + ".pem";
  const Refused without = refused(listens, trusts);
  EXPECT_THAT(without.caller, HasSubstr("it wants to see a certificate; say certificate="));
  EXPECT_THAT(without.listener, HasSubstr("it shows no certificate"));
  const Refused with = refused(listens, shows(stranger) + "&" + trusts);
  EXPECT_THAT(with.caller, HasSubstr("does not trust"));
  EXPECT_THAT(with.listener, HasSubstr("self-signed"));
}

TEST_F(Tls, AnOlderProtocolIsRefused) {
  Listener listener = listen(shows(own_));
  const TlsPeer peer(url_, {.version = TLS1_2_VERSION});
  auto shaken = std::async(std::launch::async, [&] {
    const bool good = peer.shake_hands();
    return good ? std::string("it went") : TlsPeer::why();
  });
  serve_until(listener, [&] { return listener.info().turned_away > 0; });
  EXPECT_THAT(shaken.get(), HasSubstr("protocol version"));
  EXPECT_THAT(listener.info().last_turned_away, HasSubstr("does not speak TLS 1.3"));
}

TEST_F(Tls, WhatIsNotTlsIsRefused) {
  Listener listener = listen(shows(own_));
  for (const std::string_view garbage :
       {std::string_view("GET / HTTP/1.1\r\n\r\n"), kHelloOfSender,
        std::string_view("\x16\x03\x01\xff\xff nothing of a hello")}) {
    const auto before = listener.info().turned_away;
    RawSocket peer("tcp" + url_.substr(3));
    peer.connect();
    peer.send(garbage);
    // A part of a record may be followed by the rest.
    shutdown(peer.fd(), SHUT_WR);
    serve_until(listener, [&] { return listener.info().turned_away > before; });
    EXPECT_THAT(listener.info().last_turned_away,
                AnyOf(HasSubstr("is not TLS"), HasSubstr("has closed")));
  }
  // And who is no TLS server is said to be none.
  listener.close();
  RawSocket server("tcp" + url_.substr(3));
  ASSERT_TRUE(server.listen());
  std::thread answers([&] {
    RawSocket caller = server.next();
    caller.send("220 mail.example ESMTP, as servers say of themselves\r\n");
    static_cast<void>(caller.receive_all());
  });
  const std::string said = error_of(call("ca=" + own_ + ".pem"));
  EXPECT_THAT(said, HasSubstr("what it sends is not TLS"));
  EXPECT_THAT(said, HasSubstr(std::string(to_string(ErrorCode::kForeignObject))));
  answers.join();
}

TEST_F(Tls, OneWhoDribblesKeepsNobodyWaiting) {
  ListenOptions limits;
  limits.handshake = std::chrono::milliseconds(300);
  auto opened = Listener::open(url_ + "?" + shows(own_), limits);
  ASSERT_TRUE(opened) << opened.error().message;
  Listener listener = *std::move(opened);
  // The beginning of a record that holds a hello of 512 bytes, which does not come.
  RawSocket silent("tcp" + url_.substr(3));
  RawSocket dribbling("tcp" + url_.substr(3));
  silent.connect();
  dribbling.connect();
  dribbling.send(std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11));
  auto far = std::async(std::launch::async, [&] { return call("ca=" + own_ + ".pem"); });
  auto near = listener.accept(soon());
  ASSERT_TRUE(near) << to_string(near.status());
  const auto other = far.get();
  EXPECT_TRUE(other) << error_of(other);
  serve_until(listener, [&] { return listener.info().turned_away == 2; });
  EXPECT_THAT(listener.info().last_turned_away, HasSubstr("in time"));
}

TEST_F(Tls, TheEndIsTheOtherSidesWord) {
  const std::string options = shows(own_) + "&framing=lines";
  for (const bool says : {true, false}) {
    Listener listener = listen(options);
    TlsPeer peer(url_, {});
    std::thread speaker([&] {
      ASSERT_TRUE(peer.shake_hands()) << TlsPeer::why();
      EXPECT_TRUE(peer.send("one\ntwo\n"));
      if (says) peer.say_end();
      peer.cut();
    });
    auto near = listener.accept(soon());
    ASSERT_TRUE(near) << to_string(near.status());
    EXPECT_EQ(receive(near->receiver), "one");
    EXPECT_EQ(receive(near->receiver), "two");
    const Status status = near->receiver.next(soon()).status();
    EXPECT_EQ(status, says ? Status::kEnded : Status::kPeerDied) << to_string(status);
    speaker.join();
  }
  // And this side says its own.
  Listener listener = listen(options);
  TlsPeer peer(url_, {});
  std::thread server([&] {
    auto near = listener.accept(soon());
    ASSERT_TRUE(near) << to_string(near.status());
    EXPECT_EQ(near->sender.send("last"), Status::kOk);
    EXPECT_EQ(near->sender.close(soon()), Status::kOk);
  });
  ASSERT_TRUE(peer.shake_hands()) << TlsPeer::why();
  EXPECT_EQ(peer.receive(1000), "last\n");
  EXPECT_TRUE(peer.was_told_the_end());
  server.join();
}

TEST_F(Tls, WhatIsForgedOnItsWayIsCorrupt) {
  // Between both ends: passes all on, but for a bit of what the sender sends once it is told to.
  RawSocket front("tcp" + url_.substr(3));
  ASSERT_TRUE(front.listen());
  const std::string hidden = "tls://127.0.0.1:" + std::to_string(free_port());
  std::atomic<bool> forges{false};
  std::thread between([&] {
    RawSocket sender = front.next();
    RawSocket receiver("tcp" + hidden.substr(3));
    receiver.connect();
    std::array<pollfd, 2> both{pollfd{sender.fd(), POLLIN, 0}, pollfd{receiver.fd(), POLLIN, 0}};
    for (std::array<char, 4096> bytes;;) {
      poll(both.data(), both.size(), -1);
      for (std::size_t i = 0; i < both.size(); ++i) {
        if (both[i].revents == 0) continue;
        const ssize_t came = recv(both[i].fd, bytes.data(), bytes.size(), 0);
        if (came <= 0) return;
        if (i == 0 && forges) bytes[static_cast<std::size_t>(came) - 1] ^= 1;
        (i == 0 ? receiver : sender).send({bytes.data(), static_cast<std::size_t>(came)});
      }
    }
  });
  auto opening = std::async(std::launch::async, [&] {
    return Receiver::open(hidden + "?" + shows(own_), {.wait = soon()});
  });
  auto sender = Sender::open(url_ + "?ca=" + own_ + ".pem", {.wait = soon()});
  auto receiver = opening.get();
  ASSERT_TRUE(sender) << sender.error().message;
  ASSERT_TRUE(receiver) << receiver.error().message;
  EXPECT_EQ(sender->send("genuine"), Status::kOk);
  EXPECT_EQ(receive(*receiver), "genuine");
  forges = true;
  EXPECT_EQ(sender->send("pay 100"), Status::kOk);
  EXPECT_EQ(receiver->next(soon()).status(), Status::kCorrupt);
  receiver->detach();
  between.join();
}

TEST_F(Tls, NewKeysAreTakenAndGiven) {
  Listener listener = listen(shows(own_) + "&framing=length32&max=64KiB");
  TlsPeer peer(url_, {});
  constexpr std::uint64_t kMessages = 200;
  std::thread far([&] {
    ASSERT_TRUE(peer.shake_hands()) << TlsPeer::why();
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      if (i % 3 == 0) {
        EXPECT_TRUE(peer.change_keys());
      }
      const std::string frame = frame_of(numbered_message(i, 100 * i));
      ASSERT_TRUE(peer.send(frame)) << TlsPeer::why();
      ASSERT_EQ(peer.receive(frame.size()), frame) << TlsPeer::why();
    }
    peer.say_end();
  });
  auto near = listener.accept(soon());
  ASSERT_TRUE(near) << to_string(near.status());
  for (const Message& message : near->receiver) {
    ASSERT_EQ(near->sender.send(message.bytes()), Status::kOk);
  }
  EXPECT_EQ(near->receiver.status(), Status::kEnded) << to_string(near->receiver.status());
  far.join();
}

TEST_F(Tls, AKeyThatBothHaveIsEnough) {
  const std::string key = file("key", std::string(64, 'a') + "\n");
  auto [far, near] = meet("psk=" + key, "psk=" + key);
  EXPECT_EQ(near.peer.identity, "rondo");
  EXPECT_EQ(near.sender.send("secret"), Status::kOk);
  EXPECT_EQ(receive(far.receiver), "secret");
  url_ = "tls://127.0.0.1:" + std::to_string(free_port());
  EXPECT_EQ(
      meet("psk_identity=plant 7&psk=" + key, "psk_identity=plant 7&psk=" + key).far.peer.identity,
      "plant 7");
}

TEST_F(Tls, AnotherKeyOrNameIsAnErrorAtBothEnds) {
  const std::string key = file("key", std::string(64, 'a'));
  const std::string another = file("another", std::string(64, 'b'));
  const Refused wrong = refused("psk=" + key, "psk=" + another);
  EXPECT_THAT(wrong.caller, HasSubstr("another key than that of psk="));
  EXPECT_THAT(wrong.listener, HasSubstr("another key than that of psk="));
  const Refused unknown = refused("psk=" + key, "psk=" + key + "&psk_identity=nobody");
  EXPECT_THAT(unknown.caller, HasSubstr("psk_identity="));
  EXPECT_THAT(unknown.listener, HasSubstr("no key called as that of psk="));
  // A certificate is none in its place, nor the other way round.
  const Refused certified = refused(shows(own_), "psk=" + key);
  EXPECT_NE(certified.caller, "");
  const Refused keyed = refused("psk=" + key, "ca=" + own_ + ".pem");
  EXPECT_THAT(keyed.caller, HasSubstr("no certificate for us"));
}

TEST_F(Tls, AFileThatIsNotRightIsNamed) {
  const auto says = [&](const std::string& options) {
    const auto opened = Listener::open(url_ + "?" + options);
    return opened ? "it is open" : opened.error().message;
  };
  const std::string other = certificate("other");
  const std::string garbage = file("garbage", "-----BEGIN CERTIFICATE-----\nAAAA\n");
  EXPECT_THAT(says("certificate=" + path("missing")), HasSubstr("No such file"));
  EXPECT_THAT(says("certificate=" + directory_.path()), HasSubstr("no file with contents"));
  EXPECT_THAT(says("certificate=" + garbage), HasSubstr("holds no certificate"));
  EXPECT_THAT(says("certificate=" + own_ + ".pem&key=" + other + ".key"),
              HasSubstr("does not go with the certificate"));
  EXPECT_THAT(says("certificate=" + own_ + ".pem&key=" + garbage),
              HasSubstr("holds no private key"));
  EXPECT_THAT(says(shows(own_) + "&ca=" + garbage), HasSubstr("ca=" + garbage));
  EXPECT_THAT(says("psk=" + file("short", "abcd")), HasSubstr("32 to 128 hexadecimal digits"));
  EXPECT_THAT(says("psk=" + file("words", std::string(64, 'x'))), HasSubstr("hexadecimal"));
  EXPECT_THAT(says("psk=" + file("open", std::string(64, 'a'), 0604)),
              HasSubstr("others have access"));
  chmod((own_ + ".key").c_str(), 0644);
  EXPECT_THAT(says(shows(own_)), HasSubstr("others have access"));
  chmod((own_ + ".key").c_str(), 0640);
  EXPECT_EQ(says(shows(own_)), "it is open");
  EXPECT_THAT(says("key=" + own_ + ".key"), HasSubstr("say certificate= too"));
  EXPECT_THAT(says("psk=x&ca=y"), HasSubstr("leave out"));
  EXPECT_THAT(says("psk_identity=x"), HasSubstr("say psk= too"));
}

TEST_F(Tls, AListenerHasSomethingToShow) {
  for (const std::string& options : {std::string(), "?ca=" + own_ + ".pem"}) {
    const auto opened = Listener::open(url_ + options);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, ErrorCode::kInvalidOption);
    EXPECT_THAT(opened.error().message, HasSubstr("openssl req -x509"));
  }
}

TEST_F(Tls, WhatIsDecryptedAlreadyIsNotSleptOver) {
  // Each poll() sees the socket alone; what TLS has read ahead lies in no socket.
  auto [far, near] = meet(shows(own_) + "&max=8MiB", "ca=" + own_ + ".pem&max=8MiB");
  const auto fd = near.receiver.fd();
  ASSERT_TRUE(fd) << fd.error().message;
  constexpr std::uint64_t kMessages = 60;
  std::thread sends([&, &far = far] {
    for (std::uint64_t i = 0; i < kMessages; ++i) {
      ASSERT_EQ(far.sender.send(numbered_message(i, i % 2 == 0 ? 20 : 8 << 20)), Status::kOk);
      // The last byte of what it holds is all there is for now.
      if (i % 4 == 3) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
  });
  for (std::uint64_t i = 0; i < kMessages;) {
    const auto message = near.receiver.try_next();
    if (message) {
      ASSERT_EQ(message->text(), numbered_message(i, i % 2 == 0 ? 20 : 8 << 20));
      ++i;
      continue;
    }
    pollfd ready{*fd, POLLIN, 0};
    ASSERT_EQ(poll(&ready, 1, 60'000), 1) << "slept over message " << i;
  }
  sends.join();
}

// Comes with nothing but new keys for so long that whoever has a moment only ends before that.
class Flood {
 public:
  // As many as a listener takes within what it grants a handshake.
  static constexpr int kNewKeys = kSanitized ? 5'000 : 50'000;

  // Shakes hands, and says `last` behind it.
  Flood(const std::string& url, std::string last)
      : peer_(url, {}), thread_([this, last = std::move(last)] {
          ASSERT_TRUE(peer_.shake_hands()) << TlsPeer::why();
          const std::string bytes = peer_.new_keys_before(last, kNewKeys);
          begins_ = true;
          peer_.socket().send(bytes);
        }) {}
  ~Flood() { thread_.join(); }

  // How often `look`, which has a moment each time, sees nothing while it comes.
  template <class Look>
  int seen_nothing(Look&& look) const {
    for (int times = 0;;) {
      const bool begun = begins_;
      if (look()) return times;
      if (begun) ++times;
    }
  }

 private:
  TlsPeer peer_;
  std::atomic<bool> begins_{false};
  std::thread thread_;
};
constexpr int kOften = 5;

TEST_F(Tls, AFloodOfNewKeysKeepsNoReceiver) {
  Listener listener = listen(shows(own_) + "&framing=length32");
  const Flood flood(url_, frame_of("behind"));
  auto near = listener.accept(soon());
  ASSERT_TRUE(near) << to_string(near.status());
  const auto looks = [&] {
    const auto message = near->receiver.next(Deadline::after(std::chrono::milliseconds(1)));
    if (!message) return message.status() != Status::kTimedOut;
    EXPECT_EQ(message->text(), "behind");
    return true;
  };
  EXPECT_GE(flood.seen_nothing(looks), kOften);
}

TEST_F(Tls, AFloodOfNewKeysKeepsNoListener) {
  Listener listener = listen(shows(own_));
  const Flood flood(url_, std::string(kHelloOfBoth));
  const auto looks = [&] {
    return listener.accept(Deadline::after(std::chrono::milliseconds(1))).status() !=
           Status::kTimedOut;
  };
  EXPECT_GE(flood.seen_nothing(looks), kOften);
}

TEST_F(Tls, AWriteThatWaitsForAReadRests) {
  RawSocket front("tcp" + url_.substr(3));
  ASSERT_TRUE(front.listen());
  const std::string options = "&framing=length32";
  auto calling =
      std::async(std::launch::async, [&] { return call("ca=" + own_ + ".pem" + options); });
  const TlsPeer server(front.next(), {.certificate = own_});
  ASSERT_TRUE(server.shake_hands()) << TlsPeer::why();
  auto far = calling.get();
  ASSERT_TRUE(far) << error_of(far);
  const std::string message = server.message_in_pieces();
  server.socket().send(message.substr(0, 700));
  EXPECT_EQ(far->receiver.next(Deadline::after(std::chrono::milliseconds(50))).status(),
            Status::kTimedOut);

  // No other message may come in between; and it is the reader's to take the rest.
  const auto used = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  EXPECT_EQ(far->sender.try_send("hello"), Status::kOk);
  const auto before = used();
  EXPECT_EQ(far->sender.flush(Deadline::after(std::chrono::milliseconds(300))), Status::kTimedOut);
  EXPECT_LT(used() - before, std::chrono::milliseconds(150));
  server.socket().send(message.substr(700));
  EXPECT_EQ(far->sender.flush(Deadline::after(std::chrono::milliseconds(50))), Status::kTimedOut);
  while (far->sender.flush(Deadline::now()) != Status::kOk) {
    EXPECT_THAT(far->receiver.next(Deadline::after(std::chrono::milliseconds(1))).status(),
                Status::kTimedOut);
  }
  EXPECT_EQ(server.receive(frame_of("hello").size()), frame_of("hello"));
}

// A process of its own, which has not used OpenSSL before.
TEST(TlsDeathTest, WhatOpenSslDoesAtExitIsTurnedOff) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto open_and_exit = [] {
    bool opened = false;
    {
      const ScratchDirectory directory;
      const std::string key = directory.path() + "/key";
      std::ofstream(key) << std::string(64, 'a');
      chmod(key.c_str(), 0600);
      opened = static_cast<bool>(Listener::open("tls://127.0.0.1:0?psk=" + key));
      std::filesystem::remove(key);
    }
    OPENSSL_atexit([] { _exit(7); });
    std::exit(opened ? 0 : 1);
  };
  EXPECT_EXIT(open_and_exit(), ::testing::ExitedWithCode(0), "");
}

TEST_F(Tls, ErrorsAndSignalsAreTheProgramsOwn) {
  ERR_raise(ERR_LIB_USER, 77);
  const unsigned long mine = ERR_peek_error();
  std::signal(SIGPIPE, SIG_DFL);  // which would end the program
  {
    auto [far, near] = meet(shows(own_), "ca=" + own_ + ".pem");
    EXPECT_FALSE(Connection::open(url_ + "?ca=" + path("missing"), {.wait = soon()}));
    EXPECT_EQ(near.sender.send("hello"), Status::kOk);
    EXPECT_EQ(receive(far.receiver), "hello");
    near = Connection{std::move(far.sender), std::move(far.receiver)};  // the near end is gone
    Status status = Status::kOk;
    while (status == Status::kOk) status = near.sender.send("for nobody");
    EXPECT_EQ(status, Status::kPeerGone);
  }
  EXPECT_EQ(ERR_get_error(), mine);
  EXPECT_EQ(ERR_get_error(), 0u);
}

}  // namespace
}  // namespace rondo::testing
