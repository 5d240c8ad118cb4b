// A frame pool on the heap whose every word a test can arrange and look at.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "rondo/core/frame_pool.hpp"

namespace rondo::testing {

struct FramePoolFixture {
  explicit FramePoolFixture(const FramePoolParams& params)
      : stride(round_up(params.frame_bytes, kSharingRange)),
        readers(allocate(params.readers * kPartAlignment)),
        frames(allocate(params.frames * stride)),
        parts{&producer_part, readers.get(),      frames.get(),   stride,
              params.frames,  params.frame_bytes, params.readers, params.pins} {
    for (std::uint32_t i = 0; i < params.readers; ++i) {
      new (readers.get() + i * kPartAlignment) FrameReaderPart{};
    }
  }

  // A pin of reader i, and the state of frame f.
  [[nodiscard]] std::uint64_t pin(std::uint32_t i, std::uint32_t p = 0) const {
    return parts.reader(i).pins[p].load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t state(std::uint32_t f) const {
    return producer_part.states[f].load(std::memory_order_relaxed);
  }
  void set_state(std::uint32_t f, std::uint64_t state) {
    producer_part.states[f].store(state, std::memory_order_relaxed);
  }

  struct Free {
    void operator()(std::byte* bytes) const noexcept {
      ::operator delete (bytes, std::align_val_t{kPartAlignment});
    }
  };
  using Bytes = std::unique_ptr<std::byte, Free>;
  static Bytes allocate(std::uint64_t bytes) {
    auto* memory =
        static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kPartAlignment}));
    std::fill_n(memory, bytes, std::byte{0});
    return Bytes(memory);
  }

  std::uint64_t stride;
  FrameProducerPart producer_part{};
  Bytes readers;
  Bytes frames;
  FramePoolParts parts;
};

// Frame number n: its number, then bytes that follow from it, 8 to `most` in all.
inline std::size_t size_of_frame(std::uint64_t n, std::size_t most) {
  return 8 + n * 37 % (most - 7);
}
inline void write_frame(std::span<std::byte> bytes, std::uint64_t n) {
  std::memcpy(bytes.data(), &n, sizeof n);
  for (std::size_t at = sizeof n; at < size_of_frame(n, bytes.size()); ++at) {
    bytes[at] = static_cast<std::byte>(n * 31 + at);
  }
}
inline bool is_frame(std::span<const std::byte> bytes, std::uint64_t n, std::size_t most) {
  std::uint64_t number;
  if (bytes.size() != size_of_frame(n, most)) return false;
  std::memcpy(&number, bytes.data(), sizeof number);
  if (number != n) return false;
  for (std::size_t at = sizeof n; at < bytes.size(); ++at) {
    if (bytes[at] != static_cast<std::byte>(n * 31 + at)) return false;
  }
  return true;
}

// Publishes the next frame. False if all are pinned.
inline bool put_frame(frame_pool::Producer& producer) {
  auto claim = producer.try_claim();
  if (!claim) return false;
  const std::uint64_t n = producer.number() + 1;
  write_frame(claim->bytes(), n);
  claim->shrink(size_of_frame(n, claim->bytes().size()));
  std::move(*claim).commit();
  return true;
}
// Whether what is held is the frame that it says it is.
inline bool is_whole(const frame_pool::Message& frame, const FramePoolParts& parts) {
  return is_frame(frame.bytes(), frame.number(), parts.frame_bytes);
}

}  // namespace rondo::testing
