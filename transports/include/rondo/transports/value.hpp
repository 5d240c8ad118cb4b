// Objects as messages: their bytes, as they lie in memory.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// What may be sent as it lies in memory: trivially copyable, and not something that only shows
// where the bytes are (a pointer, a span, a view), which would mean nothing elsewhere. That a T has
// no pointers inside, and no bytes between its members that are better kept, its user knows.
template <class T>
concept MessageValue =
    std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> && !std::is_member_pointer_v<T> &&
    !std::is_null_pointer_v<T> && !std::is_array_v<T> && !std::ranges::enable_borrowed_range<T> &&
    !std::convertible_to<const T&, std::span<const std::byte>> &&
    !std::convertible_to<const T&, std::string_view>;

// Messages lie at multiples of 8.
inline constexpr std::size_t kMessageAlignment = 8;

}  // namespace rondo::inline RONDO_ABI
