// Any bytes as what strangers say where the two sides of a channel meet: several at once to a
// reception, and to either side of auto: before it is settled what it becomes. Who is let in has
// said who he is, and everybody who came is counted; a ring comes of what an honest other side says
// alone; and no descriptor is left open.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "input.hpp"
// Its two sides stand there alone.
#include "open/auto.cpp"

using namespace rondo;
using namespace rondo::detail;

namespace {

using Bytes = std::vector<std::byte>;

constexpr std::size_t kMostAtOnce = 4;
constexpr std::size_t kMostCallers = 12;

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// Some bytes of the input, at most.
Bytes some_bytes(fuzz::Input& input, std::size_t most) {
  Bytes bytes(input.take<std::uint8_t>() % (most + 1));
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(input.take<std::uint8_t>());
  return bytes;
}

void say(NativeHandle socket, std::span<const std::byte> bytes) {
  static_cast<void>(send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
}

template <class T>
void say_struct(NativeHandle socket, const T& value) {
  say(socket, std::as_bytes(std::span(&value, 1)));
}

// ---- a reception ----

struct Stranger {
  UniqueFd socket;
  Bytes said{};
  bool has_gone = false;
};

void attack_a_reception(fuzz::Input& input) {
  const std::string name = "rondo-fuzz-" + std::to_string(getpid());
  const auto url = Url::parse("unix:@" + name);
  auto opened = Reception::open(*url, {}, {.handshakes = kMostAtOnce}, 64, "a fuzzer");
  RONDO_FUZZ_CHECK(opened.has_value());
  OpenDoor door{std::move(opened).value()};
  std::deque<Stranger> strangers;
  std::size_t arrived = 0;
  const auto judge = [](Hello hello, const Peer& peer, NativeHandle) {
    RONDO_FUZZ_CHECK(peer.process && peer.process->user == geteuid());
    return hello == Hello::kSends ? Answer::kConfirmed : Answer::kWrongSide;
  };
  const auto has_said_so = [](const Stranger& stranger) {
    const Hello hello = Hello::kSends;
    return stranger.said.size() >= sizeof hello &&
           std::memcmp(stranger.said.data(), &hello, sizeof hello) == 0;
  };
  const auto look = [&] {
    while (const auto arrival = door.reception->next(judge)) {
      RONDO_FUZZ_CHECK(arrival->hello == Hello::kSends);
      ++arrived;
    }
    RONDO_FUZZ_CHECK(arrived <=
                     static_cast<std::size_t>(std::ranges::count_if(strangers, has_said_so)));
    RONDO_FUZZ_CHECK(door.reception->handshakes() <= kMostAtOnce);
    RONDO_FUZZ_CHECK(arrived + door.reception->turned_away() + door.reception->handshakes() ==
                     strangers.size());
  };
  const auto come = [&] {
    Stranger& one = strangers.emplace_back(Stranger{make_socket(SocketKind::kStream)});
    RONDO_FUZZ_CHECK(connect_to(one.socket.get(), abstract_address(name)) == 0);
  };
  for (int acts = 0; !input.empty() && acts < 100; ++acts) {
    const auto drawn = input.take<std::uint8_t>();
    if (strangers.empty() || (drawn % 8 == 0 && strangers.size() < kMostCallers)) {
      come();
      if ((drawn & 8) != 0) look();
      continue;
    }
    Stranger& one = strangers[(drawn >> 3) % strangers.size()];
    if (drawn % 8 == 1) {
      one.has_gone = true;
      one.socket = UniqueFd();
    } else if (!one.has_gone) {
      // Most of it begins as something that one of ours may say.
      Bytes bytes = some_bytes(input, 8);
      if (drawn % 8 >= 4) {
        const auto hello = std::as_bytes(std::span(&kHellos[drawn % kHellos.size()], 1));
        const std::size_t from = std::min(one.said.size(), hello.size());
        bytes.insert(bytes.begin(), hello.begin() + static_cast<std::ptrdiff_t>(from), hello.end());
        if ((drawn & 64) != 0 && bytes.size() > 2) bytes.resize(2);
      }
      one.said.insert(one.said.end(), bytes.begin(), bytes.end());
      say(one.socket.get(), bytes);
    }
    if ((drawn & 128) != 0) look();
  }
  look();
  // Whatever has come before, whoever says what he has to is let in.
  come();
  const Hello hello = Hello::kSends;
  strangers.back().said.resize(sizeof hello);
  std::memcpy(strangers.back().said.data(), &hello, sizeof hello);
  say_struct(strangers.back().socket.get(), hello);
  const std::size_t before = arrived;
  look();
  RONDO_FUZZ_CHECK(arrived == before + 1);
  Answer answer{};
  RONDO_FUZZ_CHECK(recv(strangers.back().socket.get(), &answer, sizeof answer, 0) == 1 &&
                   answer == Answer::kConfirmed);
}

// ---- either side of auto: ----

struct AutoWire {
  AutoWire() {
    int ends[2];
    RONDO_FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    near = UniqueFd(ends[0]);
    far = UniqueFd(ends[1]);
  }
  [[nodiscard]] Meeting meeting() {
    return {std::move(near), nullptr, {}, *Url::parse("auto://localhost:1?capacity=4KiB")};
  }
  UniqueFd near;
  UniqueFd far;
};

void attack_a_host(fuzz::Input& input) {
  const OpenOptions options;
  AutoWire wire;
  RingHost host(wire.meeting(), options);
  Invitation invitation;
  RONDO_FUZZ_CHECK(recv(wire.far.get(), &invitation, sizeof invitation, 0) == sizeof invitation);
  std::vector<UniqueFd> guests;
  std::optional<GuardedConnector> honest;
  bool token_said = false;  // by one that is not honest any more
  bool in = false;
  std::optional<std::byte> chosen;  // the first that was said
  for (int acts = 0; !input.empty() && acts < 60; ++acts) {
    const auto drawn = input.take<std::uint8_t>();
    switch (drawn % 8) {
      case 0:
        if (guests.size() < kMostCallers) {
          guests.push_back(make_socket(SocketKind::kMessages));
          static_cast<void>(connect_to(guests.back().get(), rendezvous(invitation.name)));
        }
        break;
      case 1:
        if (!guests.empty()) guests.erase(guests.begin());
        break;
      case 2:
      case 3:  // a token that is not right, or is; and anything
        if (!guests.empty()) {
          Bytes bytes(sizeof invitation.token);
          std::memcpy(bytes.data(), &invitation.token, bytes.size());
          if (drawn >= 64) bytes[drawn % bytes.size()] ^= std::byte{1};
          if (drawn >= 128) bytes = some_bytes(input, 40);
          token_said = token_said || drawn < 64;
          say(guests[(drawn >> 3) % guests.size()].get(), bytes);
        }
        break;
      case 4:
        if (!honest && !token_said) {
          FdStream socket(make_socket(SocketKind::kMessages), FdStream::Direction::kWrite);
          if (connect_to(socket.fd(), rendezvous(invitation.name)) != 0) break;
          auto made = GuardedConnector::over(std::move(socket), url_of_ring(host.url()), {});
          RONDO_FUZZ_CHECK(made.has_value());
          honest.emplace(std::move(made).value());
          static_cast<void>(send_struct(honest->socket(), invitation.token));
        }
        break;
      case 5:
        if (honest && !in) {
          const auto step = honest->step();
          in = step && *step;
        }
        break;
      default: {
        Choice choice = Choice::kRing;
        if ((drawn & 16) != 0) choice = static_cast<Choice>(input.take<std::uint8_t>());
        if ((drawn & 32) != 0) choice = Choice::kConnection;
        if ((drawn & 192) != 0) break;
        if (!chosen) chosen = static_cast<std::byte>(choice);
        say_struct(wire.far.get(), choice);
      }
    }
    const auto settled = host.step();
    if (settled && *settled == Settled::kNotYet) continue;
    RONDO_FUZZ_CHECK(chosen.has_value());
    if (!settled) {
      RONDO_FUZZ_CHECK(*chosen == static_cast<std::byte>(Choice::kNeither) &&
                       (honest || token_said));
    } else if (*settled == Settled::kRing) {
      // That it is let in, it may not have heard yet.
      RONDO_FUZZ_CHECK(*chosen == static_cast<std::byte>(Choice::kRing) && honest);
      RONDO_FUZZ_CHECK(host.finish(*settled).has_value());
    } else if (*settled == Settled::kConnection) {
      RONDO_FUZZ_CHECK(*chosen == static_cast<std::byte>(Choice::kConnection));
    }
    return;
  }
}

void attack_a_guest(fuzz::Input& input) {
  const OpenOptions options;
  const SharedSecret name = draw_secret();
  FdStream listening(make_socket(SocketKind::kMessages), FdStream::Direction::kRead);
  RONDO_FUZZ_CHECK(bind_to(listening.fd(), rendezvous(name)) == 0 &&
                   listen_on(listening.fd(), 8) == 0);
  AutoWire wire;
  const Url url = *Url::parse("auto://localhost:1?capacity=4KiB");
  Invitation invitation;
  invitation.name = name;
  invitation.token = draw_secret();
  const auto shape = input.take<std::uint8_t>();
  if ((shape & 3) == 3) invitation.name = {};
  Bytes bytes(sizeof invitation);
  std::memcpy(bytes.data(), &invitation, bytes.size());
  if ((shape & 12) == 12) bytes[shape % bytes.size()] ^= std::byte{1};
  const bool spoilt = (shape & 12) == 12;
  RingGuest guest(wire.meeting(), options);
  std::unique_ptr<GuardedAcceptor> honest;
  std::optional<UntrustedSocket> socket;
  std::size_t said = 0;
  bool agreed = false;
  for (int acts = 0; !input.empty() && acts < 60; ++acts) {
    const auto drawn = input.take<std::uint8_t>();
    switch (drawn % 8) {
      case 0:
      case 1: {  // some of the invitation, or all of it
        const std::size_t count = std::min<std::size_t>(
            drawn >= 64 ? bytes.size() : std::size_t{drawn} / 8u, bytes.size() - said);
        say(wire.far.get(), std::span(bytes).subspan(said, count));
        said += count;
        break;
      }
      case 2:
        if (!socket) {
          if (OwnedFd one(accept4(listening.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
              one) {
            socket.emplace(std::move(one));
          }
        }
        break;
      case 3:  // a sender of ours takes over
        if (socket && !honest) {
          SharedSecret token{};
          if (receive_struct(socket->get(), token) != WireResult::kDone) break;
          RONDO_FUZZ_CHECK(spoilt || token == invitation.token);
          auto made = GuardedAcceptor::over(std::move(*socket), url, options);
          RONDO_FUZZ_CHECK(made.has_value());
          honest = std::move(made).value();
        }
        break;
      case 4:
        if (honest) honest->service();
        break;
      case 5:
        if (socket && !honest) say(socket->get(), some_bytes(input, 40));
        break;
      case 6:
        if (drawn < 128) break;
        socket.reset();
        honest.reset();
        break;
      default:
        if (said < bytes.size()) break;
        agreed = agreed || drawn >= 64;
        say_struct(wire.far.get(), drawn >= 64 ? kAgreed : static_cast<std::byte>(drawn));
    }
    const auto settled = guest.step();
    if (!settled) return;  // other headers
    if (*settled == Settled::kNotYet) continue;
    std::array<std::byte, 8> choices{};
    const ssize_t size = recv(wire.far.get(), choices.data(), choices.size(), 0);
    if (*settled == Settled::kRing) {
      RONDO_FUZZ_CHECK(agreed && size == 1 && choices[0] == static_cast<std::byte>(Choice::kRing));
    } else if (*settled == Settled::kConnection) {
      RONDO_FUZZ_CHECK(said == bytes.size() && size == 1 &&
                       choices[0] == static_cast<std::byte>(Choice::kConnection));
    } else {
      RONDO_FUZZ_CHECK(size <= 1);
    }
    return;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto drawn = input.take<std::uint8_t>();
  const std::size_t before = open_descriptors();
  switch (drawn % 3) {
    case 0: attack_a_reception(input); break;
    case 1: attack_a_host(input); break;
    default: attack_a_guest(input); break;
  }
  // What must not be closed is left open on purpose; these here are harmless.
  close_leaked();
  RONDO_FUZZ_CHECK(open_descriptors() == before);
  return 0;
}
