// What the program says on standard error. Every line starts with the command's name, so that the
// two ends of a pipeline can be told apart on one terminal.
#pragma once

#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace rondo::program {

// Sets the name that lines start with, and whether notes are kept back (--quiet).
void set_speaker(std::string_view command, bool quiet);

void say_line(std::string_view text);
[[nodiscard]] bool quiet() noexcept;

// Why the program fails; never kept back.
template <class... Args>
void say_error(fmt::format_string<Args...> format, Args&&... args) {
  say_line(fmt::format(format, std::forward<Args>(args)...));
}

// What a person may want to know while it works.
template <class... Args>
void say_note(fmt::format_string<Args...> format, Args&&... args) {
  if (!quiet()) say_line(fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace rondo::program
