// The memory of a segment: mapped, guarded, reserved and placed as asked for.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"
#include "sigbus_guard_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {

// The size of the pages behind `fd`: the system's, or the huge ones of its file system.
[[nodiscard]] std::size_t page_bytes_of(int fd) noexcept;

// The size of the system's pages.
[[nodiscard]] std::size_t system_page_bytes() noexcept;

// A shared mapping, watched for truncation if there is a file behind it.
class Mapping {
 public:
  // `fd`: -1 for anonymous memory.
  static Result<Mapping> map(int fd, std::size_t length, Access access, const std::string& what);

  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&&) = delete;
  ~Mapping();

  [[nodiscard]] std::byte* address() const noexcept { return address_; }
  [[nodiscard]] std::size_t length() const noexcept { return length_; }
  [[nodiscard]] std::size_t page_bytes() const noexcept { return page_bytes_; }
  [[nodiscard]] bool guarded() const noexcept { return static_cast<bool>(guard_); }
  [[nodiscard]] bool truncated() const noexcept { return guard_.truncated(); }

 private:
  Mapping(std::byte* address, std::size_t length, std::size_t page_bytes) noexcept
      : address_(address), length_(length), page_bytes_(page_bytes) {}

  std::byte* address_;
  std::size_t length_;  // of the mapping, in whole pages
  std::size_t page_bytes_;
  SigbusGuard guard_;
};

// What `create` does to a new mapping: place, reserve (in the file `fd`, unless it is -1),
// populate, lock. Errors: kNoSpace, kUnsupported, kSystem.
[[nodiscard]] Result<void> reserve(const Mapping& mapping, int fd, const SegmentOptions& options,
                                   SegmentReport& report, const std::string& what);

// What `attach` does to a mapping whose pages exist: populate, lock. `for_writing`: as if all pages
// were about to be written. Errors: kTooSmall (pages are missing), kNoSpace, kUnsupported.
[[nodiscard]] Result<void> prepare(const Mapping& mapping, bool for_writing,
                                   const SegmentOptions& options, SegmentReport& report,
                                   const std::string& what);

}  // namespace rondo::inline RONDO_ABI::detail
