#include "patience.hpp"

#include "exit_code.hpp"

namespace rondo::program {

Patience::Patience(const TransferOptions& options, std::string_view awaited)
    : options_(options),
      awaited_(awaited),
      limit_(options.wait_seconds
                 ? Deadline::after(std::chrono::duration<double>(*options.wait_seconds))
                 : Deadline::never()) {}

void Patience::say_waiting() const {
  say_note("waiting for {} at {} (Ctrl-C to give up)", awaited_, channel_name(options_));
}

std::string Patience::complaint() const {
  return fmt::format("{} did not come to {} within {:g} s", awaited_, channel_name(options_),
                     options_.wait_seconds.value_or(0));
}

void say_memory_notes(const SegmentReport& memory) {
  for (const std::string& note : memory.notes) say_note("the channel's memory: {}", note);
}

int report_open_error(const Error& error, const Patience& patience) {
  if (stop_signal::requested()) return kSuccess;
  if (error.code == ErrorCode::kTimedOut) {
    say_error("{}", patience.complaint());
  } else {
    say_error("{}", error.message);
  }
  return exit_code_of(error.code);
}

OpenOptions open_options(const TransferOptions& options) {
  OpenOptions wishes;
  wishes.await_successor = options.await_successor;
  wishes.acknowledge = Acknowledge::kExplicitly;
  wishes.senders = options.senders.value_or(0);
  wishes.name = options.name.empty() ? "rondo" : options.name;
  wishes.stop = &stop_signal::flag();
  return wishes;
}

std::string channel_name(const TransferOptions& options) {
  return options.url.substr(0, options.url.find('?'));
}

std::string url_with_options(const TransferOptions& options) {
  std::string url = options.url;
  const auto add = [&url](const std::string& option) {
    url += (url.find('?') == std::string::npos ? "?" : "&") + option;
  };
  if (options.keep) add("keep=1");
  if (!options.policy.empty()) add("policy=" + options.policy);
  if (!options.from.empty()) add("from=" + options.from);
  if (!options.name.empty()) add("name=" + options.name);
  // Room for receivers that come later, too.
  const bool several = options.receivers.value_or(1) > 1;
  if (several && url.find("readers=") == std::string::npos) add("readers=64");
  return url;
}

}  // namespace rondo::program
