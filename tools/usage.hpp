// What is wrong with a command line, and what would be right.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

namespace rondo::program {

// The arguments as the parser knows them: `help` is --help, and `help COMMAND` is COMMAND --help.
[[nodiscard]] std::vector<std::string> understood(const CLI::App& app,
                                                  std::vector<std::string> arguments);

// Says what CLI11 found wrong with `arguments` in the words of this program.
[[nodiscard]] std::string usage_error(const CLI::App& app, const CLI::ParseError& error,
                                      const std::vector<std::string>& arguments);

}  // namespace rondo::program
