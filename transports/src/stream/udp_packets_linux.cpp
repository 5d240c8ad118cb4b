#include "stream/udp_packets.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>

#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/record_layout.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

using Moved = PacketPort::Moved;
using Outcome = PacketPort::Outcome;

// Of IPv6 and UDP; IPv4 takes less.
constexpr std::size_t kNetworkHeaders = 48;
// Where the system does not say what the path takes: any path takes as much, but for the narrowest.
constexpr std::size_t kUsualPath = 1280;
// Of a sender that is silent: what is looked at before it counts as dead, more than a buffer of the
// usual size holds.
constexpr std::size_t kMostDropped = 4096;
// The pauses before the end is said again: what has lost it once, a full buffer, takes time.
constexpr std::array kBeforeEachEnd{std::chrono::milliseconds(1), std::chrono::milliseconds(4)};
constexpr std::uint64_t kHelloMark = record_header::make(RecordKind::kPadding, 0, 0);

std::size_t path_limit_of(NativeHandle socket) noexcept {
  int bytes = 0;
  socklen_t size = sizeof bytes;
  if (getsockopt(socket, IPPROTO_IPV6, IPV6_MTU, &bytes, &size) == 0 ||
      getsockopt(socket, IPPROTO_IP, IP_MTU, &bytes, &size) == 0) {
    return static_cast<std::size_t>(std::max(bytes, 0));
  }
  return kUsualPath;
}

// Of a datagram that did not go, or of an earlier one's: that is lost, and others may go.
bool is_of_the_way(int error) noexcept {
  switch (error) {
    case ECONNREFUSED:  // no process has the port
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case ENONET:
    case EPROTO:
    case ETIMEDOUT:
    case EPERM:  // a filter
    case ENOBUFS: return true;
    default: return false;
  }
}

// Of the socket, so that no other datagram would go either.
bool is_of_the_socket(int error) noexcept {
  switch (error) {
    case EBADF:
    case ENOTSOCK:
    case EFAULT:
    case EDESTADDRREQ:
    case ENOTCONN:
    case EOPNOTSUPP:
    case EPIPE:
    case ENOSYS: return true;  // a filter of system calls
    default: return false;
  }
}

// A number as the system counts datagrams without room, so that it wraps round.
std::uint64_t grown(std::uint64_t counted, std::uint32_t now) noexcept {
  return counted + static_cast<std::uint32_t>(now - static_cast<std::uint32_t>(counted));
}

}  // namespace

// ---- out ----

UdpOutgoing::UdpOutgoing(FdStream socket, std::optional<DatagramNumbers> numbers) noexcept
    : socket_(std::move(socket)), numbers_(std::move(numbers)) {
  fit_path();
}

void UdpOutgoing::fit_path() noexcept {
  const std::size_t overhead = kNetworkHeaders + (numbers_ ? sizeof(DatagramHeader) : 0);
  const std::size_t path = path_limit_of(socket_.fd());
  pack_bytes_ = std::min(path > 2 * overhead ? path - overhead : overhead, pack_bytes_);
}

int UdpOutgoing::send_some(std::span<const Packet> packets) noexcept {
  std::array<std::array<iovec, 2>, kMaxPackets> vectors;
  std::array<mmsghdr, kMaxPackets> messages{};
  for (std::size_t i = 0; i < packets.size(); ++i) {
    vectors[i][0] = {&headers_[i], numbers_ ? sizeof headers_[i] : 0};
    vectors[i][1] = {const_cast<std::byte*>(packets[i].data()), packets[i].size()};
    messages[i].msg_hdr.msg_iov = vectors[i].data();
    messages[i].msg_hdr.msg_iovlen = vectors[i].size();
  }
  const CancellationDisabled here;
  // An error of an earlier datagram comes with a send that it keeps from being made.
  int earlier = 0;
  for (int turn = 0; turn < 2; ++turn) {
    const int sent = sendmmsg(fd(), messages.data(), static_cast<unsigned>(packets.size()),
                              MSG_NOSIGNAL | MSG_DONTWAIT);
    const bool stays = sent < 0 && (errno == EAGAIN || errno == EINTR || is_of_the_socket(errno));
    if (sent >= 0 || stays) return sent;
    if (errno != earlier) ++counts_.unsent;
    earlier = errno;
    if (earlier == EMSGSIZE) fit_path();
  }
  return 1;  // that one goes nowhere
}

Moved UdpOutgoing::send(std::span<const Packet> packets) noexcept {
  const std::size_t count = std::min(packets.size(), kMaxPackets);
  for (std::size_t i = 0; numbers_ && i < count; ++i) headers_[i] = numbers_->next(packets[i]);
  if (hello_ && headers_[0].mark == DatagramHeader::Mark::kEnd && headers_[0].first == 0) {
    const DatagramHeader end = headers_[0];
    say_again(*hello_, kHelloMark);
    headers_[0] = end;
  }
  const int sent = send_some(packets.first(count));
  const int error = errno;
  const auto gone = static_cast<std::size_t>(std::max(sent, 0));
  if (numbers_ && gone < count) numbers_->take_back(headers_[gone]);
  if (gone == 0)
    return {error == EAGAIN || error == EINTR ? Outcome::kNotNow : Outcome::kRefused, 0};
  counts_.datagrams += gone;
  if (numbers_ && headers_[gone - 1].mark == DatagramHeader::Mark::kEnd) {
    end_ = headers_[gone - 1];
    std::memcpy(&end_mark_, packets[gone - 1].data(), sizeof end_mark_);
  }
  return {Outcome::kMoved, gone};
}

void UdpOutgoing::say_hello() noexcept {
  if (!numbers_) return;
  const Packet hello = std::as_bytes(std::span(&kHelloMark, 1));
  if (send(std::span(&hello, 1)).outcome == Outcome::kMoved) hello_ = headers_[0];
}

void UdpOutgoing::say_again(const DatagramHeader& header, std::uint64_t mark) noexcept {
  headers_[0] = header;
  const Packet packet = std::as_bytes(std::span(&mark, 1));
  static_cast<void>(send_some(std::span(&packet, 1)));
}

void UdpOutgoing::close() noexcept {
  if (end_ && socket_.is_open()) {
    for (const auto pause : kBeforeEachEnd) {
      {
        const CancellationDisabled here;
        std::this_thread::sleep_for(pause);
      }
      say_again(*end_, end_mark_);
    }
    end_.reset();
  }
  socket_.close();
}

void UdpOutgoing::describe(ChannelInfo& info) const { info.kind = counts_; }

// ---- in ----

UdpIncoming::UdpIncoming(FdStream socket, std::optional<DatagramOrder> order,
                         std::chrono::nanoseconds silence) noexcept
    : socket_(std::move(socket)), order_(std::move(order)), silence_(silence) {
  const int on = 1;
  static_cast<void>(setsockopt(socket_.fd(), SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof on));
}

Moved UdpIncoming::receive(std::span<Room> rooms) noexcept {
  if (succeeded_) return {Outcome::kCutOff, 0};
  struct alignas(cmsghdr) Control {
    std::array<std::byte, CMSG_SPACE(sizeof(std::uint32_t))> bytes;
  };
  std::array<Control, kMaxPackets> controls;
  std::array<std::array<iovec, 2>, kMaxPackets> vectors;
  std::array<mmsghdr, kMaxPackets> messages{};
  const std::size_t header_bytes = order_ ? sizeof(DatagramHeader) : 0;
  const std::size_t count = std::min(rooms.size(), kMaxPackets);
  for (std::size_t i = 0; i < count; ++i) {
    vectors[i][0] = {&headers_[i], header_bytes};
    vectors[i][1] = {rooms[i].bytes.data(), rooms[i].bytes.size()};
    msghdr& message = messages[i].msg_hdr;
    message.msg_iov = vectors[i].data();
    message.msg_iovlen = vectors[i].size();
    message.msg_control = controls[i].bytes.data();
    message.msg_controllen = controls[i].bytes.size();
  }
  int came = 0;
  {
    const CancellationDisabled here;
    came = recvmmsg(fd(), messages.data(), static_cast<unsigned>(count), MSG_DONTWAIT, nullptr);
  }
  if (came < 0) {
    if (errno == EINTR || is_of_the_way(errno)) return {Outcome::kNotNow, 0};
    if (errno != EAGAIN) return {Outcome::kRefused, 0};
    return {is_silent() ? Outcome::kCutOff : Outcome::kNotNow, 0};
  }
  for (std::size_t i = 0; static_cast<int>(i) < came; ++i) {
    const std::size_t size = messages[i].msg_len;
    header_sizes_[i] = std::min(size, header_bytes);
    rooms[i].filled_bytes = size - header_sizes_[i];
    rooms[i].cut = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
    for (cmsghdr* part = CMSG_FIRSTHDR(&messages[i].msg_hdr); part != nullptr;
         part = CMSG_NXTHDR(&messages[i].msg_hdr, part)) {
      if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SO_RXQ_OVFL) continue;
      std::uint32_t dropped = 0;
      std::memcpy(&dropped, CMSG_DATA(part), sizeof dropped);
      overflows_ = grown(overflows_, dropped);
    }
  }
  const std::size_t taken = sort_out(rooms, static_cast<std::size_t>(came));
  dropped_since_ = taken > 0 ? 0 : dropped_since_ + static_cast<std::size_t>(came);
  if (taken > 0) return {Outcome::kMoved, taken};
  // The sender's may lie behind strangers', who are not to keep it alive for ever.
  const bool dead = succeeded_ || (dropped_since_ >= kMostDropped && is_silent());
  return {dead ? Outcome::kCutOff : Outcome::kNotNow, 0};
}

std::size_t UdpIncoming::sort_out(std::span<Room> rooms, std::size_t count) noexcept {
  using Verdict = DatagramOrder::Verdict;
  std::size_t taken = 0;
  for (std::size_t i = 0; i < count && !succeeded_; ++i) {
    const Room& from = rooms[i];
    const auto packet = from.bytes.first(std::min(from.filled_bytes, from.bytes.size()));
    const Verdict verdict =
        order_ ? order_->judge(headers_[i], header_sizes_[i], packet) : Verdict::kTake;
    succeeded_ = verdict == Verdict::kSuccessor;
    if (verdict == Verdict::kDrop || succeeded_) continue;
    Room& to = rooms[taken++];
    to.cut = from.cut || verdict == Verdict::kMismatch;
    to.filled_bytes = from.filled_bytes;
    if (&to != &from) std::memcpy(to.bytes.data(), packet.data(), packet.size());
  }
  if (!order_) raw_datagrams_ += taken;
  if (taken > 0 && silence_.count() > 0) {
    // relaxed: orders nothing; a look that sees the time before is a look a moment earlier.
    heard_.store(Clock::now().time_since_epoch().count(), std::memory_order_relaxed);
  }
  return taken;
}

Deadline UdpIncoming::silent_from() const noexcept {
  // relaxed: as in sort_out().
  const Clock::rep heard = heard_.load(std::memory_order_relaxed);
  if (silence_.count() == 0 || heard == 0) return Deadline::never();
  return Deadline::at(Clock::time_point(Clock::duration(heard)) +
                      std::chrono::duration_cast<Clock::duration>(silence_));
}

bool UdpIncoming::is_silent() const noexcept { return silent_from().passed(); }

WaitResult UdpIncoming::wait(Direction direction, Deadline deadline, WaitMode mode,
                             const std::atomic<bool>* stop) const noexcept {
  const WaitResult result = socket_.wait(direction, earlier(deadline, silent_from()), mode, stop);
  const bool for_user = result != WaitResult::kTimedOut || deadline.passed();
  return !for_user && is_silent() ? WaitResult::kReady : result;
}

void UdpIncoming::describe(ChannelInfo& info) const {
  DatagramsInfo counts = order_ ? order_->counts() : DatagramsInfo();
  if (!order_) counts.datagrams = raw_datagrams_;
  counts.overflows = overflows_;
  counts.too_large = too_large_;
  info.kind = counts;
}

}  // namespace rondo::inline RONDO_ABI::detail
