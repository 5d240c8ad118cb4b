#include "stream/socket_stream.hpp"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "rondo/core/cancellation_disabled.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using std::chrono::milliseconds;

// How long, and for how much, an end that has said all waits for its other side to hear it.
constexpr std::chrono::seconds kLastWords{1};
constexpr std::size_t kLastBytes = std::size_t{16} << 20;
constexpr int kReadAnyway = 1024;  // reads of what is there, though no time was given
constexpr milliseconds kLastLook{5};
constexpr milliseconds kLongestLook{50};
constexpr int kMostDrained = 16;  // reads at once
// Who has a thread for what comes reads some of it within so long.
constexpr milliseconds kLeftUnread{250};
// Within so long whoever is told that there is something to read does so.
constexpr milliseconds kMoment{10};

int number_of(int fd, unsigned long question) noexcept {
  int number = 0;
  return ioctl(fd, question, &number) == 0 ? number : 0;
}

// Nothing is sent any more: all was taken, or there was a reset. Of that, poll() tells but once.
bool is_over(int fd) noexcept {
  tcp_info info{};
  socklen_t size = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_state == TCP_CLOSE;
}

}  // namespace

StreamSocket::StreamSocket(UniqueFd fd, std::unique_ptr<SecureLayer> secure, bool network,
                           bool sends, bool receives) noexcept
    : fd_(std::move(fd)),
      secure_(std::move(secure)),
      network_(network),
      sends_(sends),
      both_(sends && receives),
      in_use_(both_ ? 2 : 1) {
  fd_.remember();
}

void StreamSocket::leave(ByteStream::Direction direction, bool complete) noexcept {
  if (!fd_.intact()) return;
  const CancellationDisabled here;
  if (direction == ByteStream::Direction::kWrite) {
    // What does not go at once is left out: one that waits for it has done so (wait_taken()).
    if (complete && secure_ != nullptr) static_cast<void>(secure_->end());
    static_cast<void>(shutdown(fd_.get(), SHUT_WR));
  } else {
    heard_.store(0, std::memory_order_relaxed);  // relaxed: as in is_watched()
    // TCP has no way to tell the other side.
    if (both_ && !network_) static_cast<void>(shutdown(fd_.get(), SHUT_RD));
  }
  // relaxed, all three: what the directions have done stands with the system; and if it is not seen
  // here that one gave up, this one waits for a moment in vain.
  if (!complete) gave_up_.store(true, std::memory_order_relaxed);
  const bool last = in_use_.fetch_sub(1, std::memory_order_relaxed) == 1;
  if (!last) return;
  if (!sends_ && secure_ != nullptr) static_cast<void>(secure_->end());
  if (sends_ && network_ && !gave_up_.load(std::memory_order_relaxed)) say_last_words();
  // A forked child may keep the socket open: the other side is not to wait for it.
  static_cast<void>(shutdown(fd_.get(), SHUT_RDWR));
}

// A socket that is closed with something unread in it, or gets something after that, answers with a
// reset and forgets what it has still to send (RFC 2525, 2.17). So what comes is read, until the
// other side has all that we sent, or has ended, too. Of one that says nothing, as a receiver does,
// there is nothing to fear, and the system sends the rest by itself.
void StreamSocket::say_last_words() noexcept {
  // relaxed: as in give_time().
  const std::chrono::nanoseconds given(time_.load(std::memory_order_relaxed));
  const Deadline limit = Deadline::after(std::min<std::chrono::nanoseconds>(kLastWords, given));
  std::array<std::byte, 4096> bytes;
  bool talks = both_;
  std::size_t taken = 0;
  for (int reads = 0; taken < kLastBytes && (reads < kReadAnyway || !limit.passed()); ++reads) {
    const ssize_t came = recv(fd_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (came == 0 || (came < 0 && errno != EAGAIN && errno != EINTR)) return;
    if (came > 0) {
      talks = true;
      taken += static_cast<std::size_t>(came);
      continue;
    }
    if (!talks || limit.passed() || number_of(fd_.get(), SIOCOUTQ) == 0) return;
    pollfd poll{fd_.get(), POLLIN, 0};
    static_cast<void>(::poll(&poll, 1, static_cast<int>(kLastLook.count())));
  }
}

StreamSocket::Drained StreamSocket::drain(bool ended) noexcept {
  const CancellationDisabled here;
  std::array<std::byte, 4096> bytes;
  for (int i = 0; i < kMostDrained; ++i) {
    switch ((ended ? read_socket(fd(), {bytes, {}}) : read({bytes, {}})).outcome) {
      case ByteStream::Outcome::kMoved: continue;
      case ByteStream::Outcome::kNotNow: return Drained::kMoreMayCome;
      case ByteStream::Outcome::kEnd: return Drained::kEnded;
      default: return Drained::kLost;
    }
  }
  return Drained::kMoreMayCome;
}

WaitResult StreamSocket::wait_for_reader(Deadline deadline,
                                         const std::atomic<bool>* stop) const noexcept {
  const CancellationDisabled here;
  // relaxed: the flag orders nothing.
  if (stop != nullptr && stop->load(std::memory_order_relaxed)) return WaitResult::kInterrupted;
  if (deadline.passed()) return WaitResult::kTimedOut;
  const Deadline slice = earlier(deadline, Deadline::after(kLastLook));
  pollfd poll{fd_.get(), 0, 0};
  const auto left = std::chrono::ceil<milliseconds>(slice.remaining());
  return ::poll(&poll, 1, static_cast<int>(left.count())) > 0 ? WaitResult::kPeerGone
                                                              : WaitResult::kReady;
}

// What a layer that encrypts has to say of the end, as far as the deadline allows.
WaitResult StreamSocket::say_end(Deadline deadline, const std::atomic<bool>* stop) noexcept {
  Deadline::Clock::time_point gave_way{};
  while (secure_ != nullptr && !secure_->end()) {
    const WaitResult result = wait_for_descriptor(fd_.get(), ByteStream::Direction::kWrite,
                                                  deadline, WaitMode::kPark, stop, gave_way);
    if (result != WaitResult::kReady) return result;
  }
  return WaitResult::kReady;
}

// As say_last_words(); but this other side is expected to talk, however late, and so nothing is
// left to the system. What it says is read by the other direction's user, while there is one.
WaitResult StreamSocket::wait_taken(Deadline deadline, const std::atomic<bool>* stop) noexcept {
  if (!network_ || !fd_.intact()) return WaitResult::kReady;
  if (const WaitResult said = say_end(deadline, stop); said != WaitResult::kReady) return said;
  const CancellationDisabled here;
  static_cast<void>(shutdown(fd_.get(), SHUT_WR));
  bool ended = false;  // the other side has said all; it may still take what we said
  std::uint32_t reads = 0;
  Deadline left_unread = Deadline::never();
  for (milliseconds look = kLastLook;; look = std::min(2 * look, kLongestLook)) {
    const bool alone = is_alone();
    if (alone && !ended) {
      const Drained drained = drain(true);
      if (drained == Drained::kLost) return WaitResult::kPeerGone;
      ended = drained == Drained::kEnded;
    }
    if (is_ready(POLLERR)) return WaitResult::kPeerGone;
    ended = ended || is_ready(POLLHUP);
    // Before the look at what is left: that it is over does not pass.
    const bool over = is_over(fd_.get()) || was_cut();
    if (number_of(fd_.get(), SIOCOUTQ) == 0) return WaitResult::kReady;
    if (over) return WaitResult::kPeerGone;
    if (!alone && !ended) {
      // relaxed: a number that orders nothing; one that is seen late gives time once more.
      const std::uint32_t now = reads_.load(std::memory_order_relaxed);
      const bool unread = number_of(fd_.get(), SIOCINQ) > 0;
      if (!unread || std::exchange(reads, now) != now) left_unread = Deadline::never();
      if (unread) left_unread = earlier(left_unread, Deadline::after(kLeftUnread));
      // Nobody reads that before we are through, maybe, nor the other side before somebody does.
      if (left_unread.passed()) return WaitResult::kReady;
    }
    // relaxed: the flag orders nothing.
    if (stop != nullptr && stop->load(std::memory_order_relaxed)) return WaitResult::kInterrupted;
    if (deadline.passed()) return WaitResult::kTimedOut;
    const Deadline slice = earlier(deadline, Deadline::after(look));
    const auto left = std::chrono::ceil<milliseconds>(slice.remaining());
    // Of one that has ended poll() would tell at once each time.
    pollfd poll{fd_.get(), static_cast<short>(alone ? POLLIN : 0), 0};
    static_cast<void>(::poll(&poll, ended ? 0 : 1, static_cast<int>(left.count())));
  }
}

void StreamSocket::cut() noexcept {
  cut_.store(true, std::memory_order_relaxed);  // relaxed: as in was_cut()
  static_cast<void>(shutdown(fd_.get(), SHUT_RDWR));
}

bool StreamSocket::is_ready(short events) const noexcept {
  pollfd poll{fd_.get(), events, 0};
  const CancellationDisabled here;
  return ::poll(&poll, 1, 0) > 0 && (poll.revents & events) != 0;
}

void StreamSocket::looks() noexcept {
  // relaxed, all: times, which order nothing; what waited() sees of the socket, the kernel orders.
  const Clock::rep heard = heard_.load(std::memory_order_relaxed);
  const Clock::rep looked = looked_.load(std::memory_order_relaxed);
  at_it_.store(true, std::memory_order_relaxed);
  if (heard == kOurTurn || left_alone_.load(std::memory_order_relaxed) != looked) return;
  heard_.store(heard + (time_now() - looked), std::memory_order_relaxed);
  // The same time is not given twice, should this look find something, and another one begin.
  looked_.store(time_now(), std::memory_order_relaxed);
}

void StreamSocket::looked(bool in_vain) noexcept {
  // relaxed, all: as in looks().
  if (heard_.load(std::memory_order_relaxed) == kOurTurn) heard();
  if (!in_vain) return;
  looked_.store(time_now(), std::memory_order_relaxed);
  at_it_.store(false, std::memory_order_relaxed);
}

// One that has said its end owes nothing.
StreamSocket::Clock::duration StreamSocket::quiet_for() noexcept {
  // relaxed, all: as in looks().
  const Clock::rep heard = heard_.load(std::memory_order_relaxed);
  const Clock::rep looked = looked_.load(std::memory_order_relaxed);
  if (heard == 0 || heard == kOurTurn || is_ready(POLLRDHUP)) return {};
  const bool unread = number_of(fd_.get(), SIOCINQ) > 0;
  // A look in the meantime may have taken what lay there, or be about to. relaxed: as above.
  if (at_it_.load(std::memory_order_relaxed) || looked_.load(std::memory_order_relaxed) != looked ||
      heard_.load(std::memory_order_relaxed) != heard) {
    return {};
  }
  const Clock::rep now = time_now();
  if (!unread) return Clock::duration(std::max<Clock::rep>(now - heard, 0));
  // What waits to be read came behind the last look, for all that is known: since then it is we who
  // keep the other side waiting. That is given back to it if we do so for more than a moment: else
  // one that sends a byte now and then, and we look at as it comes, would have all the time.
  if (std::exchange(unread_behind_, looked) != looked) unread_since_ = now;
  if (Clock::duration(now - unread_since_) >= kMoment) {
    // relaxed: as above.
    left_alone_.store(looked, std::memory_order_relaxed);
  }
  return Clock::duration(std::max<Clock::rep>(looked - heard, 0));
}

void StreamSocket::set_held_up(bool held_up) noexcept {
  // relaxed, both: numbers, which order nothing; a wrong pair gives time once more, or is put right
  // at the next look.
  if (held_up) not_taken_.store(number_of(fd_.get(), SIOCOUTQ), std::memory_order_relaxed);
  held_up_.store(held_up ? time_now() : 0, std::memory_order_relaxed);
}

StreamSocket::Clock::duration StreamSocket::held_up_for() noexcept {
  Clock::rep since = held_up_.load(std::memory_order_relaxed);  // relaxed: as in heard()
  // It may have taken all since, and we have not written more.
  if (since == 0 || is_ready(POLLOUT)) return {};
  // A blocked sender is told that there is room when most of the buffer is free: until then the
  // buffer alone tells what was taken.
  const int left = number_of(fd_.get(), SIOCOUTQ);
  // relaxed: as in set_held_up().
  const int before = not_taken_.load(std::memory_order_relaxed);
  if (before - left >= static_cast<int>(kLeastTaken)) {
    // relaxed: as above; where the sender says in this moment that it is held up no longer, that
    // stays.
    not_taken_.store(left, std::memory_order_relaxed);
    held_up_.compare_exchange_strong(since, time_now(), std::memory_order_relaxed,
                                     std::memory_order_relaxed);
    return {};
  }
  // It may have gone on since, and begun to be held up anew.
  // relaxed: as above.
  if (held_up_.load(std::memory_order_relaxed) != since) return {};
  return Clock::duration(time_now() - since);
}

StreamSocket::Clock::duration StreamSocket::waited() noexcept {
  return std::max(quiet_for(), held_up_for());
}

bool SocketStream::peer_gone(Gone gone) const noexcept {
  const CancellationDisabled here;
  // With two directions, that the other side sends no more does not say that it has gone.
  const bool either = gone == Gone::kEitherWay && !socket_->has_both();
  pollfd poll{fd(), static_cast<short>(either ? POLLRDHUP : 0), 0};
  return ::poll(&poll, 1, 0) > 0 && (poll.revents & (POLLERR | POLLHUP | POLLRDHUP)) != 0;
}

}  // namespace rondo::inline RONDO_ABI::detail
