// What a URL may say, as text: from the tables that it is parsed by.
#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "rondo/transports/url.hpp"
#include "url/options.hpp"

namespace rondo::inline RONDO_ABI {
namespace {

using detail::KindRow;
using detail::kKinds;
using detail::kOptions;
using detail::kSchemes;
using detail::OptionRow;
using detail::SchemeRow;

constexpr std::size_t kWidth = 97;  // so that a comment of it has a hundred columns

// `text` in lines of at most `width`.
std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  detail::all_words(text, [&](std::string_view word) {
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width) {
      lines.emplace_back();
    }
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
    return true;
  });
  return lines;
}

struct Column {
  std::size_t width;
  std::string_view text;
};

// A row of a table, on as many lines as it takes; the last column takes what is left of the width.
std::string row_of(std::initializer_list<Column> columns) {
  std::vector<std::vector<std::string>> cells;
  std::size_t lines = 0;
  std::size_t left = kWidth - 2;
  for (const Column& column : columns) {
    cells.push_back(wrapped(column.text, column.width != 0 ? column.width - 1 : left));
    lines = std::max(lines, cells.back().size());
    left -= column.width;
  }
  std::string text;
  for (std::size_t i = 0; i < lines; ++i) {
    std::string line = "  ";
    std::size_t begins = 2;
    auto cell = cells.begin();
    for (const Column& column : columns) {
      if (i < cell->size()) {
        line.resize(std::max(line.size(), begins), ' ');
        line += (*cell)[i];
      }
      begins += column.width;
      ++cell;
    }
    text += line + '\n';
  }
  return text;
}

std::string addresses() {
  std::string text;
  for (const SchemeRow& row : kSchemes) {
    text += row_of({{24, std::string(row.name).append(":").append(row.target)}, {0, row.help}});
  }
  return text;
}

std::string kinds() {
  std::string text;
  for (const KindRow& row : kKinds) {
    text += row_of({{0, std::string("'").append(row.example).append("'")}});
    text += row_of({{24, {}}, {0, row.help}});
  }
  return text;
}

// Which schemes and which kinds of ring take the option, in as few words as they are told apart.
std::string for_what(const OptionRow& option) {
  const auto has = [&](const auto& row) { return detail::has_word(row.options, option.name); };
  std::string schemes;
  for (const SchemeRow& row : kSchemes) {
    if (has(row)) schemes.append(schemes.empty() ? "" : " ").append(row.name);
  }
  if (std::ranges::all_of(kSchemes, has)) schemes = "all";
  std::string kinds;
  for (const KindRow& row : kKinds) {
    if (has(row)) kinds.append(kinds.empty() ? "; kind=" : " ").append(row.name);
  }
  return schemes + kinds;
}

std::string brief_options() {
  std::string text;
  for (const OptionRow& row : kOptions) {
    text += row_of({{24, row.name}, {0, row.meaning.substr(0, row.meaning.find_first_of(":;"))}});
  }
  return text;
}

std::string full_options() {
  std::string text = row_of({{19, "option"}, {24, "for"}, {0, "meaning (value)"}});
  for (const OptionRow& row : kOptions) {
    std::string value = row.remedy != nullptr ? row.remedy({}) : std::string();
    if (value.empty()) value = row.value;
    const std::string meaning = std::string(row.meaning) + " (" + value + ")";
    text += row_of({{19, row.name}, {24, for_what(row)}, {0, meaning}});
  }
  return text;
}

}  // namespace

std::string url_help(UrlHelp detail) {
  const bool brief = detail == UrlHelp::kBrief;
  std::string text = "Addresses (URL):\n" + addresses();
  text += "Kinds of ring, and the options of each:\n" + kinds();
  text += "Options follow a question mark, as in 'shm:NAME?capacity=16MiB&wait=park', quoted ";
  text += "for a shell:\n";
  text += brief ? brief_options() : full_options();
  if (brief) return text;
  return text +
         "Sizes are bytes, or take a suffix: KiB, MiB, GiB (K, M and G mean the same). A '?', '&' "
         "or\n'%' in a target is written %3F, %26 or %25.\n";
}

}  // namespace rondo::inline RONDO_ABI
