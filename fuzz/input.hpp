// Reads a fuzzer's bytes as numbers; zeros when they are used up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include "rondo/core/platform.hpp"

namespace rondo::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : left_(data, size) {}

  [[nodiscard]] bool empty() const noexcept { return left_.empty(); }
  template <class T>
  T take() noexcept {
    T value{};
    const std::size_t size = std::min(sizeof value, left_.size());
    if (size != 0) std::memcpy(&value, left_.data(), size);
    left_ = left_.subspan(size);
    return value;
  }
  [[nodiscard]] std::span<const std::uint8_t> rest() const noexcept { return left_; }

 private:
  std::span<const std::uint8_t> left_;
};

// Zeroed memory of just this size, aligned as segments are; an access beyond it is a finding.
class Memory {
 public:
  explicit Memory(std::size_t bytes)
      : bytes_(static_cast<std::byte*>(::operator new (bytes, std::align_val_t{kPartAlignment}))),
        size_(bytes) {
    std::memset(bytes_.get(), 0, bytes);
  }
  [[nodiscard]] std::span<std::byte> bytes() noexcept { return {bytes_.get(), size_}; }

  // What a hostile peer can do: overwrites a word wherever the input says, mostly where it hurts.
  void scribble(Input& input, std::uint64_t parts_offset) noexcept {
    const auto where = input.take<std::uint16_t>();
    const auto value = input.take<std::uint64_t>();
    // The upper quarter of the choices aims at the header, the others at the ring's own parts.
    const std::uint64_t offset =
        where >= 0xc000 ? where % 128 : parts_offset + where % (size_ - parts_offset);
    const std::uint64_t aligned = offset & ~std::uint64_t{7};
    if (aligned + sizeof value <= size_) {
      std::memcpy(bytes_.get() + aligned, &value, sizeof value);
    }
  }

 private:
  struct Free {
    void operator()(std::byte* bytes) const noexcept {
      ::operator delete (bytes, std::align_val_t{kPartAlignment});
    }
  };
  std::unique_ptr<std::byte, Free> bytes_;
  std::size_t size_;
};

// The life of a segment among hostile peers: as long as the input lasts, either the memory is
// scribbled on, or `act(operation, count)` is called, with operations 2 to 7 and counts below 32.
template <class Act>
void live_among_hostile_peers(Input& input, Memory& memory, std::uint64_t parts_offset, Act&& act) {
  while (!input.empty()) {
    const auto drawn = input.take<std::uint8_t>();
    const unsigned operation = drawn & 7;
    if (operation < 2) {
      memory.scribble(input, parts_offset);
    } else {
      act(operation, unsigned{drawn} >> 3);
    }
  }
}

// Stops the fuzzer with a finding.
#define RONDO_FUZZ_CHECK(condition)     \
  do {                                  \
    if (!(condition)) __builtin_trap(); \
  } while (false)

}  // namespace rondo::fuzz
