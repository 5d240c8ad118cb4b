// The smaller and the larger of two. As std::min and std::max of one type, without the twenty
// thousand lines of <algorithm> that every program would compile for them.
#pragma once

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

template <class T>
[[nodiscard]] constexpr T min_of(T one, T other) noexcept {
  return other < one ? other : one;
}

template <class T>
[[nodiscard]] constexpr T max_of(T one, T other) noexcept {
  return one < other ? other : one;
}

}  // namespace rondo::inline RONDO_ABI
