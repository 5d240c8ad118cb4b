// latest<T>: a cell that holds the last value. One writer, any number of readers, which need
// nothing but read access: for quotes, positions, the state of a thing that many look at.
//
// A seqlock whose writer never touches the last complete value: a store goes to the next buffer,
// and counts only once `version` says so. So readers find a value at any time, also after the
// writer was killed in the middle of a store; its successor stores over what was begun. A reader
// copies the buffer that `version` names and looks at `version` again: the copy is whole unless so
// many stores were completed meanwhile that the writer may have come round to that buffer. The
// words are atomic, so a copy that is thrown away is no data race (Boehm, "Can seqlocks get along
// with programming language memory models?", MSPC 2012; the words themselves carry the orders that
// he gives to fences: on x86 they cost nothing).
//
// Ordering. Each label stands at exactly one operation below; pairs are mutual.
//
//   V1 release version  ->  V2 acquire version  the value that it counts is fully written
//   W1 release word     ->  W2 acquire word     a word of a later value seen in this buffer
//                                               shows that the versions before were completed
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

#include "rondo/core/atomic.hpp"
#include "rondo/core/latest_layout.hpp"
#include "rondo/core/move_only.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"

namespace rondo::inline RONDO_ABI {

// What a reader meets.
enum class LatestRead : std::uint8_t {
  kValue,    // the newest value, whole
  kNothing,  // none was ever stored
  kBusy      // the writer was faster than the reader, again and again; or it is no honest one
};

template <class Ring, class Handle>
class Opened;        // opened.hpp
struct RingOptions;  // opened.hpp

// T is copied as bytes: trivially copyable, without pointers if it crosses processes.
template <class T>
class latest {
  static_assert(std::is_trivially_copyable_v<T>, "values cross process boundaries as bytes");
  static_assert(sizeof(T) <= kMaxLatestValueBytes);

 public:
  using Parts = LatestParts;
  class Writer;
  class Reader;

  static constexpr std::uint32_t kWriterSlot = 0;
  static constexpr std::uint32_t kFirstWaiterSlot = 1;

  // The life cycle; see life_cycle.hpp. A reader's memory may be mapped read-only.
  [[nodiscard]] static Result<LatestLayout> layout_for(const LatestParams& params = {});
  [[nodiscard]] static Result<Parts> create(std::span<std::byte> memory,
                                            const LatestParams& params = {});
  [[nodiscard]] static Result<Parts> attach(std::span<std::byte> memory,
                                            std::string_view what = "the cell");
  [[nodiscard]] static Result<Parts> attach(std::span<std::byte> memory, const Geometry& geometry,
                                            std::string_view what);

  // Opening by a name, "shm:NAME" or "file:PATH", for programs that include latest_open.hpp.
  //
  // The writer makes the cell with `params` where there is none, and takes one that is there as it
  // is. It takes over from a dead predecessor, last value included. Blocking, for 5 seconds at most
  // while another process is joining or leaving. Errors: kInvalidUrl, kInvalidName,
  // kInvalidCapacity, kBusy (a live process writes it; the message says which), attach()'s,
  // Segment::create()'s and attach()'s, Participants::join()'s.
  [[nodiscard]] static Result<Opened<latest, Writer>> open_writer(std::string_view name,
                                                                  const LatestParams& params = {});
  [[nodiscard]] static Result<Opened<latest, Writer>> open_writer(std::string_view name,
                                                                  const LatestParams& params,
                                                                  const RingOptions& options);
  // A reader maps the cell read-only and takes no slot: there may be any number, and none keeps the
  // name. A writer that left in order has taken the name along, so that its successor makes another
  // cell: peer() tells that the writer is absent, attachment().at_its_name() that this cell is not
  // the one at the name any more. Blocking, for options.timeout at most. Errors: kNotFound (it
  // was not made), kInvalidUrl, kInvalidName, attach()'s, Segment::attach()'s.
  [[nodiscard]] static Result<Opened<latest, Reader>> open_reader(std::string_view name);
  [[nodiscard]] static Result<Opened<latest, Reader>> open_reader(std::string_view name,
                                                                  const RingOptions& options);

 private:
  static constexpr std::size_t kWholeWords = sizeof(T) / 8;
  static constexpr std::size_t kRest = sizeof(T) % 8;  // bytes in a last, partial word
};

// The storing side. Not thread-safe: one thread at a time.
template <class T>
class alignas(kLineBytes) latest<T>::Writer : private detail::MoveOnly {
 public:
  // Takes up the writer's part where a predecessor left it, killed or not. The caller holds the
  // writer's role (participants.hpp).
  explicit Writer(const Parts& parts) noexcept
      : parts_(parts),
        // relaxed: the role came through the kernel's lock; we are the only writer now.
        version_(parts.writer->version.load(std::memory_order_relaxed)) {}

  // Makes `value` the newest one. Progress: wait-free. Memory ordering: what the caller did before
  // is visible to a reader that loads this value.
  RONDO_ALWAYS_INLINE void store(const T& value) noexcept {
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    Atomic<std::uint64_t>* words = parts_.words_of(version_ + 1);
    for (std::size_t i = 0; i < kWholeWords; ++i) put(words[i], bytes + i * 8, 8);
    if constexpr (kRest != 0) put(words[kWholeWords], bytes + kWholeWords * 8, kRest);
    // V1 (release, pairs with V2): the value is written before it is counted.
    parts_.writer->version.store(++version_, std::memory_order_release);
  }

  // Values ever stored, those of predecessors included.
  [[nodiscard]] std::uint64_t version() const noexcept { return version_; }
  [[nodiscard]] const Parts& parts() const noexcept { return parts_; }

 private:
  RONDO_ALWAYS_INLINE static void put(Atomic<std::uint64_t>& word, const std::byte* bytes,
                                      std::size_t size_bytes) noexcept {
    std::uint64_t packed = 0;
    std::memcpy(&packed, bytes, size_bytes);
    // W1 (release, pairs with W2): all values before the one that this word belongs to were
    // counted.
    word.store(packed, std::memory_order_release);
  }

  Parts parts_;
  std::uint64_t version_;
};

// The reading side. Any number of them, in any number of processes; each by one thread at a time.
template <class T>
class alignas(kLineBytes) latest<T>::Reader : private detail::MoveOnly {
 public:
  // How often one call begins anew before it says kBusy.
  static constexpr std::uint32_t kTurns = 64;

  explicit Reader(const Parts& parts) noexcept : parts_(parts) {}

  // Copies the newest value to `value`, which holds nothing of use after another answer than
  // kValue. The values of successive calls never go back. A writer that is not trusted can make any
  // bytes appear here, torn ones as well.
  // Progress: bounded; an answer other than kBusy unless kTurns times in a row at least
  // buffers - 1 stores were completed while the value was copied. Memory ordering: what the writer
  // did before it stored this value is visible.
  [[nodiscard]] RONDO_ALWAYS_INLINE LatestRead try_load(T& value) noexcept {
    for (std::uint32_t turn = 0; turn < kTurns; ++turn) {
      // V2 (acquire, pairs with V1): the buffer holds at least the value that this counts.
      const std::uint64_t version = parts_.writer->version.load(std::memory_order_acquire);
      if (version == 0) return LatestRead::kNothing;
      copy(parts_.words_of(version), value);
      // Storing value number version + buffers, the next one in this buffer, begins after the one
      // before it was counted.
      // relaxed: W2 orders it behind the words.
      const std::uint64_t since = parts_.writer->version.load(std::memory_order_relaxed) - version;
      if (since < parts_.buffers - 1) [[likely]] {
        version_ = version;
        return LatestRead::kValue;
      }
      cpu_relax();
    }
    return LatestRead::kBusy;
  }

  // Whether there is a newer value than the one that was loaded last. Progress: wait-free.
  [[nodiscard]] RONDO_ALWAYS_INLINE bool changed() const noexcept {
    // relaxed: try_load() looks again, and orders what it reads.
    return parts_.writer->version.load(std::memory_order_relaxed) != version_;
  }

  // The number of the value that was loaded last, counted from 1; 0: none yet. The difference to
  // the one before, less one, is how many values were skipped.
  [[nodiscard]] std::uint64_t version() const noexcept { return version_; }
  [[nodiscard]] const Parts& parts() const noexcept { return parts_; }

 private:
  RONDO_ALWAYS_INLINE static void copy(const Atomic<std::uint64_t>* words, T& value) noexcept {
    auto* bytes = reinterpret_cast<std::byte*>(&value);
    for (std::size_t i = 0; i < kWholeWords; ++i) get(words[i], bytes + i * 8, 8);
    if constexpr (kRest != 0) get(words[kWholeWords], bytes + kWholeWords * 8, kRest);
  }
  RONDO_ALWAYS_INLINE static void get(const Atomic<std::uint64_t>& word, std::byte* bytes,
                                      std::size_t size_bytes) noexcept {
    // W2 (acquire, pairs with W1): if this word is a later value's, the version read behind it
    // shows that.
    const std::uint64_t packed = word.load(std::memory_order_acquire);
    std::memcpy(bytes, &packed, size_bytes);
  }

  Parts parts_;
  std::uint64_t version_ = 0;
};

}  // namespace rondo::inline RONDO_ABI

#include "rondo/core/latest_segment.hpp"  // the life-cycle verbs
#include "rondo/core/version.hpp"
