// What is wrong with a command line, and what would be right.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

namespace rondo::program {

// What `help options` is: no command, but a page.
inline constexpr const char* kHelpOptions = "--help-options";

// The arguments as the parser knows them: `help` is --help, `help COMMAND` is COMMAND --help, and
// `help options` is kHelpOptions.
[[nodiscard]] std::vector<std::string> understood(const CLI::App& app,
                                                  std::vector<std::string> arguments);

// Says what CLI11 found wrong with `arguments` in the words of this program.
[[nodiscard]] std::string usage_error(const CLI::App& app, const CLI::ParseError& error,
                                      const std::vector<std::string>& arguments);

}  // namespace rondo::program
