// Turns SIGBUS inside a guarded mapping into zeros and a mark.
#pragma once

#include <cstddef>
#include <utility>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

class GuardedRange;

// One mapping's place among the guarded ones. Must go before the mapping does.
class SigbusGuard {
 public:
  static constexpr std::size_t kMaxRanges = 1024;

  // `page_bytes`: of the mapping's pages; `address` is aligned to it. Installs the handler on first
  // use. Errors: kNoSpace (kMaxRanges are guarded already), kSystem.
  static Result<SigbusGuard> watch(std::byte* address, std::size_t length, std::size_t page_bytes,
                                   bool writable);

  SigbusGuard() = default;
  SigbusGuard(SigbusGuard&& other) noexcept : range_(std::exchange(other.range_, nullptr)) {}
  SigbusGuard& operator=(SigbusGuard&& other) noexcept {
    std::swap(range_, other.range_);
    return *this;
  }
  ~SigbusGuard();

  // Whether the guard had to stand in. Progress: wait-free.
  [[nodiscard]] bool truncated() const noexcept;
  explicit operator bool() const noexcept { return range_ != nullptr; }

 private:
  explicit SigbusGuard(GuardedRange* range) noexcept : range_(range) {}

  GuardedRange* range_ = nullptr;
};

}  // namespace rondo::inline RONDO_ABI::detail
