#include "usage.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace rondo::program {
namespace {

constexpr std::string_view kCommands =
    "send, recv, bridge, call, serve, transports, ls, info, rm and bench";

bool looks_like_option(const std::string& argument) {
  return argument.size() > 1 && argument[0] == '-' && argument != "--";
}

// One option as it was written, without its value.
struct Written {
  std::string name;                     // with its dashes
  const CLI::Option* option = nullptr;  // null: there is none of that name
  bool value_follows = false;           // as the next argument
};

// The options that `argument` consists of: a long one, or short ones in a row.
std::vector<Written> options_in(const CLI::App& command, const std::string& argument) {
  const auto takes_value = [](const CLI::Option* option) {
    return option != nullptr && option->get_expected_min() > 0;
  };
  if (argument[1] == '-') {
    const auto equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const CLI::Option* const option = command.get_option_no_throw(name);
    return {{name, option, takes_value(option) && equals == std::string::npos}};
  }
  std::vector<Written> written;
  for (std::size_t i = 1; i < argument.size(); ++i) {
    const std::string name = {'-', argument[i]};
    const CLI::Option* const option = command.get_option_no_throw(name);
    written.push_back({name, option, takes_value(option) && i + 1 == argument.size()});
    if (option == nullptr || takes_value(option)) break;  // the rest is its value
  }
  return written;
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

const CLI::App* command_named(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : commands_of(app)) {
    if (command->get_name() == name) return command;
  }
  return nullptr;
}

// Which command has an option of that name; empty if none.
std::string whose(const CLI::App& app, const std::string& name) {
  for (const CLI::App* command : commands_of(app)) {
    if (command->get_option_no_throw(name) != nullptr) return command->get_name();
  }
  return {};
}

std::string unknown_option(const CLI::App& app, const std::string& command,
                           const std::string& name) {
  const std::string other = whose(app, name);
  if (other.empty()) return fmt::format("'{}' is not an option of rondo {}", name, command);
  return fmt::format("'{}' is not an option of rondo {}, but of rondo {}", name, command, other);
}

// What is wrong behind the command's name; empty if that can't be told from here.
std::string wrong_argument(const CLI::App& app, const CLI::App& command,
                           std::vector<std::string>::const_iterator at,
                           std::vector<std::string>::const_iterator end) {
  const auto wanted = static_cast<std::size_t>(
      std::ranges::count_if(command.get_options(), &CLI::Option::get_positional));
  std::size_t given = 0;
  for (; at != end; ++at) {
    if (!looks_like_option(*at)) {
      if (*at == "--" || ++given <= wanted) continue;
      return fmt::format("'{}' is one argument too many; rondo {} takes {}", *at,
                         command.get_name(),
                         wanted == 0   ? "none"
                         : wanted == 1 ? "one URL"
                                       : "two URLs");
    }
    for (const Written& written : options_in(command, *at)) {
      if (written.option == nullptr) {
        return unknown_option(app, command.get_name(), written.name);
      }
      if (!written.value_follows) continue;
      if (at + 1 == end) {
        return fmt::format("{} needs a value, as in {} {}", written.name, written.name,
                           written.option->get_type_name());
      }
      ++at;
    }
  }
  return {};
}

}  // namespace

std::vector<std::string> understood(const CLI::App& app, std::vector<std::string> arguments) {
  if (arguments.empty() || arguments[0] != "help") return arguments;
  arguments.erase(arguments.begin());
  if (arguments.empty()) return {"--help"};
  if (arguments == std::vector<std::string>{"options"}) return {kHelpOptions};
  if (command_named(app, arguments[0]) != nullptr) return {arguments[0], "--help"};
  return arguments;  // no such command
}

std::string usage_error(const CLI::App& app, const CLI::ParseError& error,
                        const std::vector<std::string>& arguments) {
  if (arguments.empty()) return app.help();
  const std::string& first = arguments.front();
  const CLI::App* const command = command_named(app, first);
  if (command == nullptr) {
    std::string what = fmt::format("'{}' is not a command; they are {}", first, kCommands);
    if (looks_like_option(first)) {
      const std::string owner = whose(app, first.substr(0, first.find('=')));
      what =
          owner.empty()
              ? fmt::format("'{}' is not an option; a command comes first: {}", first, kCommands)
              : fmt::format("{} comes behind the command, as in rondo {} {}", first, owner, first);
    }
    return fmt::format("rondo: {}\nTry: rondo --help\n", what);
  }
  std::string what;
  // A value that can't be meant is explained already.
  if (dynamic_cast<const CLI::ValidationError*>(&error) == nullptr) {
    what = wrong_argument(app, *command, arguments.begin() + 1, arguments.end());
  }
  if (what.empty()) what = error.what();
  if (what.ends_with(" is required")) what += ", such as shm:NAME";
  return fmt::format("rondo {0}: {1}\nTry: rondo {0} --help\n", first, what);
}

}  // namespace rondo::program
