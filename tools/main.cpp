// rondo: messages between processes, from the command line.
#include <fcntl.h>

#include <charconv>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include <CLI/CLI.hpp>

#include "commands.hpp"
#include "exit_code.hpp"
#include "help.hpp"
#include "rondo/transports/url.hpp"
#include "say.hpp"
#include "stop_signal.hpp"
#include "usage.hpp"

namespace rondo::program {
namespace {

// Values are checked here and not by CLI11's validators, so that errors say what would be right.
[[noreturn]] void refuse(const std::string& option, const std::string& text, const char* remedy) {
  throw CLI::ValidationError(option, fmt::format("'{}' is not possible; {}", text, remedy));
}

Format parse_format(const std::string& text) {
  if (text == "lines") return Format::kLines;
  if (text == "records") return Format::kRecords;
  if (text == "blocks") return Format::kBlocks;
  refuse("--format", text, "it is one of lines, records, blocks");
}

Format parse_call_format(const std::string& text) {
  const Format format = parse_format(text);
  if (format == Format::kRecords) refuse("--format", text, "it is one of lines, blocks");
  return format;
}

std::uint64_t parse_number(const std::string& option, const std::string& text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number == 0) {
    refuse(option, text, "give a whole number from 1 up");
  }
  return number;
}
std::uint64_t parse_count(const std::string& text) { return parse_number("--count", text); }
std::uint64_t parse_senders(const std::string& text) { return parse_number("--senders", text); }

std::uint32_t parse_receivers(const std::string& text) {
  std::uint32_t receivers = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), receivers);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (!whole || receivers < 1 || receivers > kMaxReaders) {
    refuse("--receivers", text, "give a whole number from 1 to 64");
  }
  return receivers;
}

double parse_seconds_of(const std::string& option, const std::string& text) {
  double seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (error != std::errc() || end != text.data() + text.size() || !(seconds >= 0)) {
    refuse(option, text, "give seconds, such as 5 or 0.5");
  }
  return seconds;
}
double parse_seconds(const std::string& text) { return parse_seconds_of("--wait", text); }
double parse_idle_seconds(const std::string& text) { return parse_seconds_of("--idle", text); }
double parse_bench_seconds(const std::string& text) {
  const double seconds = parse_seconds_of("--seconds", text);
  if (seconds < 1 || seconds > 3600) refuse("--seconds", text, "give seconds, from 1 to 3600");
  return seconds;
}

std::uint64_t parse_block_size(const std::string& text) {
  const auto size = parse_size(text);
  if (!size || *size == 0) refuse("--block-size", text, "give a size, such as 4096, 64KiB or 1MiB");
  return *size;
}

// An option whose text is read by `parse` into `target`.
template <class Target, class Parse>
CLI::Option* add_parsed(CLI::App& command, const std::string& names, Target& target, Parse parse,
                        const std::string& value_name, const std::string& description) {
  return command
      .add_option_function<std::string>(
          names, [&target, parse](const std::string& text) { target = parse(text); }, description)
      ->type_name(value_name);
}

void add_url(CLI::App& command, std::string& url) {
  command.add_option("URL", url, "Where the two sides meet, such as shm:NAME; see rondo --help")
      ->required()
      ->type_name("");
}

void add_transfer_options(CLI::App& command, TransferOptions& options) {
  add_url(command, options.url);
  add_parsed(command, "-f,--format", options.format, parse_format, "FORMAT",
             "What a message is: lines (default), records or blocks; see below");
  add_parsed(command, "-n,--count", options.count, parse_count, "N", "Stop after N messages");
  add_parsed(command, "-w,--wait", options.wait_seconds, parse_seconds, "SECONDS",
             "Give up (exit code 4) if the other side has not come after SECONDS;\n"
             "without it, wait as long as it takes");
  command.add_flag("-p,--progress", options.progress, "Show how much has moved, and how fast");
  command.add_flag("-q,--quiet", options.quiet, "Say nothing but why it failed");
}

void add_send(CLI::App& app, TransferOptions& options) {
  CLI::App& command = *app.add_subcommand("send", "Send standard input, message by message");
  add_transfer_options(command, options);
  add_parsed(command, "-b,--block-size", options.block_bytes, parse_block_size, "SIZE",
             "With --format blocks: exactly so many bytes in each message but the last,\n"
             "such as 64KiB; without it, whatever each read brings");
  command.add_flag("-k,--keep", options.keep,
                   "Do not wait for a receiver; leave the channel behind, with what is in it\n"
                   "(`rondo rm` removes it)");
  add_parsed(command, "-r,--receivers", options.receivers, parse_receivers, "N",
             "Start when N receivers are there, each of which gets every message; up to\n"
             "64 may come (shm: and file: only)");
  command.add_flag("-a,--await-successor", options.await_successor,
                   "When the receiver dies or leaves, wait for another one");
  command.footer(kSendFooter);
}

void add_recv(CLI::App& app, TransferOptions& options) {
  CLI::App& command =
      *app.add_subcommand("recv", "Receive messages, and write them to standard output");
  add_transfer_options(command, options);
  command
      .add_option("--policy", options.policy,
                  "One of several receivers: reliable (default: the sender waits for it),\n"
                  "lossy (it is told what it lost) or latest (the newest message alone)")
      ->type_name("POLICY");
  command
      .add_option("--from", options.from,
                  "One of several receivers: oldest (default), newest, or a message's number")
      ->type_name("WHERE");
  command
      .add_option("--name", options.name,
                  "One of several receivers: go on where the one of this name stopped")
      ->type_name("NAME");
  command.add_flag("-k,--keep", options.keep, "Leave the channel behind; `rondo rm` removes it");
  command.add_flag("-a,--await-successor", options.await_successor,
                   "When the sender dies, wait for another one; without it, exit code 5");
  add_parsed(command, "-i,--idle", options.idle_seconds, parse_idle_seconds, "SECONDS",
             "End, as if the stream had, when nothing has come for SECONDS");
  add_parsed(command, "-s,--senders", options.senders, parse_senders, "N",
             "With kind=mpmc: end when N senders have come and gone, and all they sent\n"
             "has been received; without it, as soon as no sender is left");
  command.footer(kRecvFooter);
}

void add_bridge(CLI::App& app, BridgeOptions& options) {
  CLI::App& command = *app.add_subcommand("bridge", "Pass on what comes at one address to another");
  command.add_option("FROM", options.from.url, "Where messages come from, such as unix:/run/in")
      ->required()
      ->type_name("");
  command.add_option("TO", options.to.url, "Where they go, such as shm:NAME")
      ->required()
      ->type_name("");
  add_parsed(command, "-n,--count", options.count, parse_count, "N", "Stop after N messages");
  command
      .add_option_function<std::string>(
          "-w,--wait",
          [&options](const std::string& text) {
            options.from.wait_seconds = options.to.wait_seconds = parse_seconds(text);
          },
          "Give up (exit code 4) if another side has not come after SECONDS;\n"
          "without it, wait as long as it takes")
      ->type_name("SECONDS");
  command.add_flag("-d,--duplex", options.duplex,
                   "In both directions, between two connections (unix:, tcp:, tls:, fd:IN,OUT)");
  command.add_flag("-r,--restart", options.restart,
                   "When another side is lost, wait for a new one and go on");
  command.add_flag("-p,--progress", options.progress, "Show how much has moved, and how fast");
  command.add_flag("-q,--quiet", options.to.quiet, "Say nothing but why it failed");
  command.footer(kBridgeFooter);
}

void add_calls(CLI::App& app, TransferOptions& transfer, ServeOptions& serve) {
  CLI::App& call = *app.add_subcommand("call", "Ask a service, once for each line of the input");
  add_url(call, transfer.url);
  add_parsed(call, "-f,--format", transfer.format, parse_call_format, "FORMAT",
             "What a request is: a line (lines, default), or all of the input (blocks)");
  add_parsed(call, "-n,--count", transfer.count, parse_count, "N", "Stop after N requests");
  add_parsed(call, "-w,--wait", transfer.wait_seconds, parse_seconds, "SECONDS",
             "Give up (exit code 4) if the service has not come, or not answered, after\n"
             "SECONDS; without it, wait as long as it takes");
  call.footer(kCallFooter);

  CLI::App& command = *app.add_subcommand("serve", "Answer requests with what a command says");
  add_url(command, serve.transfer.url);
  command.add_option("COMMAND", serve.command, "Run by the shell for each request, its input")
      ->required()
      ->type_name("");
  command.add_flag("-1,--once", serve.once, "End with the first caller");
  command.add_flag("-q,--quiet", serve.transfer.quiet, "Say nothing but why it failed");
  command.footer(kServeFooter);
}

void add_inspection(CLI::App& app, InspectOptions& options) {
  CLI::App& ls =
      *app.add_subcommand("ls", "List the channels in shared memory, and who is attached");
  ls.add_flag("--json", options.json, "Print JSON");

  CLI::App& transports = *app.add_subcommand(
      "transports", "Say what each way to move bytes can do, and what it can't");
  transports.add_flag("--json", options.json, "Print JSON");
  transports.footer(kTransportsFooter);

  CLI::App& info =
      *app.add_subcommand("info", "Show one channel: geometry, participants, contents");
  add_url(info, options.url);
  info.add_flag("--json", options.json, "Print JSON");

  CLI::App& rm = *app.add_subcommand("rm", "Remove a channel that was left behind");
  add_url(rm, options.url);
  rm.add_flag("--force", options.force, "Even while a live process is attached");
}

void add_bench(CLI::App& app, BenchOptions& options) {
  CLI::App& command =
      *app.add_subcommand("bench", "Measure this machine: Rondo's channels beside the kernel's");
  add_parsed(command, "-s,--seconds", options.seconds, parse_bench_seconds, "SECONDS",
             "Measure for about so long (default: 20)");
  command.add_flag("--json", options.json, "Print JSON");
  command.footer(kBenchFooter);
}

// CLI11's layout, with the words this program uses.
class HelpFormatter : public CLI::Formatter {
 public:
  HelpFormatter() {
    column_width(26);
    label("Positionals", "Address");
    label("REQUIRED", "");
  }
  std::string make_usage(const CLI::App* app, std::string /*name*/) const override {
    if (app->get_parent() == nullptr) return "Usage: rondo COMMAND [OPTIONS]\n";
    std::string addresses;
    for (const CLI::Option* option : app->get_options()) {
      if (option->get_positional()) addresses += " " + option->get_name();
    }
    return fmt::format("Usage: rondo {} [OPTIONS]{}\n", app->get_name(), addresses);
  }
};

// The library's version, which is the one that moves messages, and the headers' if that is another.
std::string version_line() {
  const auto text = [](const Version& of) {
    return fmt::format("{}.{}.{}", of.major, of.minor, of.patch);
  };
  if (version() == kVersion) return "rondo " + text(kVersion);
  return fmt::format("rondo {}, compiled with the headers of {}", text(version()), text(kVersion));
}

int run(int argc, const char* const* argv) {
  CLI::App app(kSummary, "rondo");
  app.formatter(std::make_shared<HelpFormatter>());
  app.set_help_flag("-h,--help", "Print this help and exit");
  app.set_version_flag("-V,--version", version_line(), "Print the version and exit");
  app.require_subcommand(1);

  TransferOptions transfer;
  InspectOptions inspect;
  BenchOptions bench;
  add_send(app, transfer);
  add_recv(app, transfer);
  BridgeOptions bridge;
  add_bridge(app, bridge);
  ServeOptions serve;
  add_calls(app, transfer, serve);
  add_inspection(app, inspect);
  add_bench(app, bench);
  for (CLI::App* command : app.get_subcommands({})) command->group("Commands");
  // After the commands, which would inherit it.
  app.footer(url_help(UrlHelp::kBrief) + kMainFooter);

  const auto arguments = understood(app, {argv + 1, argv + argc});
  if (arguments == std::vector<std::string>{kHelpOptions}) {
    fmt::print("{}", url_help(UrlHelp::kFull));
    return kSuccess;
  }
  try {
    app.parse(std::vector(arguments.rbegin(), arguments.rend()));  // it takes them from the back
  } catch (const CLI::Success& asked_for) {                        // --help, --version
    return app.exit(asked_for);
  } catch (const CLI::ParseError& error) {
    fmt::print(stderr, "{}", usage_error(app, error, arguments));
    return kUsage;
  }

  const std::string command = app.get_subcommands().front()->get_name();
  set_speaker("rondo " + command, transfer.quiet || bridge.to.quiet || serve.transfer.quiet);
  if (command == "send") return run_send(transfer);
  if (command == "recv") return run_recv(transfer);
  bridge.from.await_successor = bridge.to.await_successor = bridge.restart;
  if (command == "call") return run_call(transfer);
  if (command == "serve") return run_serve(serve);
  if (command == "bridge") return bridge.duplex ? run_duplex(bridge) : run_bridge(bridge);
  if (command == "transports") return run_transports(inspect);
  if (command == "ls") return run_ls(inspect);
  if (command == "info") return run_info(inspect);
  if (command == "bench") return run_bench(bench);
  return run_rm(inspect);
}

// A standard stream that was closed stays of no use, but its number is taken: what is written to it
// must not go into a file that was opened since. (Files opened with O_PATH can't be read or
// written: EBADF, as before.)
void take_closed_streams() {
  for (const int stream : {0, 1, 2}) {
    if (::fcntl(stream, F_GETFD) == -1) static_cast<void>(::open("/", O_PATH | O_CLOEXEC));
  }
}

}  // namespace
}  // namespace rondo::program

int main(int argc, char** argv) {
  rondo::program::take_closed_streams();
  try {
    return rondo::program::run(argc, argv);
  } catch (const std::exception& error) {  // out of memory, in the main
    rondo::program::say_error("{}", error.what());
    return rondo::program::kInOut;
  }
}
