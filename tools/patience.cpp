#include "patience.hpp"

#include "exit_code.hpp"

namespace rondo::program {
namespace {

std::string without_options(const std::string& url) { return url.substr(0, url.find('?')); }

}  // namespace

Patience::Patience(const TransferOptions& options, std::string_view awaited)
    : options_(options),
      awaited_(awaited),
      limit_(options.wait_seconds
                 ? Deadline::after(std::chrono::duration<double>(*options.wait_seconds))
                 : Deadline::never()) {}

void Patience::say_waiting() const {
  say_note("waiting for {} at {} (Ctrl-C to give up)", awaited_, without_options(options_.url));
}

std::string Patience::complaint() const {
  return fmt::format("{} did not come to {} within {:g} s", awaited_, without_options(options_.url),
                     options_.wait_seconds.value_or(0));
}

int report_open_error(const Error& error, const Patience& patience) {
  if (stop_signal::requested()) stop_signal::die_of(stop_signal::number());
  if (error.code == ErrorCode::kTimedOut) {
    say_error("{}", patience.complaint());
  } else {
    say_error("{}", error.message);
  }
  return exit_code_of(error.code);
}

OpenOptions open_options(const TransferOptions& options) {
  OpenOptions wishes;
  wishes.linger = options.linger;
  wishes.name = "rondo";
  wishes.stop = &stop_signal::flag();
  return wishes;
}

std::string url_with_options(const TransferOptions& options) {
  if (!options.keep) return options.url;
  return options.url + (options.url.find('?') == std::string::npos ? "?" : "&") + "keep=1";
}

}  // namespace rondo::program
