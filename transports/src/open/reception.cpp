#include "open/reception.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

#include "open/addresses.hpp"
#include "open/name.hpp"
#include "open/sockets.hpp"
#include "open/untrusted_descriptors.hpp"
#include "rondo/core/os.hpp"
#include "tls/tls.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

// In one call, so that those who are turned away and come again keep nobody in it.
constexpr int kMostAccepted = 32;
constexpr std::size_t kMostTold = 32;
// How long none is accepted for want of descriptors or memory: from the first time on.
constexpr milliseconds kShortestPause{10};
constexpr seconds kLongestPause{1};

// How soon it is noticed that the name was taken away.
constexpr seconds kNameLook{1};

constexpr std::uint64_t kListening = 0;
constexpr std::uint64_t kTimer = 1;
constexpr std::uint64_t kFirstVisitor = 2;

bool is_want(int error) noexcept {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
         error == ENOSPC;
}

// Whether the bytes are a hello's, as far as they go.
bool may_be_hello(std::span<const std::byte> bytes) noexcept {
  return std::ranges::any_of(
      kHellos, [&](Hello hello) { return std::memcmp(&hello, bytes.data(), bytes.size()) == 0; });
}

}  // namespace

std::uint64_t origin_of(const Peer& peer) noexcept {
  return peer.process ? peer.process->user : origin_of(peer.address);
}

Result<Reception> Reception::open(const Url& url, const OpenOptions& options, const Limits& limits,
                                  int backlog, std::string_view owner) {
  auto side = secure_side(url, true);
  if (!side) return std::move(side).error();
  auto poller = Poller::make();
  if (!poller) return std::move(poller).error();
  UniqueFd timer = open_timer();
  if (!timer) return system_error(url, "timerfd_create", errno);
  Url found = url;
  auto listening = listen_for_peers(found, options, backlog, owner);
  if (!listening) return std::move(listening).error();
  PendingCleanup name(std::move(listening->cleanup));
  Reception reception(found, limits, std::move(side).value(), std::move(listening).value(),
                      std::move(poller).value(), std::move(timer));
  // keep() and make_place() need no memory: a visitor that has no place yet would be closed as any
  // descriptor is, not as one of a stranger (let_go()).
  reception.visitors_.reserve(limits.handshakes + 1);
  reception.origins_.reserve(limits.handshakes + 1);
  auto watched = reception.poller_.add(reception.timer_.get(), false, kTimer);
  if (!watched) return std::move(watched).error();
  reception.watched_timer_.emplace(std::move(watched).value());
  if (!reception.watch()) return system_error(url, "epoll_ctl", reception.trouble_);
  reception.listening_.cleanup = name.take();
  reception.set_timer();  // for the name: one who waits for fd() calls next() only then
  return reception;
}

Reception::Reception(const Url& url, const Limits& limits, std::shared_ptr<SecureSide> side,
                     ListeningSocket listening, Poller poller, UniqueFd timer)
    : url_(url),
      limits_(limits),
      side_(std::move(side)),
      listening_(std::move(listening)),
      poller_(std::move(poller)),
      timer_(std::move(timer)) {
  if (!listening_.path.empty()) look_at_name_ = Deadline::after(kNameLook);
}

bool Reception::watch() noexcept {
  if (watched_) return true;
  auto watched = poller_.add(listening_.socket.fd(), false, kListening);
  if (watched) {
    watched_.emplace(std::move(watched).value());
    return true;
  }
  trouble_ = watched.error().code == ErrorCode::kNoDescriptors ? EMFILE : ENOMEM;
  return false;
}

void Reception::unwatch() noexcept {
  if (watched_) poller_.remove(*watched_);
  watched_.reset();
}

void Reception::pause(nanoseconds length) noexcept {
  unwatch();
  paused_until_ = Deadline::after(length);
  set_timer();
}

void Reception::look_again_at(Deadline time) noexcept {
  look_again_ = time;
  set_timer();
}

std::optional<Arrival> Reception::next(const Judge& judge) {
  if (!listening_.socket.is_open() || broken_) return std::nullopt;
  if (look_again_.passed()) look_again_ = Deadline::never();
  // Before those who have connected are let in: none comes behind them then.
  const bool looks = look_at_name_.passed();
  const bool gone = looks && !at_its_name();
  none_left_ = false;
  std::optional<Arrival> arrival = go_on(judge);
  if (!arrival && paused_until_.passed()) {
    if (watch()) {
      arrival = let_in(judge);
    } else {
      pause_ = std::clamp<nanoseconds>(pause_ * 2, kShortestPause, kLongestPause);
      pause(pause_);
    }
  }
  if (!arrival && looks) see_name(gone);
  set_timer();
  return arrival;
}

// Where nobody comes any more the time of the next look stays in the past, and fd() readable. Not
// while none can be let in: some may wait in the system's queue.
void Reception::see_name(bool gone) noexcept {
  deserted_ = gone && (none_left_ || deserted_);
  if (!deserted_) look_at_name_ = Deadline::after(kNameLook);
}

// Those who are on their way in.
std::optional<Arrival> Reception::go_on(const Judge& judge) {
  if (visitors_.empty()) return std::nullopt;
  std::array<std::uint64_t, kMostTold> tags{};
  const std::size_t told = poller_.ready(tags);
  for (const std::uint64_t tag : std::span(tags).first(told)) {
    const auto visitor = std::ranges::find(visitors_, tag, &Visitor::tag);
    if (visitor == visitors_.end()) continue;
    Heard heard = listen_to(*visitor);
    if (heard == Heard::kNotYet) {
      const bool to_write = visitor->secure != nullptr && visitor->secure->has_unsent();
      if (to_write == visitor->watched_to_write) continue;
      poller_.remove(visitor->watched);
      if (watch(*visitor)) continue;
      heard = Heard::kGone;
    } else {
      poller_.remove(visitor->watched);
    }
    Visitor leaving = std::move(*visitor);
    visitors_.erase(visitor);
    if (heard == Heard::kGone) {
      dismiss(leaving);
    } else if (auto arrival = judge_heard(leaving, judge)) {
      return arrival;
    }
  }
  while (!visitors_.empty() && visitors_.front().deadline.passed()) {
    poller_.remove(visitors_.front().watched);
    visitors_.front().refusal = "it has not said in time who it is";
    dismiss(visitors_.front());
    visitors_.erase(visitors_.begin());
  }
  return std::nullopt;
}

// Those who have connected. Most have said already what they have to.
std::optional<Arrival> Reception::let_in(const Judge& judge) {
  bool made_place = false;
  for (int i = 0; i < kMostAccepted; ++i) {
    // Nothing that would have to be left open comes over TCP.
    const bool bearable = is_over_tcp(url_) || can_leak();
    UniqueFd socket = bearable ? accept_from(listening_.socket.fd()) : UniqueFd();
    if (!socket) {
      int error = bearable ? errno : EMFILE;
      if (is_of_a_connection(error)) continue;
      // The last descriptor is there to be used: nobody goes for one who is not there.
      if (is_want(error) && !may_be_queued(listening_.socket.fd())) error = EAGAIN;
      none_left_ = error == EAGAIN;
      trouble_ = none_left_ ? 0 : error;
      // Those who have not said who they are keep nobody out, by descriptors neither.
      if (is_want(error) && bearable && !visitors_.empty() && !std::exchange(made_place, true)) {
        make_place();
        continue;
      }
      if (is_want(error)) {
        pause_ = std::clamp<nanoseconds>(pause_ * 2, kShortestPause, kLongestPause);
        pause(pause_);
      } else if (!none_left_) {
        broken_ = true;
        unwatch();
      }
      return std::nullopt;
    }
    made_place = false;
    trouble_ = 0;
    pause_ = {};
    Visitor visitor;
    if (!receive(std::move(socket), visitor)) continue;
    switch (listen_to(visitor)) {
      case Heard::kNotYet: keep(std::move(visitor)); break;
      case Heard::kGone: dismiss(visitor); break;
      case Heard::kAll:
        if (auto arrival = judge_heard(visitor, judge)) return arrival;
    }
  }
  return std::nullopt;
}

// Looks who it is. False: it is not let in.
bool Reception::receive(UniqueFd socket, Visitor& visitor) {
  visitor.socket = std::move(socket);
  visitor.deadline = Deadline::after(limits_.handshake);
  const NativeHandle fd = visitor.socket.get();
  if (is_over_tcp(url_)) {
    prepare_connection(fd, url_.options.keepalive);
    visitor.peer.address = peer_address(fd);
    visitor.secured = side_ == nullptr;
    if (visitor.secured) return true;
    visitor.secure = side_->begin(fd);
    if (visitor.secure != nullptr) return true;
    visitor.refusal = "there is no memory for it";
    dismiss(visitor);
    return false;
  }
  const auto credentials = credentials_of(url_, fd);
  if (credentials && check_peer(url_, *credentials)) {
    visitor.secured = true;
    visitor.peer.process = {credentials->process, credentials->user, credentials->group};
    return true;
  }
  if (has_handshake(url_)) {
    static_cast<void>(send_byte(fd, static_cast<std::byte>(Answer::kNotPermitted)));
  }
  dismiss(visitor);
  return false;
}

// The handshake of TLS.
Reception::Heard Reception::shake_hands(Visitor& visitor) {
  switch (visitor.secure->shake_hands()) {
    case SecureLayer::Handshake::kNotNow: return Heard::kNotYet;
    case SecureLayer::Handshake::kDone: break;
    case SecureLayer::Handshake::kGone:
    case SecureLayer::Handshake::kRefused: return Heard::kGone;
  }
  visitor.secured = true;
  visitor.peer.identity = visitor.secure->peer_identity();
  return Heard::kAll;
}

// What it has to say before it is let in: with a framing of others nothing.
Reception::Heard Reception::listen_to(Visitor& visitor) const {
  if (!visitor.secured) {
    if (const Heard heard = shake_hands(visitor); heard != Heard::kAll) return heard;
  }
  while (visitor.heard < kHelloBytes && has_handshake(url_)) {
    const auto room = std::span(visitor.hello).subspan(visitor.heard);
    const auto [outcome, bytes] = receive_through(visitor.socket.get(), visitor.secure.get(), room);
    if (outcome == ByteStream::Outcome::kNotNow) return Heard::kNotYet;
    if (outcome != ByteStream::Outcome::kMoved) {
      visitor.refusal = "it has gone before it has said who it is";
      return Heard::kGone;
    }
    visitor.heard += bytes;
    if (!may_be_hello(std::span(visitor.hello).first(visitor.heard))) {
      visitor.refusal = "it is no end of such a channel";
      return Heard::kGone;
    }
  }
  return Heard::kAll;
}

// One that has said all it has to.
std::optional<Arrival> Reception::judge_heard(Visitor& visitor, const Judge& judge) {
  if (has_handshake(url_)) return confirm(visitor, judge);
  if (judge(Hello::kBoth, visitor.peer, visitor.socket.get()) == Answer::kConfirmed) {
    return Arrival{std::move(visitor.socket), std::move(visitor.secure), Hello::kBoth,
                   std::move(visitor.peer)};
  }
  dismiss(visitor);
  return std::nullopt;
}

std::optional<Arrival> Reception::confirm(Visitor& visitor, const Judge& judge) {
  Hello hello{};
  std::memcpy(&hello, visitor.hello.data(), sizeof hello);
  // One that has given up in the meantime is none.
  std::array<std::byte, 1> any{};
  const bool gone = receive_now(visitor.socket.get(), any, true) == 0;
  Answer answer = Answer::kFull;
  if (!gone) {
    answer =
        is_of(hello, url_) ? judge(hello, visitor.peer, visitor.socket.get()) : Answer::kWrongSide;
  }
  const auto byte = static_cast<std::byte>(answer);
  const bool told = send_through(visitor.socket.get(), visitor.secure.get(), std::span(&byte, 1));
  if (answer == Answer::kConfirmed && told) {
    return Arrival{std::move(visitor.socket), std::move(visitor.secure), hello,
                   std::move(visitor.peer)};
  }
  dismiss(visitor);
  return std::nullopt;
}

void Reception::keep(Visitor visitor) {
  if (visitors_.size() >= limits_.handshakes) make_place();
  visitor.origin = origin_of(visitor.peer);
  visitor.tag = kFirstVisitor + tags_++;
  bool watched = watch(visitor);
  if (!watched && !visitors_.empty()) {  // that takes a descriptor, too
    make_place();
    watched = watch(visitor);
  }
  if (!watched) return dismiss(visitor);
  visitors_.push_back(std::move(visitor));
}

void Reception::make_place() noexcept {
  origins_.clear();
  for (const Visitor& visitor : visitors_) origins_.push_back(visitor.origin);
  std::ranges::sort(origins_);
  // The one that came first among those whose origin is there most often.
  std::size_t most = 0;
  auto leaving = visitors_.begin();
  for (auto visitor = visitors_.begin(); visitor != visitors_.end(); ++visitor) {
    const auto [from, to] = std::equal_range(origins_.begin(), origins_.end(), visitor->origin);
    const auto places = static_cast<std::size_t>(to - from);
    if (places <= most) continue;
    most = places;
    leaving = visitor;
  }
  poller_.remove(leaving->watched);
  leaving->refusal = "too many were on their way in";
  dismiss(*leaving);
  visitors_.erase(leaving);
}

bool Reception::watch(Visitor& visitor) noexcept {
  visitor.watched_to_write = visitor.secure != nullptr && visitor.secure->has_unsent();
  auto watched = poller_.add(visitor.socket.get(), visitor.watched_to_write, visitor.tag);
  if (!watched) return false;
  visitor.watched = std::move(watched).value();
  return true;
}

void Reception::dismiss(Visitor& visitor) noexcept {
  ++turned_away_;
  try {
    std::string why = visitor.secure != nullptr ? visitor.secure->why() : std::string();
    if (why.empty()) why = visitor.refusal;
    if (!why.empty()) {
      last_refusal_ = visitor.peer.address;
      last_refusal_ += (last_refusal_.empty() ? "" : ": ") + why;
    }
  } catch (const std::bad_alloc&) {  // then why is not told
  }
  let_go(std::move(visitor.socket));
}

void Reception::let_go(UniqueFd socket) noexcept {
  if (!is_over_tcp(url_)) return close_or_leak(std::move(socket));
  hang_up(socket.get());
}

void Reception::set_timer() noexcept {
  Deadline time = look_again_;
  if (!watched_ && !broken_) time = earlier(time, paused_until_);
  if (!visitors_.empty()) time = earlier(time, visitors_.front().deadline);
  if (!deserted_ || visitors_.empty()) time = earlier(time, look_at_name_);
  if (time == timer_at_ && !time.passed()) return;
  timer_at_ = time;
  if (timer_.intact()) detail::set_timer(timer_.get(), time);
}

void Reception::close() noexcept {
  unwatch();
  if (listening_.cleanup != nullptr) listening_.cleanup->run();
  listening_.cleanup = nullptr;
  listening_.close();
  for (Visitor& visitor : visitors_) let_go(std::move(visitor.socket));
  visitors_.clear();
}

}  // namespace rondo::inline RONDO_ABI::detail
