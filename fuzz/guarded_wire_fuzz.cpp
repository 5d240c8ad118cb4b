// Any messages with any descriptors as what the other side of a guarded ring says while one joins:
// to a sender's acceptor, and to a receiver on its way in. Nothing may be touched out of bounds, no
// descriptor may be left open, and whatever was said at the acceptor, an honest receiver gets in
// after.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "guarded/acceptor.hpp"
#include "guarded/connector.hpp"
#include "input.hpp"
#include "open/name.hpp"
#include "rondo/core/record_ring.hpp"

using namespace rondo;
using namespace rondo::detail;

namespace {

constexpr std::uint64_t kCapacity = 4096;
constexpr int kMostSaid = 12;
volatile std::byte sink;

// A directory for the socket, for as long as the fuzzer runs.
const std::string& ring_path() {
  static const struct Scratch {
    Scratch() {
      char name[] = "/tmp/rondo-fuzz-XXXXXX";
      if (mkdtemp(name) == nullptr) std::abort();
      directory = name;
      path = directory + "/ring";
    }
    ~Scratch() { std::filesystem::remove_all(directory); }
    std::string directory;
    std::string path;
  } scratch;
  return scratch.path;
}

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

// What may be handed over: files of all kinds, sound and not.
class Files {
 public:
  // Another one, or one that was made before, opened anew. -1 if there is none.
  int draw(fuzz::Input& input) {
    const auto drawn = input.take<std::uint8_t>();
    const unsigned kind = drawn % 8;
    if (kind == 0) return keep(open("/dev/null", O_RDWR | O_CLOEXEC));
    if (kind == 1) return keep(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (kind == 2) return keep(end_of_a_pipe());
    if (kind == 3) return ring(input, drawn >= 128);
    if (kind == 4) return page(input);
    return last_opened_anew(drawn >= 128 ? O_RDWR : O_RDONLY);
  }

  // A receiver's part as it has to be, for reading and for locking, with its lock taken.
  std::array<int, 2> sound_part(std::uint64_t head) {
    std::array<std::uint64_t, kPartAlignment / 8> words{head};
    last_ = seal(std::as_bytes(std::span(words)), kAllSeals);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_start = static_cast<off_t>(kLockBase + kGuardedReceiverSlot);
    lock.l_len = 1;
    RONDO_FUZZ_CHECK(fcntl(last_, F_OFD_SETLK, &lock) == 0);
    return {last_opened_anew(O_RDONLY), last_opened_anew(O_RDWR)};
  }

  // A ring with some records in it, and scribbles if `hostile`.
  int ring(fuzz::Input& input, bool hostile) {
    const RecordParams params{kCapacity, 1 + input.take<std::uint8_t>() % 3u};
    const auto layout = record_ring::layout_for(params);
    fuzz::Memory memory(layout->total_bytes);
    auto producer =
        record_ring::Producer::attach(record_ring::create(memory.bytes(), params).value());
    for (int i = 0; i < 20 && producer->try_reserve(100) != nullptr; ++i) producer->commit(100);
    for (int i = 0; hostile && i < 4; ++i) memory.scribble(input, layout->producer);
    return last_ = seal(memory.bytes(), kAllSeals);
  }

 private:
  static constexpr unsigned kAllSeals =
      F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL;

  int keep(int fd) {
    if (fd >= 0) kept_.emplace_back(fd);
    return fd;
  }
  static int end_of_a_pipe() {
    std::array<int, 2> ends{};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return -1;
    close(ends[1]);
    return ends[0];
  }
  // A page, more or less, with some of its seals.
  int page(fuzz::Input& input) {
    std::array<std::uint64_t, kPartAlignment / 4> words{};
    words[0] = input.take<std::uint16_t>();
    const std::size_t size = std::min<std::size_t>(input.take<std::uint16_t>(), sizeof words);
    return last_ = seal(std::as_bytes(std::span(words)).first(size),
                        kAllSeals & ~(input.take<std::uint8_t>() & 0xfu));
  }
  int seal(std::span<const std::byte> bytes, unsigned seals) {
    const int fd = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    RONDO_FUZZ_CHECK(write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    RONDO_FUZZ_CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
    return keep(fd);
  }
  int last_opened_anew(int flags) {
    if (last_ < 0) return -1;
    return keep(open(("/proc/self/fd/" + std::to_string(last_)).c_str(), flags | O_CLOEXEC));
  }

  std::vector<OwnedFd> kept_;
  int last_ = -1;  // the memfd that was made last
};

// What one side says, with up to 8 descriptors: more than there is room for.
void say(int socket, std::span<const std::byte> message, const std::vector<int>& fds) {
  iovec bytes{const_cast<std::byte*>(message.data()), message.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control{};
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
  static_cast<void>(sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT));
}

// A sound message of one of the three kinds, then spoilt, cut off or drawn out as the input says.
void say_something(int socket, fuzz::Input& input, Files& files) {
  std::array<std::byte, 64> bytes{};
  const auto shape = input.take<std::uint8_t>();
  std::size_t size = 0;
  const auto lay = [&](const auto& message) {
    std::memcpy(bytes.data(), &message, sizeof message);
    size = sizeof message;
  };
  if (shape % 3 == 0) lay(GuardedOffer{});
  if (shape % 3 == 1) lay(GuardedAnswer{});
  if (shape % 3 == 2) lay(GuardedJoinReply{});
  for (unsigned i = 0; i < shape / 3 % 4; ++i) {
    bytes[input.take<std::uint8_t>() % size] = static_cast<std::byte>(input.take<std::uint8_t>());
  }
  if (shape >= 192) size = input.take<std::uint8_t>() % (bytes.size() + 1);
  std::vector<int> fds;
  const unsigned count = input.take<std::uint8_t>() % 9;
  for (unsigned i = 0; i < count; ++i) {
    if (const int fd = files.draw(input); fd >= 0) fds.push_back(fd);
  }
  say(socket, std::span(bytes).first(size), fds);
}

void attack_the_acceptor(fuzz::Input& input, const Url& url) {
  const auto acceptor = GuardedAcceptor::open(url, {}).value();
  auto producer = record_ring::Producer::attach(acceptor->parts());
  {
    Files files;
    std::vector<FdStream> sockets;
    for (int said = 0; said < kMostSaid && !input.empty(); ++said) {
      const auto act = input.take<std::uint8_t>();
      if (sockets.empty() || act % 4 == 0) {
        auto socket = connect_to(url, SocketKind::kMessages);
        if (!socket) break;
        sockets.push_back(std::move(socket).value());
        acceptor->service();
      }
      const int socket = sockets[act / 4 % sockets.size()].fd();
      if (act % 4 == 1) {
        const auto fds = files.sound_part(input.take<std::uint8_t>() % 2 * 8);
        const GuardedAnswer answer;
        say(socket, std::as_bytes(std::span(&answer, 1)), {fds[0], fds[1]});
      } else {
        say_something(socket, input, files);
      }
      acceptor->service();
      if (producer->try_reserve(100) != nullptr) producer->commit(100);
      for (std::uint32_t i = 0; i < acceptor->parts().readers; ++i)
        static_cast<void>(acceptor->presence(i));
    }
  }
  auto honest = GuardedConnector::connect(url, {});
  RONDO_FUZZ_CHECK(honest.has_value());
  bool in = false;
  for (int tries = 0; tries < 4 && !in; ++tries) {
    acceptor->service();
    const auto step = honest->step();
    RONDO_FUZZ_CHECK(step.has_value());
    in = *step;
  }
  RONDO_FUZZ_CHECK(in);
  RONDO_FUZZ_CHECK(acceptor->presence() == Presence::kPresent);
  acceptor->close();
}

void read_some(const GuardedConnector::JoinedRing& joined_ring) {
  static_cast<void>(joined_ring.membership->peer());
  const RecordParts& parts = joined_ring.parts;
  auto reader = parts.readers == 1 ? record_ring::Consumer::attach(parts)
                                   : record_ring::Consumer::join(parts, {});
  for (int i = 0; reader && i < 64; ++i) {
    if (reader->try_peek() != ReadOutcome::kMessage) break;
    for (std::size_t at = 0; at < reader->size(); ++at) sink = reader->data()[at];
    reader->give_back();
  }
}

void attack_a_receiver(fuzz::Input& input, const Url& url) {
  auto listener = listen_at(url, {}, SocketKind::kMessages, 1, "a sender").value();
  auto connector = GuardedConnector::connect(url, {});
  RONDO_FUZZ_CHECK(connector.has_value());
  const OwnedFd socket(accept4(listener.socket.fd(), nullptr, nullptr, SOCK_CLOEXEC));
  Files files;
  for (int said = 0; said < kMostSaid && !input.empty(); ++said) {
    const auto act = input.take<std::uint8_t>();
    if (act % 4 == 0) {
      const GuardedOffer offer{.start = input.take<std::uint8_t>() * 8u};
      say(socket.get(), std::as_bytes(std::span(&offer, 1)), {files.ring(input, act >= 128)});
    } else {
      say_something(socket.get(), input, files);
    }
    const auto in = connector->step();
    if (!in) break;
    if (*in) {
      read_some(std::move(*connector).join());
      break;
    }
  }
  listener.cleanup->run();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto drawn = input.take<std::uint8_t>();
  const auto url = Url::parse("shm+guarded:" + ring_path() +
                              (drawn & 1 ? "?capacity=4KiB" : "?capacity=4KiB&readers=2"));
  const std::size_t before = open_descriptors();
  if (drawn & 2) {
    attack_the_acceptor(input, *url);
  } else {
    const auto any = Url::parse("shm+guarded:" + ring_path());
    attack_a_receiver(input, *any);
  }
  // What must not be closed is left open on purpose; these here are harmless.
  close_leaked();
  RONDO_FUZZ_CHECK(open_descriptors() == before);
  return 0;
}
