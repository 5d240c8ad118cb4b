// Who may use what a channel leaves in the file system.
#pragma once

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// The bits of chmod(1), such as 0660: what the user that makes it, its group and all others may do.
// Converts from such a number and to it.
class Permissions {
 public:
  constexpr Permissions() noexcept = default;  // the user's alone
  // NOLINTNEXTLINE(google-explicit-constructor): users write mode = 0660.
  constexpr Permissions(unsigned bits) noexcept : bits_(bits) {}
  // NOLINTNEXTLINE(google-explicit-constructor): and compare with it.
  constexpr operator unsigned() const noexcept { return bits_; }

  [[nodiscard]] constexpr unsigned bits() const noexcept { return bits_; }
  // Whether they let anybody in besides the user that made it.
  [[nodiscard]] constexpr bool shared() const noexcept { return (bits_ & 0077) != 0; }
  // Whether the group may read and write.
  [[nodiscard]] constexpr bool let_group_in() const noexcept { return (bits_ & 0060) == 0060; }

 private:
  unsigned bits_ = 0600;
};

}  // namespace rondo::inline RONDO_ABI
