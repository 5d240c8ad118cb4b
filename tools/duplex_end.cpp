#include "duplex_end.hpp"

#include <algorithm>
#include <cstddef>
#include <thread>

#include "exit_code.hpp"
#include "patience.hpp"
#include "say.hpp"
#include "stop_signal.hpp"

namespace rondo::program {
namespace {

using std::chrono::milliseconds;

// How long one that is broken off is waited for to take what was sent before.
constexpr std::chrono::seconds kLinger{2};

// The URLs of both directions of 'fd:IN,OUT?OPTIONS'; none of another one.
std::optional<std::pair<std::string, std::string>> two_descriptors(const std::string& url) {
  const std::size_t question = std::min(url.find('?'), url.size());
  const std::size_t comma = url.find(',');
  if (!url.starts_with("fd:") || comma >= question) return std::nullopt;
  const std::string options = url.substr(question);
  return std::pair(url.substr(0, comma) + options,
                   "fd:" + url.substr(comma + 1, question - comma - 1) + options);
}

Error one_way(const Url& url) {
  return Error{
      ErrorCode::kInvalidUrl,
      url.name() +
          " has one direction; --duplex is for unix:, tcp:, tls:, and for fd:IN,OUT, as in fd:0,1"};
}

bool has_connections(Scheme scheme) noexcept {
  return scheme == Scheme::kUnix || scheme == Scheme::kTcp || scheme == Scheme::kTls;
}

}  // namespace

DuplexEnd::DuplexEnd(const TransferOptions& options)
    : options_(options), name_(channel_name(options)) {
  const auto url = Url::parse(options.url);
  if (url && url->scheme == Scheme::kFd) {
    tells_of_readers_ = url->options.framing != Framing::kRondo;
  }
  if (url) tells_senders_ = url->scheme != Scheme::kTcp && url->scheme != Scheme::kTls;
}

Result<void> DuplexEnd::check() const {
  if (const auto descriptors = two_descriptors(options_.url)) {
    for (const std::string& one : {descriptors->first, descriptors->second}) {
      if (const auto url = Url::parse(one); !url) return url.error();
    }
    return {};
  }
  const auto url = Url::parse(options_.url);
  if (!url) return url.error();
  if (!has_connections(url->scheme)) return one_way(*url);
  return {};
}

void DuplexEnd::begin_open(milliseconds rest) {
  work_ = Work::kOpening;
  beside_.start([this, rest] { open_anew(rest); });
}

void DuplexEnd::begin_close() {
  work_ = Work::kClosing;
  beside_.start([this] { close_in_order(); });
}

DuplexEnd::Work DuplexEnd::take_done() {
  if (!busy() || !beside_.take_done()) return Work::kNone;
  closed_ = work_ == Work::kClosing;
  return std::exchange(work_, Work::kNone);
}

void DuplexEnd::give_up() {
  // relaxed: the flag orders no other data.
  stop_.store(busy() || stop_signal::requested(), std::memory_order_relaxed);
  beside_.finish();
  work_ = Work::kNone;
  // Who is there still has some time to take what was sent to it and the word that there is no
  // more, but after a signal. relaxed: as above.
  stop_.store(stop_signal::requested(), std::memory_order_relaxed);
  if (sender_) sender_->break_off();
}

// relaxed: the flag orders no other data.
bool DuplexEnd::stopped() const noexcept { return stop_.load(std::memory_order_relaxed); }

void DuplexEnd::close_in_order() {
  close_status_ = sender_->flush();
  if (close_status_ == Status::kOk) {
    // A reader that left after the last message has not missed anything.
    static_cast<void>(sender_->close());
  } else if (!stopped()) {  // else give_up() does it
    sender_->break_off();
  }
}

// Unless all waiting ends.
void DuplexEnd::rest_for(milliseconds time) const {
  constexpr milliseconds kSlice{20};
  for (; time.count() > 0 && !stopped(); time -= kSlice) {
    std::this_thread::sleep_for(std::min(time, kSlice));
  }
}

// The one connection that comes first.
Result<Connection> DuplexEnd::accept(const Url& url, Deadline deadline) {
  for (;;) {
    if (!listener_) {
      ListenOptions options;
      options.stop = &stop_;
      options.connections = 1;
      options.linger = kLinger;
      auto listener = Listener::open(options_.url, options);
      if (!listener) return std::move(listener).error();
      listener_.emplace(*std::move(listener));
    }
    auto connection = listener_->accept(deadline);
    switch (connection.status()) {
      case Status::kOk: listener_.reset(); return *std::move(connection);
      case Status::kNoMemory:
        continue;  // for that one
      // The name was taken away: as any receiver of a socket, it listens anew.
      case Status::kPeerGone: listener_.reset(); continue;
      case Status::kIoError:
        return Error{ErrorCode::kSystem, url.name() + ": nobody can connect any more"};
      default: return Error{ErrorCode::kTimedOut, "nobody has connected to " + url.name()};
    }
  }
}

Result<DuplexEnd::Handles> DuplexEnd::open_until(Deadline deadline) {
  OpenOptions wishes = open_options(options_);
  wishes.wait = deadline;
  wishes.await_successor = false;  // a connection has none
  wishes.linger = kLinger;
  wishes.stop = &stop_;
  if (const auto descriptors = two_descriptors(options_.url)) {
    auto receiver = Receiver::open(descriptors->first, wishes);
    if (!receiver) return std::move(receiver).error();
    auto sender = Sender::open(descriptors->second, wishes);
    if (!sender) return std::move(sender).error();
    return Handles(*std::move(sender), *std::move(receiver));
  }
  const auto url = Url::parse(options_.url);
  if (!url) return url.error();
  auto connection = url->options.listen.value_or(false) ? accept(*url, deadline)
                                                        : Connection::open(options_.url, wishes);
  if (!connection) return std::move(connection).error();
  return Handles(std::move(connection->sender), std::move(connection->receiver));
}

void DuplexEnd::open_anew(milliseconds rest) {
  if (sender_) sender_->break_off();
  receiver_.reset();
  sender_.reset();
  rest_for(rest);
  const Patience patience(options_, "the other side");  // each time anew
  auto opened =
      patience.wait([&](Deadline deadline) { return open_until(deadline); },
                    [this](const Result<Handles>& handles) {
                      return !stopped() && !handles && handles.error().code == ErrorCode::kTimedOut;
                    });
  if (!opened) {
    code_ = stopped() ? int{kSuccess} : report_open_error(opened.error(), patience);
    return;
  }
  code_ = kSuccess;
  sender_.emplace(std::move(opened->first));
  receiver_.emplace(std::move(opened->second));
}

}  // namespace rondo::program
