// Lists of names. Rows of the tables hold them as words with spaces between; messages say them as
// people do.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Calls `visit` for each word, in order, until one returns false. Whether none did.
template <class Visit>
constexpr bool all_words(std::string_view words, Visit&& visit) {
  while (!words.empty()) {
    const std::size_t space = std::min(words.find(' '), words.size());
    if (!visit(words.substr(0, space))) return false;
    words.remove_prefix(std::min(space + 1, words.size()));
  }
  return true;
}

[[nodiscard]] constexpr bool has_word(std::string_view words, std::string_view word) {
  return !all_words(words, [&](std::string_view other) { return other != word; });
}

// "a, b and c", where `last` is "and".
[[nodiscard]] inline std::string listed(std::span<const std::string> names, std::string_view last) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0 && i + 1 < names.size()) text += ", ";
    if (i > 0 && i + 1 == names.size()) text.append(" ").append(last).append(" ");
    text += names[i];
  }
  return text;
}

// The names of the rows that `wanted` picks, each with `suffix` behind it.
template <class Rows, class Wanted>
[[nodiscard]] std::string names_of(const Rows& rows, Wanted&& wanted, std::string_view suffix,
                                   std::string_view last) {
  std::vector<std::string> names;
  for (const auto& row : rows) {
    if (wanted(row)) names.push_back(std::string(row.name).append(suffix));
  }
  return listed(names, last);
}

}  // namespace rondo::inline RONDO_ABI::detail
