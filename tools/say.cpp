#include "say.hpp"

#include <unistd.h>

#include <string>

#include "progress.hpp"

namespace rondo::program {
namespace {

std::string speaker = "rondo";
bool keep_quiet = false;

}  // namespace

void set_speaker(std::string_view command, bool quiet_please) {
  speaker = command;
  keep_quiet = quiet_please;
}

bool quiet() noexcept { return keep_quiet; }

void say_line(std::string_view text) {
  // One write, so that lines of two programs on one terminal do not mix.
  const std::string line = fmt::format("{}{}: {}\n", Progress::clear_line(), speaker, text);
  // Nothing can be done about a standard error that can't be written to.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace rondo::program
