// Anything done to a connection of tls: by whoever is on its way: bytes of each direction go on as
// they came, in pieces of any size, or changed, made up, doubled or left out, before and after the
// handshake, and either direction is cut. Whatever that is, what a side reads is what the other one
// has written, from its beginning on; an end is one that was said, behind all of it; and a
// connection that has failed stays so, and says why.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "input.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/transports/url.hpp"
#include "stream/secure_layer.hpp"
#include "tls/tls.hpp"

using namespace rondo;
using namespace rondo::detail;

namespace {

using Bytes = std::vector<std::byte>;
using Outcome = SecureLayer::Outcome;
using Handshake = SecureLayer::Handshake;

// Both sides' contexts, with a key that they have in common: no other handshake takes less time.
struct Sides {
  Sides() {
    char name[] = "/tmp/rondo-fuzz-XXXXXX";
    if (mkdtemp(name) == nullptr) std::abort();
    const std::string path = std::string(name) + "/psk";
    const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::string key(64, '7');
    RONDO_FUZZ_CHECK(write(file, key.data(), key.size()) == static_cast<ssize_t>(key.size()));
    close(file);
    const auto url = Url::parse("tls://localhost:1?psk=" + path);
    connects = secure_side(*url, false).value();
    accepts = secure_side(*url, true).value();
    std::filesystem::remove_all(name);
  }
  std::shared_ptr<SecureSide> connects;
  std::shared_ptr<SecureSide> accepts;
};
const Sides& sides() {
  static const Sides made;
  return made;
}

// The byte of that number in what one side writes.
std::byte pattern(std::size_t index) { return static_cast<std::byte>(index * 7 + index / 256); }

// One side: a layer over a socket, at whose other end is the way.
class End {
 public:
  explicit End(SecureSide& side) {
    int ends[2];
    RONDO_FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    near_ = UniqueFd(ends[0]);
    far_ = UniqueFd(ends[1]);
    layer_ = side.begin(near_.get());
    RONDO_FUZZ_CHECK(layer_ != nullptr);
  }

  void shake_hands() {
    if (done_ || failed_) return;
    const Handshake handshake = layer_->shake_hands();
    done_ = handshake == Handshake::kDone;
    failed_ = handshake == Handshake::kGone || handshake == Handshake::kRefused;
    if (handshake == Handshake::kRefused) RONDO_FUZZ_CHECK(!layer_->why().empty());
    if (failed_) check_failed();
  }
  // So many more, and those that have not gone before.
  void write(std::size_t bytes) {
    if (!done_ || said_end_) return;
    offered_ += bytes;
    Bytes left(offered_ - written_);
    for (std::size_t i = 0; i < left.size(); ++i) left[i] = pattern(written_ + i);
    const std::array pieces{std::span<const std::byte>(left).first(left.size() / 2),
                            std::span<const std::byte>(left).subspan(left.size() / 2)};
    const auto [outcome, moved] = layer_->write(pieces);
    RONDO_FUZZ_CHECK(moved <= left.size());
    RONDO_FUZZ_CHECK(outcome == Outcome::kMoved || moved == 0);
    written_ += moved;
    if (failed_) RONDO_FUZZ_CHECK(moved == 0);
  }
  void read(std::size_t most, const End& other) {
    if (!done_) return;
    Bytes room(most);
    const auto [outcome, moved] =
        layer_->read({std::span(room).first(most / 3), std::span(room).subspan(most / 3)});
    RONDO_FUZZ_CHECK(moved <= most && (outcome == Outcome::kMoved || moved == 0));
    RONDO_FUZZ_CHECK(!failed_ || moved == 0);
    for (std::size_t i = 0; i < moved; ++i) RONDO_FUZZ_CHECK(room[i] == pattern(read_ + i));
    read_ += moved;
    RONDO_FUZZ_CHECK(read_ <= other.offered_);
    if (outcome == Outcome::kEnd && most > 0) {
      RONDO_FUZZ_CHECK(other.said_end_ && read_ == other.written_);
    }
    if (outcome == Outcome::kCutOff || outcome == Outcome::kCorrupt) {
      failed_ = true;
      check_failed();
    }
  }
  void end() {
    if (!done_) return;
    static_cast<void>(layer_->end());
    // Where a write has not come to its end nothing is said.
    said_end_ = true;
  }

  // What has been sent here goes to the end of the way.
  void take_into(Bytes& way) const {
    static std::array<std::byte, std::size_t{1} << 16> room;
    const ssize_t size = recv(far_.get(), room.data(), room.size(), 0);
    if (size > 0) way.insert(way.end(), room.begin(), room.begin() + size);
  }
  // How many of these it has room for.
  [[nodiscard]] std::size_t give(std::span<const std::byte> bytes) const {
    const ssize_t size = send(far_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return static_cast<std::size_t>(std::max<ssize_t>(size, 0));
  }
  void cut() const { shutdown(far_.get(), SHUT_WR); }

 private:
  // What is over does not come back, whatever is asked for.
  void check_failed() {
    RONDO_FUZZ_CHECK(layer_->shake_hands() != Handshake::kNotNow || done_);
    std::array<std::byte, 8> room{};
    RONDO_FUZZ_CHECK(layer_->read({room, {}}).bytes == 0);
    const std::array<std::span<const std::byte>, 1> pieces{room};
    RONDO_FUZZ_CHECK(layer_->write(pieces).outcome != Outcome::kMoved);
    static_cast<void>(layer_->why());
    static_cast<void>(layer_->refusal());
    static_cast<void>(layer_->peer_identity());
    RONDO_FUZZ_CHECK(layer_->end());
  }

  UniqueFd near_;
  UniqueFd far_;
  std::unique_ptr<SecureLayer> layer_;
  bool done_ = false;
  bool failed_ = false;
  bool said_end_ = false;
  std::size_t offered_ = 0;
  std::size_t written_ = 0;
  std::size_t read_ = 0;
};

struct Connection {
  std::array<End, 2> ends{End(*sides().connects), End(*sides().accepts)};
  std::array<Bytes, 2> way{};  // to each of them

  // What the other one has sent is on the way to this one now; and so much of that goes on.
  void carry(std::size_t to, std::size_t most) {
    ends[1 - to].take_into(way[to]);
    const std::size_t gone =
        ends[to].give(std::span(way[to]).first(std::min(most, way[to].size())));
    way[to].erase(way[to].begin(), way[to].begin() + static_cast<std::ptrdiff_t>(gone));
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kAll = ~std::size_t{0};
  fuzz::Input input(data, size);
  Connection connection;
  for (int acts = 0; !input.empty() && acts < 200; ++acts) {
    const auto drawn = input.take<std::uint8_t>();
    const std::size_t who = drawn >> 7;
    const std::size_t amount = drawn >> 4 & 7;
    End& end = connection.ends[who];
    Bytes& way = connection.way[who];
    const auto pick = [&] {
      return input.take<std::uint16_t>() % std::max<std::size_t>(way.size(), 1);
    };
    switch (drawn & 0xf) {
      case 0: end.shake_hands(); break;
      case 1: end.write(input.take<std::uint16_t>() >> amount); break;
      case 2: end.read(input.take<std::uint16_t>() >> amount, connection.ends[1 - who]); break;
      case 3: end.end(); break;
      case 4: end.cut(); break;
      case 5: connection.carry(who, 0); break;  // comes along, and waits for what is done to it
      case 6: connection.carry(who, 1 + input.take<std::uint16_t>() % 512); break;
      case 7:
        if (!way.empty()) way[pick()] ^= static_cast<std::byte>(1 + amount);
        break;
      case 8: way.resize(pick()); break;
      case 9: {
        const Bytes copied(way.begin() + static_cast<std::ptrdiff_t>(pick()), way.end());
        way.insert(way.end(), copied.begin(), copied.end());
        break;
      }
      case 10: {  // made up
        const auto bytes = std::as_bytes(input.rest());
        const std::size_t count = std::min<std::size_t>(bytes.size(), 8 * amount + 1);
        way.insert(way.begin() + static_cast<std::ptrdiff_t>(pick()), bytes.begin(),
                   bytes.begin() + static_cast<std::ptrdiff_t>(count));
        for (std::size_t i = 0; i < count; ++i) static_cast<void>(input.take<std::uint8_t>());
        break;
      }
      case 11:  // all that the handshake needs
        for (int i = 0; i < 4; ++i) {
          connection.ends[0].shake_hands();
          connection.carry(1, kAll);
          connection.ends[1].shake_hands();
          connection.carry(0, kAll);
        }
        break;
      default: connection.carry(who, kAll); break;
    }
    if (way.size() > (std::size_t{1} << 17)) break;
  }
  return 0;
}
