// The newest value of one type, from one process to up to 64 others that wait for it to change:
// latest<T>, with waiting, the end, and the death of the writer.
//
//   auto writer = LatestWriter<Quote>::open("shm:eurusd");    // one process, which makes the cell
//   writer->store({1.0810, 1.0812});                          // after a look at `writer`
//
//   auto reader = LatestReader<Quote>::open("shm:eurusd");    // others, before or after
//   while (auto quote = reader->next()) show(*quote);
//   // reader->status(): kEnded, kPeerDied, ...
//
// The writer never waits; a reader that is slower than the writer skips values, and version() says
// how many. One that has no place among the readers, or may not write to the cell, polls:
// latest<T>::open_reader() (latest_open.hpp).
//
// A writer that is not trusted can make any bytes of T appear, torn ones as well.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "rondo/core/atomic.hpp"
#include "rondo/core/attachment.hpp"
#include "rondo/core/bell.hpp"
#include "rondo/core/fork_watch.hpp"
#include "rondo/core/latest.hpp"
#include "rondo/core/latest_layout.hpp"
#include "rondo/core/latest_open.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/opened.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/typed_end.hpp"
#include "rondo/transports/typed_options.hpp"

namespace rondo::inline RONDO_ABI {
namespace detail {

// Takes a place at the cell that was found. Errors: Attachment::to()'s, kGeometryMismatch, kNoSlot,
// Participants::join()'s.
template <class T>
[[nodiscard]] Result<Attachment<latest<T>>> join_cell(RingSegment found, std::string_view name,
                                                      const TypedOptions& options, Role role) {
  auto cell = Attachment<latest<T>>::to(std::move(found), name);
  if (!cell) return std::move(cell).error();
  if (auto fits = check_tag(cell->geometry(), options.tag, name); !fits) {
    return std::move(fits).error();
  }
  const bool writes = role == Role::kProducer;
  if (!writes && cell->parts().waiter_count == 0) {
    return Error{ErrorCode::kNoSlot, std::string(name) +
                                         " was made without places for readers that wait; have a "
                                         "LatestWriter make it, or poll: latest<T>::open_reader()"};
  }
  const JoinRequest request{
      .first_slot = writes ? latest<T>::kWriterSlot : latest<T>::kFirstWaiterSlot,
      .slot_count = writes ? 1 : cell->parts().waiter_count,
      .role = role,
      .name = options.participant};
  if (auto joined = cell->join(request); !joined) return joined.error();
  return cell;
}

// A cell that nobody reads: of a writer that has none any more, so that a store needs no look at
// whether it has.
template <class T>
[[nodiscard]] LatestParts no_cell() noexcept {
  static LatestWriterPart writer{};
  static std::array<Atomic<std::uint64_t>, (sizeof(T) + 7) / 8> words{};
  return {.writer = &writer,
          .values = words.data(),
          .stride_words = 0,
          .buffers = 2,
          .waiters = nullptr,
          .waiter_stride = 0,
          .waiter_count = 0};
}

}  // namespace detail

// `T` as in typed.hpp.
template <class T>
class LatestWriter : private latest<T>::Writer, private detail::ForkWatch {
  using Cell = latest<T>;
  using Base = typename Cell::Writer;

 public:
  // Opens "shm:NAME" or "file:PATH", and makes the cell where there is none. Blocking while another
  // process is joining or leaving, for 5 seconds at most. Errors: those of
  // latest<T>::open_writer(), kGeometryMismatch for another tag.
  [[nodiscard]] static Result<LatestWriter> open(std::string_view text,
                                                 const TypedOptions& options = {}) {
    return detail::refuse_without_memory([&]() -> Result<LatestWriter> {
      auto name = parse_ring_name(text);
      if (!name) return std::move(name).error();
      const RingPlace place{std::move(name).value(), options.segment};
      const LatestParams params{.waiters = options.readers, .type_tag = options.tag};
      const auto make = [&](detail::MadeRing& ring) -> Result<void> {
        const auto layout = Cell::layout_for(params);
        if (!layout) return layout.error();
        return ring.make(place, layout->total_bytes, [&](std::span<std::byte> bytes) {
          auto made = Cell::create(bytes, params);
          return made ? Result<void>() : Result<void>(std::move(made).error());
        });
      };
      std::optional<Attachment<Cell>> cell;
      const auto take = [&](RingSegment found) -> Result<void> {
        auto joined = detail::join_cell<T>(std::move(found), text, options, Role::kProducer);
        if (!joined) return std::move(joined).error();
        cell.emplace(std::move(joined).value());
        return {};
      };
      if (auto done = detail::open_or_create_ring(place, make, take); !done) {
        return std::move(done).error();
      }
      return LatestWriter(std::move(*cell), options);
    });
  }
  LatestWriter(LatestWriter&& other) noexcept
      : Base(std::move(static_cast<Base&>(other))),
        detail::ForkWatch(other),
        bell_(other.bell_),
        watched_(other.watched_),
        rings_(other.rings_),
        end_(std::exchange(other.end_, std::nullopt)) {
    other.shut();
  }
  LatestWriter& operator=(LatestWriter&& other) noexcept {
    if (this != &other) {
      std::destroy_at(this);
      std::construct_at(this, std::move(other));
    }
    return *this;
  }
  // close()
  ~LatestWriter() { close(); }

  // Makes `value` the newest one. Nothing happens after close(), on a handle that was moved from,
  // or in a forked child. Progress: wait-free, and a system call when readers sleep. Memory
  // ordering: what the caller did before is visible to a reader of this value.
  RONDO_ALWAYS_INLINE void store(const T& value) noexcept {
    Base::store(value);
    const bool wanted = bell_.wanted();
    if (wanted || not_watched_yet() != 0) [[unlikely]]
      ring();
  }
  // Values ever stored, those of predecessors included; of a handle that stores no more, none.
  [[nodiscard]] std::uint64_t version() const noexcept { return stores() ? Base::version() : 0; }
  // Whether a reader is there that waits, or could.
  [[nodiscard]] bool reader_attached() const noexcept {
    return end_ && end_->peer() == Presence::kPresent;
  }

  // Leaves in order: the readers are told kEnded, within 50 ms. The last of all takes the name
  // away.
  void close() noexcept {
    if (!end_) return;
    shut();
    if (!end_->forked()) {
      end_->leave([this](bool last) { return last && !end_->keep(); });
    }
    end_.reset();
  }

 private:
  LatestWriter(Attachment<Cell> cell, const TypedOptions& options)
      : Base(cell.parts()),
        detail::ForkWatch(shut_in_child),
        bell_(cell.parts().writer->change_notifier),
        end_(std::in_place, std::move(cell), Cell::kFirstWaiterSlot, parts().waiter_count, 0u,
             options) {
    ring();
  }
  using Base::parts;

  // Stores nowhere from now on.
  void shut() noexcept {
    static_cast<Base&>(*this) = Base(detail::no_cell<T>());
    bell_ = BroadcastNotifier(parts().writer->change_notifier);
    watched_ = 0;
  }
  static void shut_in_child(detail::ForkWatch& watch) noexcept {
    static_cast<Base&>(static_cast<LatestWriter&>(watch)) = Base(detail::no_cell<T>());
  }
  [[nodiscard]] bool stores() const noexcept { return end_ && !end_->forked(); }

  // Readers that said that they may sleep, and that bell_ does not look after yet.
  [[nodiscard]] std::uint64_t not_watched_yet() const noexcept {
    // relaxed: a reader sets its bit before its first sleep, so its heavy fence orders this load
    // after the store as it orders the load of its word.
    return parts().writer->awaiting.load(std::memory_order_relaxed) & ~watched_;
  }
  RONDO_COLD void ring() noexcept {
    if (!stores()) return;
    bell_.ring([this] {
      const std::uint64_t coming = not_watched_yet();
      for (std::uint32_t i = 0; i < parts().waiter_count; ++i) {
        if ((coming >> i & 1) != 0) static_cast<void>(bell_.watch(parts().waiter(i)));
      }
      watched_ |= coming;
    });
    constexpr std::uint32_t kLookEvery = 64;
    if (++rings_ % kLookEvery == 0) forget_dead();
  }
  // A reader that died asleep has every store ring for it: it is watched no more.
  RONDO_COLD void forget_dead() noexcept {
    for (std::uint32_t i = 0; i < parts().waiter_count; ++i) {
      const std::uint64_t bit = std::uint64_t{1} << i;
      // relaxed: a word that is not seen yet is seen the next time.
      const std::uint32_t state = parts().waiter(i).state.load(std::memory_order_relaxed);
      if ((watched_ & bit) == 0 || (state & BellWaiter::kFlags) == 0) continue;
      if (end_->peer_at(i) != Presence::kAbsent) continue;
      // Behind the look: nobody alive is forgotten, if we are killed here, but for a successor who
      // has come since. That one is seen now, as it has the place before it sets the bit; and it
      // sets it again when it waits. relaxed: the kernel's lock orders both.
      parts().writer->awaiting.fetch_and(~bit, std::memory_order_relaxed);
      if (end_->peer_at(i) != Presence::kAbsent) {
        // relaxed: as above; for a writer after us.
        parts().writer->awaiting.fetch_or(bit, std::memory_order_relaxed);
        continue;
      }
      bell_.unwatch(parts().waiter(i));
      watched_ &= ~bit;
    }
  }

  BroadcastNotifier bell_;
  std::uint64_t watched_ = 0;  // readers that bell_ looks after
  std::uint32_t rings_ = 0;
  std::optional<detail::TypedEnd> end_;  // none: closed
};

template <class T>
class LatestReader : private detail::ForkWatch {
  static_assert(std::is_default_constructible_v<T>, "a value is copied to where there is one");
  using Cell = latest<T>;

 public:
  // Opens the cell at "shm:NAME" or "file:PATH", and waits for there to be one, for options.timeout
  // at most. Errors: kNotFound, kTimedOut (the stop flag), kNoSlot (all places for readers are
  // taken), those of latest<T>::open_reader(), Participants::join()'s; kGeometryMismatch for
  // another tag.
  [[nodiscard]] static Result<LatestReader> open(std::string_view text,
                                                 const TypedOptions& options = {}) {
    return detail::refuse_without_memory([&]() -> Result<LatestReader> {
      auto name = parse_ring_name(text);
      if (!name) return std::move(name).error();
      std::optional<Attachment<Cell>> cell;
      const auto take = [&](RingSegment found) -> Result<void> {
        auto joined = detail::join_cell<T>(std::move(found), text, options, Role::kConsumer);
        if (!joined) return std::move(joined).error();
        cell.emplace(std::move(joined).value());
        return {};
      };
      const RingPlace place{std::move(name).value(), options.segment};
      bool there = false;
      const auto look = [&] {
        auto found = detail::await_ring(place, {}, take);
        there = found || found.error().code != ErrorCode::kNotFound;
        return found;
      };
      auto done = detail::open_again(options, look, [&] { return !there; });
      if (!done) return std::move(done).error();
      return LatestReader(std::move(*cell), options);
    });
  }
  LatestReader(LatestReader&& other) noexcept
      : detail::ForkWatch(other),
        reader_(std::move(other.reader_)),
        parts_(other.parts_),
        place_(other.place_),
        end_(std::exchange(other.end_, std::nullopt)),
        waiter_(other.waiter_),
        status_(std::exchange(other.status_, Status::kClosed)) {}
  LatestReader& operator=(LatestReader&& other) noexcept {
    if (this != &other) {
      std::destroy_at(this);
      std::construct_at(this, std::move(other));
    }
    return *this;
  }
  // close()
  ~LatestReader() { close(); }

  // The newest value, if it is newer than the one that was returned last; else kWouldBlock; kEnded
  // when the writer has left in order, kPeerDied when it died; kCorrupt, kClosed, kForked. After
  // one of the last five it is the same each time. Progress: bounded, and a system call now and
  // then while there is none. Memory ordering: what the writer did before it stored it is visible.
  [[nodiscard]] Polled<T> try_next() noexcept { return next(Deadline::now()); }
  // The same, and waits until `deadline`. Also kTimedOut, kInterrupted.
  [[nodiscard]] Polled<T> next(Deadline deadline = Deadline::never()) noexcept {
    if (status_ != Status::kOk) return status_;
    // A poll that finds nothing makes no T.
    if (deadline == Deadline::now() && !reader_.changed()) {
      const Status status = wait(deadline, [this] { return reader_.changed(); });
      if (status != Status::kOk) return status;
    }
    Polled<T> value(std::in_place);
    const auto ready = [&] {
      return reader_.changed() && reader_.try_load(*value) == LatestRead::kValue;
    };
    if (ready()) [[likely]]
      return value;
    const Status status = wait(deadline, ready);
    if (status != Status::kOk) return status;
    return value;
  }

  // The number of the value that was returned last, counted from 1; 0: none yet. The difference to
  // the one before, less one, is how many were skipped.
  [[nodiscard]] std::uint64_t version() const noexcept { return reader_.version(); }
  [[nodiscard]] bool writer_attached() const noexcept {
    return end_ && end_->peer() == Presence::kPresent;
  }

  // Gives its place back.
  void close() noexcept {
    if (!end_) return;
    if (!end_->forked()) {
      // Nobody is here: the writer has nothing to ring for, nor to fence for. Said by no gone bit,
      // for which it would look again after each store. relaxed: an older word costs a ring.
      parts_.waiter(place_).state.fetch_and(~BellWaiter::kFlags, std::memory_order_relaxed);
      // relaxed: as where it is set.
      parts_.writer->awaiting.fetch_and(~(std::uint64_t{1} << place_), std::memory_order_relaxed);
      end_->leave([this](bool last) { return last && !end_->keep(); });
    }
    status_ = end_->forked() ? Status::kForked : Status::kClosed;
    end_.reset();
  }

  // kOk, or why the handle is of no use any more.
  [[nodiscard]] Status status() const noexcept { return status_; }

 private:
  LatestReader(Attachment<Cell> cell, const TypedOptions& options)
      : detail::ForkWatch(say_forked),
        reader_(cell.parts()),
        parts_(cell.parts()),
        place_(cell.slot() - Cell::kFirstWaiterSlot),
        waiter_(std::in_place, cell.parts().waiter(place_), cell.parts().writer->change_notifier) {
    say_awaiting();
    // Every writer that the cell ever had: who stored the newest value counts.
    end_.emplace(std::move(cell), Cell::kWriterSlot, 1u, 0u, options);
  }

  static void say_forked(detail::ForkWatch& watch) noexcept {
    auto& status = static_cast<LatestReader&>(watch).status_;
    if (status == Status::kOk) status = Status::kForked;
  }
  // Before each wait: who writes may have taken it for our dead predecessor's.
  void say_awaiting() noexcept {
    Atomic<std::uint64_t>& awaiting = parts_.writer->awaiting;
    const std::uint64_t bit = std::uint64_t{1} << place_;
    // relaxed, both: our heavy fence before a sleep orders our bit before our last look.
    if ((awaiting.load(std::memory_order_relaxed) & bit) != 0) return;
    awaiting.fetch_or(bit, std::memory_order_relaxed);
  }
  template <class Ready>
  [[nodiscard]] Status wait(Deadline deadline, Ready&& ready) noexcept {
    if (deadline != Deadline::now()) say_awaiting();
    Status status = end_->wait(*waiter_, deadline, ready, [] { return false; });
    // The table is all that tells an end here.
    if (status == Status::kPeerGone) status = Status::kEnded;
    if (detail::is_last(status)) status_ = status;
    return status;
  }

  typename Cell::Reader reader_;
  LatestParts parts_;
  std::uint32_t place_;
  std::optional<detail::TypedEnd> end_;  // none: closed
  std::optional<Waiter> waiter_;
  Status status_ = Status::kOk;
};

}  // namespace rondo::inline RONDO_ABI
