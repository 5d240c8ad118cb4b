#include "open/open.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <thread>

#include "open/transports.hpp"
#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "url/options.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::string_view kAwaitSuccessor = "await_successor";

Error only_as_pair(const Url& url) {
  return Error{ErrorCode::kInvalidUrl,
               url.name() +
                   " has no name by which the other side could find it; open both ends "
                   "with open_pair(), or use inproc:NAME, fifo:PATH or fd:N"};
}

std::string text_of(const Version& version) {
  return std::to_string(version.major) + '.' + std::to_string(version.minor) + '.' +
         std::to_string(version.patch);
}

// A URL that goes with the options.
Result<Url> parse(std::string_view text, const OpenOptions& options) {
  if (auto fit = check_library(options.headers); !fit) return std::move(fit).error();
  auto url = Url::parse(text);
  if (!url) return url;
  const SchemeRow& scheme = row_of(url->scheme);
  // Whether a ring of which senders are counted can come of it.
  const bool counts = std::ranges::any_of(kKinds, [&](const KindRow& row) {
    return row.counts_senders && has_word(scheme.kinds, row.name) &&
           url->options.kind.value_or(row.kind) == row.kind;
  });
  if (!counts) {
    if (auto refused = reject_sender_count(*url, options); !refused)
      return std::move(refused).error();
  }
  if (!options.await_successor || has_word(scheme.options, kAwaitSuccessor)) return url;
  const auto can = [](const SchemeRow& row) { return has_word(row.options, kAwaitSuccessor); };
  return Error{ErrorCode::kInvalidOption,
               url->name() + " can't wait for a successor of the other side (await_successor=1); " +
                   names_of(kSchemes, can, ":", "and") + " can"};
}

// By the opener that is this member of the scheme's row.
template <class Parts>
Result<Parts> open_by(std::string_view text, const OpenOptions& options,
                      Result<Parts> (*Transport::*opener)(const Url&, const OpenOptions&)) {
  return refuse_without_memory([&]() -> Result<Parts> {
    const CancellationDisabled here;
    const auto url = parse(text, options);
    if (!url) return url.error();
    return (transport_of(url->scheme).*opener)(*url, options);
  });
}

}  // namespace

Result<void> check_library(const Version& headers) {
  if (headers <= version()) return {};
  return Error{ErrorCode::kBadVersion,
               "this program was compiled with the headers of Rondo " + text_of(headers) +
                   " and runs with its library " + text_of(version()) +
                   "; install the library that belongs to the headers, or compile again"};
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

Result<SenderParts> open_sender(std::string_view url, const OpenOptions& options) {
  return open_by(url, options, &Transport::sender);
}

Result<ReceiverParts> open_receiver(std::string_view url, const OpenOptions& options) {
  return open_by(url, options, &Transport::receiver);
}

Result<PairParts> open_both(std::string_view url, const OpenOptions& options) {
  return open_by(url, options, &Transport::pair);
}

Result<void> refuse_other_kinds(const Url& url, RingKind found) {
  if (channel_kind(found) != nullptr) return {};
  return Error{ErrorCode::kBadKind, url.name() + " holds a ring of kind " +
                                        std::string(to_string(found)) +
                                        ", which no channel is made of; choose another name"};
}

Result<void> check_ring_kind(const Url& url, RingKind found) {
  if (auto sound = refuse_other_kinds(url, found); !sound) return sound;
  const bool has_no_capacity = url.options.capacity && !takes(*channel_kind(found), "capacity");
  if (url.options.kind.value_or(found) == found && !has_no_capacity) return {};
  return Error{ErrorCode::kGeometryMismatch,
               url.name() + " exists with kind=" + std::string(to_string(found)) + ", not " +
                   std::string(to_string(url.options.kind.value_or(kDefaultKind))) +
                   "; say kind=" + std::string(to_string(found)) +
                   ", or remove it first (rondo rm " + url.name() + ")"};
}

Result<void> reject_sender_count(const Url& url, const OpenOptions& options) {
  if (options.senders == 0) return {};
  return Error{ErrorCode::kInvalidOption,
               url.name() +
                   " takes one sender at a time, so senders can't be counted; "
                   "kind=mpmc takes many"};
}

Result<PairParts> make_pair(SenderParts sender,
                            const FunctionRef<Result<ReceiverParts>()>& receive) {
  auto receiver = refuse_without_memory(receive);
  if (receiver) return PairParts(std::move(sender), std::move(receiver).value());
  // It has a membership to give back and a name to take away.
  static_cast<void>(
      sender.backend->close(sender.producer, sender.notifier, Status::kClosed, Deadline::now()));
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
  const Deadline end = pause_.end();
  do {
    if (auto go_on = allowed(options, what); !go_on) return go_on;
    // The stop flag wakes nobody.
    const Deadline slice = Deadline::after(GrowingPause::kLongest);
    std::this_thread::sleep_for(earlier(end, earlier(slice, options.wait)).remaining());
  } while (!end.passed());
  return {};
}

}  // namespace rondo::inline RONDO_ABI::detail
