// The memory of a segment: mapped, guarded, reserved and placed as asked for.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"
#include "sigbus_guard.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A shared mapping, watched for truncation if there is a file behind it.
class Mapping {
 public:
  // `file`: kNoHandle for anonymous memory.
  static Result<Mapping> map(NativeHandle file, std::size_t length, Access access,
                             const std::string& what);

  // A System V segment. Errors: kReplaced: it has been removed; kPermission, kNoSpace, kSystem.
  static Result<Mapping> attach(SystemVId id, std::size_t length, Access access,
                                const std::string& what);

  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping();

  // In whole pages.
  [[nodiscard]] std::span<std::byte> memory() const noexcept { return memory_; }
  [[nodiscard]] std::size_t page_bytes() const noexcept { return page_bytes_; }
  // Whether it survives that the file becomes shorter; a System V segment can't.
  [[nodiscard]] bool guarded() const noexcept { return static_cast<bool>(guard_) || system_v_; }
  [[nodiscard]] bool truncated() const noexcept { return guard_.truncated(); }

 private:
  Mapping(std::span<std::byte> memory, std::size_t page_bytes) noexcept
      : memory_(memory), page_bytes_(page_bytes) {}

  std::span<std::byte> memory_;
  std::size_t page_bytes_;
  bool system_v_ = false;
  SigbusGuard guard_;
};

// What `create` does to a new mapping: place, reserve (in `file`, unless it is kNoHandle),
// populate, lock. Errors: kNoSpace, kUnsupported, kSystem.
[[nodiscard]] Result<void> reserve(const Mapping& mapping, NativeHandle file,
                                   const SegmentOptions& options, SegmentReport& report,
                                   const std::string& what);

// What `attach` does to a mapping whose pages exist: populate, lock. `for_writing`: as if all pages
// were about to be written. Errors: kTooSmall (pages are missing), kNoSpace, kUnsupported.
[[nodiscard]] Result<void> prepare(const Mapping& mapping, bool for_writing,
                                   const SegmentOptions& options, SegmentReport& report,
                                   const std::string& what);

}  // namespace rondo::inline RONDO_ABI::detail
