// inproc: a record ring between threads of one process, found by its name in a table of the
// process.
#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "open.hpp"
#include "ring_channel.hpp"
#include "rondo/transports/local_memory.hpp"

namespace rondo::detail {
namespace {

constexpr std::size_t kSending = 0;
constexpr std::size_t kReceiving = 1;

// One ring. The table's mutex guards what changes.
struct InprocRing {
  std::string name;  // empty: found by nobody
  LocalMemory memory;
  RecordParts parts{};
  std::array<bool, 2> attached{};
};

class InprocTable {
 public:
  static InprocTable& instance() {
    // Never destroyed: handles may outlive the end of main().
    static auto* table = new InprocTable;
    return *table;
  }

  std::mutex mutex;
  std::map<std::string, std::shared_ptr<InprocRing>> rings;
};

class InprocSeat final : public Seat {
 public:
  InprocSeat(std::shared_ptr<InprocRing> ring, std::size_t side) noexcept
      : ring_(std::move(ring)), side_(side) {}

  bool forked() const noexcept override { return fork_count() != forks_; }
  bool peer_attached() noexcept override {
    const std::lock_guard lock(InprocTable::instance().mutex);
    came_ = came_ || ring_->attached[1 - side_];
    return ring_->attached[1 - side_];
  }
  bool peer_came() noexcept override { return peer_attached() || came_; }
  bool damaged() const noexcept override { return false; }
  bool at_its_name() const noexcept override { return true; }
  void leave(NameAfter name) noexcept override {
    InprocTable& table = InprocTable::instance();
    const std::lock_guard lock(table.mutex);
    ring_->attached[side_] = false;
    if (ring_->attached[1 - side_] || name == NameAfter::kStays) return;
    // relaxed: the mutex orders the receiver's farewell before.
    const std::uint32_t state =
        ring_->parts.consumer->record_waiter.state.load(std::memory_order_relaxed);
    if (name == NameAfter::kGoesIfReceiverLeft && (state & BellWaiter::kGone) == 0) return;
    const auto entry = table.rings.find(ring_->name);
    if (entry != table.rings.end() && entry->second == ring_) table.rings.erase(entry);
  }
  void describe(ChannelInfo&) const override {}

 private:
  std::shared_ptr<InprocRing> ring_;
  std::size_t side_;
  std::uint32_t forks_ = fork_count();
  bool came_ = false;
};

Result<std::shared_ptr<InprocRing>> make_ring(const Url& url) {
  auto ring = std::make_shared<InprocRing>();
  ring->name = url.target;
  const std::uint64_t capacity = url.options.capacity.value_or(ChannelOptions::kDefaultCapacity);
  const auto layout = record_ring::layout_for({capacity});
  if (!layout) return layout.error();
  const auto memory = ring->memory.take_zeroed(layout->total_bytes, kPartAlignment);
  if (memory.empty()) {
    return Error{ErrorCode::kNoSpace,
                 "no memory for " + url.name() + " of " + format_size(capacity) + " bytes"};
  }
  if (auto created = record_ring::create(memory, {capacity}); !created) {
    return std::move(created).error();
  }
  auto parts = record_ring::attach(memory, url.name());
  if (!parts) return std::move(parts).error();
  ring->parts = *parts;
  return ring;
}

// Takes a seat. The caller holds the table's mutex.
Result<std::unique_ptr<Seat>> take_seat(const std::shared_ptr<InprocRing>& ring, std::size_t side,
                                        const Url& url) {
  if (ring->attached[side]) {
    return Error{ErrorCode::kBusy, url.name() + " has a " +
                                       (side == kSending ? "sender" : "receiver") +
                                       " already, in this process; it takes one at a time"};
  }
  if (url.options.capacity && *url.options.capacity != ring->parts.capacity) {
    return Error{ErrorCode::kGeometryMismatch,
                 url.name() + " exists with capacity=" + format_size(ring->parts.capacity) +
                     ", not " + format_size(*url.options.capacity)};
  }
  ring->attached[side] = true;
  return std::unique_ptr<Seat>(std::make_unique<InprocSeat>(ring, side));
}

struct Seated {
  std::unique_ptr<Seat> seat;
  RecordParts parts;
};

// kNotFound if there is no such ring and `create` is false.
Result<Seated> find_seat(const Url& url, std::size_t side, bool create) {
  InprocTable& table = InprocTable::instance();
  const std::lock_guard lock(table.mutex);
  auto entry = table.rings.find(url.target);
  if (entry == table.rings.end()) {
    if (!create) return Error{ErrorCode::kNotFound, "there is no " + url.name()};
    auto ring = make_ring(url);
    if (!ring) return std::move(ring).error();
    entry = table.rings.emplace(url.target, std::move(ring).value()).first;
  }
  auto seat = take_seat(entry->second, side, url);
  if (!seat) return std::move(seat).error();
  return Seated{std::move(seat).value(), entry->second->parts};
}

Error needs_a_name() {
  return Error{ErrorCode::kInvalidName,
               "inproc: needs a name, as in inproc:frames; without one it opens as a pair"};
}

}  // namespace

Result<SenderParts> open_inproc_sender(const Url& url, const OpenOptions& options) {
  if (url.target.empty()) return needs_a_name();
  auto seated = find_seat(url, kSending, true);
  if (!seated) return std::move(seated).error();
  return make_ring_sender(std::move(seated->seat), seated->parts, url, options);
}

Result<ReceiverParts> open_inproc_receiver(const Url& url, const OpenOptions& options) {
  if (url.target.empty()) return needs_a_name();
  for (;;) {
    auto seated = find_seat(url, kReceiving, false);
    if (seated) return make_ring_receiver(std::move(seated->seat), seated->parts, url, options);
    if (seated.error().code != ErrorCode::kNotFound) return std::move(seated).error();
    if (auto paused = pause_before_retry(options, "a sender for " + url.name()); !paused) {
      return std::move(paused).error();
    }
  }
}

Result<PairParts> open_inproc_pair(const Url& url, const OpenOptions& options) {
  if (!url.target.empty()) {
    auto sender = open_inproc_sender(url, options);
    if (!sender) return std::move(sender).error();
    return make_pair(std::move(sender).value(), open_inproc_receiver(url, options));
  }
  auto ring = make_ring(url);
  if (!ring) return std::move(ring).error();
  const RecordParts parts = (*ring)->parts;
  (*ring)->attached = {true, true};
  auto sender =
      make_ring_sender(std::make_unique<InprocSeat>(*ring, kSending), parts, url, options);
  if (!sender) return std::move(sender).error();
  return make_pair(
      std::move(sender).value(),
      make_ring_receiver(std::make_unique<InprocSeat>(*ring, kReceiving), parts, url, options));
}

}  // namespace rondo::detail
