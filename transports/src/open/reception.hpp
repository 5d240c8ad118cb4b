// Where connections come in: a socket that listens, and those that have connected to it and have
// not said yet who they are. Each of them has its own time for that, and none keeps another one
// waiting.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "open/handshake.hpp"
#include "open/listening_socket.hpp"
#include "poller.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/peer.hpp"
#include "rondo/transports/url.hpp"
#include "stream/secure_layer.hpp"

namespace rondo::inline RONDO_ABI::detail {

// One that has said who it is, and has been confirmed.
struct Arrival {
  UniqueFd socket;
  std::unique_ptr<SecureLayer> secure;  // null: none is asked for
  Hello hello = Hello::kSends;
  Peer peer;
};

// By which peers are told apart: the user, or where it connected from.
[[nodiscard]] std::uint64_t origin_of(const Peer& peer) noexcept;

// One thread at a time.
class Reception {
 public:
  struct Limits {
    // On their way in at once. Of more, one goes of those who have the most places: the one that
    // came first. So whoever takes all that there are takes none of another one's.
    std::size_t handshakes = 16;
    std::chrono::nanoseconds handshake = std::chrono::seconds(5);
  };
  // Whether one that says so is to be let in now.
  using Judge = FunctionRef<Answer(Hello hello, const Peer& peer, NativeHandle socket)>;

  // `owner`: the side that listens, for messages: "a receiver". Errors: those of
  // listen_for_peers(), secure_side() and Poller.
  [[nodiscard]] static Result<Reception> open(const Url& url, const OpenOptions& options,
                                              const Limits& limits, int backlog,
                                              std::string_view owner);
  Reception(Reception&&) noexcept = default;
  Reception& operator=(Reception&&) = delete;
  // As close(), but that the name stays: for a forked child.
  ~Reception() = default;

  // The next one. Never blocks. Throws std::bad_alloc.
  [[nodiscard]] std::optional<Arrival> next(const Judge& judge);
  // Waits until next() is worth a call; may be in vain.
  void wait(Deadline deadline) noexcept { poller_.sleep(deadline); }
  // Readable when next() is worth a call.
  [[nodiscard]] NativeHandle fd() const noexcept { return poller_.fd(); }
  // No more are let in for now; those that connect wait, until next() is called after the pause.
  void pause(std::chrono::nanoseconds length) noexcept;
  // next() is worth a call at `time`, too.
  void look_again_at(Deadline time) noexcept;

  // Why none can be accepted now: 0, or the error; that of a socket that is broken stays.
  [[nodiscard]] int trouble() const noexcept { return trouble_; }
  [[nodiscard]] bool broken() const noexcept { return broken_; }
  // The name was taken away, and those who came before that have been seen to: as of the last
  // next(), which looks at the name once a second.
  [[nodiscard]] bool deserted() const noexcept { return deserted_ && visitors_.empty(); }
  [[nodiscard]] bool at_its_name() const noexcept { return listening_.at_its_name(); }
  // Of the URL that was asked for; but a port that was left open is the one that was found.
  [[nodiscard]] const Url& url() const noexcept { return url_; }
  [[nodiscard]] std::size_t handshakes() const noexcept { return visitors_.size(); }
  // Those that were turned away: they said nothing in time, or what no peer of ours says, or are
  // not permitted.
  [[nodiscard]] std::uint64_t turned_away() const noexcept { return turned_away_; }
  // Why the last one of them was, with its address; empty: nothing is known of that.
  [[nodiscard]] const std::string& last_refusal() const noexcept { return last_refusal_; }

  // No more come in, and the name goes. Not in a forked child.
  void close() noexcept;

 private:
  struct Visitor {
    UniqueFd socket;
    std::unique_ptr<SecureLayer> secure{};
    bool secured = false;  // its handshake is over, or there is none
    bool watched_to_write = false;
    Peer peer;
    std::uint64_t origin = 0;
    Deadline deadline;
    Poller::Watched watched{};
    std::uint64_t tag = 0;
    std::array<std::byte, kHelloBytes> hello{};
    std::size_t heard = 0;       // bytes of it
    std::string_view refusal{};  // why it is let go of, unless the layer has words of its own
  };
  enum class Heard : std::uint8_t { kNotYet, kAll, kGone };

  Reception(const Url& url, const Limits& limits, std::shared_ptr<SecureSide> side,
            ListeningSocket listening, Poller poller, UniqueFd timer);
  [[nodiscard]] bool watch() noexcept;
  void unwatch() noexcept;
  [[nodiscard]] std::optional<Arrival> let_in(const Judge& judge);
  [[nodiscard]] std::optional<Arrival> go_on(const Judge& judge);
  [[nodiscard]] bool receive(UniqueFd socket, Visitor& visitor);
  [[nodiscard]] Heard listen_to(Visitor& visitor) const;
  [[nodiscard]] static Heard shake_hands(Visitor& visitor);
  [[nodiscard]] std::optional<Arrival> judge_heard(Visitor& visitor, const Judge& judge);
  [[nodiscard]] std::optional<Arrival> confirm(Visitor& visitor, const Judge& judge);
  void keep(Visitor visitor);
  [[nodiscard]] bool watch(Visitor& visitor) noexcept;
  void make_place() noexcept;
  void dismiss(Visitor& visitor) noexcept;
  void let_go(UniqueFd socket) noexcept;
  void set_timer() noexcept;
  void see_name(bool gone) noexcept;

  Url url_;
  Limits limits_;
  std::shared_ptr<SecureSide> side_;  // null: nothing is encrypted
  ListeningSocket listening_;
  Poller poller_;
  UniqueFd timer_;
  std::optional<Poller::Watched> watched_;  // the listening socket, unless it is paused
  std::optional<Poller::Watched> watched_timer_;
  std::vector<Visitor> visitors_;       // the one that came first is the first
  std::vector<std::uint64_t> origins_;  // of make_place()
  std::uint64_t tags_ = 0;
  Deadline paused_until_ = Deadline::now();
  Deadline look_again_ = Deadline::never();
  std::chrono::nanoseconds pause_{};  // the last one for want of something
  Deadline look_at_name_ = Deadline::never();
  bool none_left_ = false;  // in the system's queue, as of this next()
  bool deserted_ = false;
  Deadline timer_at_ = Deadline::never();
  int trouble_ = 0;
  bool broken_ = false;
  std::uint64_t turned_away_ = 0;
  std::string last_refusal_;
};

// One that is closed with this object, unless it was moved out and reset: whatever comes of an
// opening, its name goes.
struct OpenDoor {
  std::optional<Reception> reception;
  ~OpenDoor() { close(); }
  void close() noexcept {
    if (reception) reception->close();
  }
};

}  // namespace rondo::inline RONDO_ABI::detail
