#include <algorithm>
#include <cstddef>

#include "duplex_end.hpp"
#include "say.hpp"
#include "stop_signal.hpp"

namespace rondo::program {
namespace {

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
  return Error{ErrorCode::kInvalidUrl,
               url.name() +
                   " has one direction; --duplex is for unix:, for tcp:, and for fd:IN,OUT, as in "
                   "fd:0,1"};
}

}  // namespace

// The one connection that comes first.
Result<Connection> DuplexEnd::accept(const Url& url, Deadline deadline) {
  if (!listener_) {
    ListenOptions options;
    options.stop = &stop_signal::flag();
    options.connections = 1;
    auto listener = Listener::open(options_.url, options);
    if (!listener) return std::move(listener).error();
    listener_.emplace(*std::move(listener));
  }
  for (;;) {
    auto connection = listener_->accept(deadline);
    switch (connection.status()) {
      case Status::kOk: listener_.reset(); return *std::move(connection);
      case Status::kNoMemory: continue;  // for that one
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
  if (const auto descriptors = two_descriptors(options_.url)) {
    auto receiver = Receiver::open(descriptors->first, wishes);
    if (!receiver) return std::move(receiver).error();
    auto sender = Sender::open(descriptors->second, wishes);
    if (!sender) return std::move(sender).error();
    return Handles(*std::move(sender), *std::move(receiver));
  }
  const auto url = Url::parse(options_.url);
  if (!url) return url.error();
  if (url->scheme != Scheme::kUnix && url->scheme != Scheme::kTcp) return one_way(*url);
  auto connection = url->options.listen.value_or(false) ? accept(*url, deadline)
                                                        : Connection::open(options_.url, wishes);
  if (!connection) return std::move(connection).error();
  return Handles(std::move(connection->sender), std::move(connection->receiver));
}

int DuplexEnd::open() {
  receiver_.reset();
  sender_.reset();
  auto opened = patience_.wait([&](Deadline deadline) { return open_until(deadline); },
                               [](const Result<Handles>& handles) {
                                 return !handles && handles.error().code == ErrorCode::kTimedOut;
                               });
  if (!opened) return report_open_error(opened.error(), patience_);
  sender_.emplace(std::move(opened->first));
  receiver_.emplace(std::move(opened->second));
  return 0;
}

}  // namespace rondo::program
