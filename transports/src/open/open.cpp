#include "open/open.hpp"

#include <algorithm>
#include <array>
#include <string>

#include "rondo/core/uncancelled.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

Error only_as_pair(const Url& url) {
  return Error{ErrorCode::kInvalidUrl,
               url.name() +
                   " has no name by which the other side could find it; open both ends "
                   "with open_pair(), or use inproc:NAME, fifo:PATH or fd:N"};
}

Result<SenderParts> no_lone_sender(const Url& url, const OpenOptions&) { return only_as_pair(url); }
Result<ReceiverParts> no_lone_receiver(const Url& url, const OpenOptions&) {
  return only_as_pair(url);
}

Result<PairParts> no_pair(const Url& url, const OpenOptions&) {
  return Error{ErrorCode::kInvalidUrl,
               url.name() +
                   " is one end of a channel; open it as a Sender or as a Receiver, or "
                   "use pipe: for both ends"};
}

Result<PairParts> open_segment_pair(const Url& url, const OpenOptions& options) {
  auto sender = open_segment_sender(url, options);
  if (!sender) return std::move(sender).error();
  auto receiver = open_segment_receiver(url, options);
  return make_pair(std::move(sender).value(), std::move(receiver));
}

struct Opener {
  Scheme scheme;
  Result<SenderParts> (*sender)(const Url&, const OpenOptions&);
  Result<ReceiverParts> (*receiver)(const Url&, const OpenOptions&);
  Result<PairParts> (*pair)(const Url&, const OpenOptions&);
};
constexpr std::array kOpeners{
    Opener{Scheme::kShm, open_segment_sender, open_segment_receiver, open_segment_pair},
    Opener{Scheme::kFile, open_segment_sender, open_segment_receiver, open_segment_pair},
    Opener{Scheme::kGuarded, open_guarded_sender, open_guarded_receiver, open_guarded_pair},
    Opener{Scheme::kInproc, open_inproc_sender, open_inproc_receiver, open_inproc_pair},
    Opener{Scheme::kPipe, no_lone_sender, no_lone_receiver, open_pipe_pair},
    Opener{Scheme::kFd, open_fd_sender, open_fd_receiver, no_pair},
    Opener{Scheme::kFifo, open_fifo_sender, open_fifo_receiver, open_fifo_pair},
    Opener{Scheme::kUnix, open_unix_sender, open_unix_receiver, open_unix_pair},
};

const Opener& opener_for(const Url& url) {
  return *std::ranges::find(kOpeners, url.scheme, &Opener::scheme);
}

std::string text_of(const Version& version) {
  return std::to_string(version.major) + '.' + std::to_string(version.minor) + '.' +
         std::to_string(version.patch);
}

// A URL that goes with the options.
Result<Url> parse(std::string_view text, const OpenOptions& options) {
  if (options.headers > version()) {
    return Error{ErrorCode::kBadVersion,
                 "this program was compiled with the headers of Rondo " + text_of(options.headers) +
                     " and runs with its library " + text_of(version()) +
                     "; install the library that belongs to the headers, or compile again"};
  }
  auto url = Url::parse(text);
  if (!url) return url;
  const bool ring = url->scheme == Scheme::kShm || url->scheme == Scheme::kFile ||
                    url->scheme == Scheme::kInproc || url->scheme == Scheme::kGuarded;
  if (!ring || url->options.kind.value_or(RingKind::kMpmc) != RingKind::kMpmc) {
    if (auto counts = refuse_to_count(*url, options); !counts) return std::move(counts).error();
  }
  if (ring || !options.linger) return url;
  return Error{ErrorCode::kInvalidOption,
               url->name() +
                   " can't wait for a successor of the other side (linger); shm:, file: "
                   "and inproc: can"};
}

}  // namespace

Result<SenderParts> open_sender(std::string_view url, const OpenOptions& options) {
  const Uncancelled here;
  const auto parsed = parse(url, options);
  if (!parsed) return parsed.error();
  return opener_for(*parsed).sender(*parsed, options);
}

Result<ReceiverParts> open_receiver(std::string_view url, const OpenOptions& options) {
  const Uncancelled here;
  const auto parsed = parse(url, options);
  if (!parsed) return parsed.error();
  return opener_for(*parsed).receiver(*parsed, options);
}

Result<PairParts> open_both(std::string_view url, const OpenOptions& options) {
  const Uncancelled here;
  const auto parsed = parse(url, options);
  if (!parsed) return parsed.error();
  return opener_for(*parsed).pair(*parsed, options);
}

Result<void> agree_on_kind(const Url& url, RingKind found) {
  if (found != RingKind::kRecord && found != RingKind::kMpmc && found != RingKind::kFramePool) {
    return Error{ErrorCode::kBadKind, url.name() + " holds a ring of kind " +
                                          std::string(to_string(found)) +
                                          ", which no channel is made of; choose another name"};
  }
  const bool capacity_of_slots = found != RingKind::kRecord && url.options.capacity;
  if (url.options.kind.value_or(found) == found && !capacity_of_slots) return {};
  return Error{ErrorCode::kGeometryMismatch,
               url.name() + " exists with kind=" + std::string(to_string(found)) + ", not " +
                   std::string(to_string(url.options.kind.value_or(RingKind::kRecord))) +
                   "; say kind=" + std::string(to_string(found)) +
                   ", or remove it first (rondo rm " + url.name() + ")"};
}

Result<void> refuse_to_count(const Url& url, const OpenOptions& options) {
  if (options.senders == 0) return {};
  return Error{ErrorCode::kInvalidOption,
               url.name() +
                   " takes one sender at a time, so senders can't be counted; "
                   "kind=mpmc takes many"};
}

Result<PairParts> make_pair(SenderParts sender, Result<ReceiverParts> receiver) {
  if (receiver) return PairParts(std::move(sender), std::move(receiver).value());
  // It has a seat to give back and a name to take away.
  static_cast<void>(
      sender.backend->close(sender.producer, sender.ringer, Status::kClosed, Deadline::now()));
  return std::move(receiver).error();
}

Result<void> Retry::allowed(const OpenOptions& options, std::string_view what) {
  // relaxed: the flag orders nothing.
  if (options.stop != nullptr && options.stop->load(std::memory_order_relaxed)) {
    return Error{ErrorCode::kTimedOut, "interrupted while waiting for " + std::string(what)};
  }
  if (options.wait.passed()) {
    return Error{ErrorCode::kTimedOut,
                 "waited for " + std::string(what) + " in vain; start it, or wait longer"};
  }
  return {};
}

Result<void> Retry::pause(const OpenOptions& options, std::string_view what) {
  auto go_on = allowed(options, what);
  if (go_on) pause_.sleep(options.wait);
  return go_on;
}

}  // namespace rondo::inline RONDO_ABI::detail
