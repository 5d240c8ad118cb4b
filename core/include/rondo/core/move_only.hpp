// A base of handles: there is one of each, so it moves and is not copied. And as a move is not
// trivial, every compiler passes a handle by its address: of trivial objects that are aligned to a
// line, gcc tells at each use that versions of it differ (-Wpsabi).
#pragma once

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

class MoveOnly {
 public:
  MoveOnly() = default;
  MoveOnly(MoveOnly&& /*other*/) noexcept {}
  MoveOnly& operator=(MoveOnly&& /*other*/) noexcept { return *this; }
};

}  // namespace rondo::inline RONDO_ABI::detail
