// Question: what do the two handles make of a mechanism of the system's? Messages per second from
// one thread to another, in one direction, through Sender and Receiver, and through the same
// mechanism used by hand with as many messages to a system call: one by one, and 32 at once
// (Sender::Batch; by hand one write of a packed buffer, or sendmmsg and recvmmsg). In turns, each
// sample through fresh channels.
//
// "Of bare" is the rate in parts of that by hand with the same batching, "of one by one" in parts
// of that by hand without any.
//
// Both sides block in the kernel when there is nothing, or no room. Not measured: round trips,
// which the wake-up decides (rondo_driver); the way to another machine; opening. UDP loses what
// finds no room, so there both senders wait, by a counter in memory, until no more is under way
// than a receiver's buffer holds.
//
//   adapters_compare [--json FILE] [--rounds N] [--seconds S] [--real-time] [--only NAME...]
#include <fmt/core.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "rivals/bare_mechanisms.hpp"
#ifdef RONDO_BENCH_TLS
#include "rivals/bare_tls.hpp"
#endif
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/cores.hpp"
#include "support/names.hpp"
#include "support/pair.hpp"
#include "support/payload.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

struct Handles {
  Sender sender;
  Receiver receiver;
};

struct Mechanism {
  std::string name;
  std::function<std::string()> url;  // of a fresh channel
  std::function<std::unique_ptr<BareWay>(std::size_t bytes)> bare;
  std::size_t largest;                   // message
  std::uint64_t under_way = UINT64_MAX;  // messages, at most
};

enum class Way { kOneByOne, kBatches };

// A port that nobody listens at just now.
int free_port(int type) {
  sockaddr_in address{};
  const UniqueFd taken = loopback_socket(type, address);
  return ntohs(address.sin_port);
}

template <class Mover>
std::unique_ptr<BareWay> stream_of(Mover mover, std::size_t bytes) {
  return std::make_unique<BareStream<Mover>>(std::move(mover), bytes);
}

std::unique_ptr<BareWay> stream_over(TwoEnds ends, std::size_t bytes) {
  return ends ? stream_of(PlainMover{std::move(ends)}, bytes) : nullptr;
}
std::unique_ptr<BareWay> packets_over(TwoEnds ends, std::size_t bytes) {
  return ends ? std::make_unique<BarePackets>(std::move(ends), bytes) : nullptr;
}
template <class Queue>
std::unique_ptr<BareWay> queue_of(std::unique_ptr<Queue> queue, std::size_t bytes) {
  if (queue == nullptr) return nullptr;
  return std::make_unique<BareQueue<Queue>>(std::move(queue), bytes);
}

constexpr long kDeep = 10;  // messages in a POSIX queue: what an ordinary user may have

std::vector<Mechanism> mechanisms(const std::string& name) {
  const auto counted = [number = std::make_shared<int>(0)](std::string before, std::string after) {
    return [=] { return before + std::to_string(++*number) + after; };
  };
  const auto at_port = [](std::string before, int type, std::string after = "") {
    return [=] { return before + std::to_string(free_port(type)) + after; };
  };
  std::vector<Mechanism> all = {
      {"pipe", [] { return std::string("pipe:"); },
       [](std::size_t bytes) { return stream_over(bare_pipe(), bytes); }, 65536},
      {"unix", counted("unix:/tmp/" + name + "-s", ""),
       [](std::size_t bytes) { return stream_over(bare_unix(SOCK_STREAM), bytes); }, 65536},
      {"tcp", at_port("tcp://127.0.0.1:", SOCK_STREAM),
       [](std::size_t bytes) { return stream_over(bare_tcp(), bytes); }, 65536},
      {"unix-seqpacket", counted("unix-seqpacket:/tmp/" + name + "-p", ""),
       [](std::size_t bytes) { return packets_over(bare_unix(SOCK_SEQPACKET), bytes); }, 65536},
      {"unix-dgram", counted("unix-dgram:/tmp/" + name + "-d", ""),
       [](std::size_t bytes) { return packets_over(bare_unix(SOCK_DGRAM), bytes); }, 65536},
      {"udp", at_port("udp://127.0.0.1:", SOCK_DGRAM),
       [](std::size_t bytes) { return packets_over(bare_udp(), bytes); }, 1024, 64},
      {"posix queue", counted("mq:/" + name + "-", "?slots=10&slot_size=8192"),
       [name](std::size_t bytes) {
         return queue_of(PosixQueue::make("/" + name + "-bare", bytes, kDeep), bytes);
       },
       4096},
      {"system v queue",
       [number = std::make_shared<unsigned>(static_cast<unsigned>(getpid()) << 8)] {
         return fmt::format("sysv:{}", ++*number & 0x7fffffff);
       },
       [](std::size_t bytes) { return queue_of(SystemVQueue::make(), bytes); }, 4096},
  };
#ifdef RONDO_BENCH_TLS
  const std::string key = "/tmp/" + name + "-psk";
  umask(077);
  std::ofstream(key) << std::string(64, '7') << '\n';
  all.push_back({"tls", at_port("tls://127.0.0.1:", SOCK_STREAM, "?psk=" + key),
                 [](std::size_t bytes) -> std::unique_ptr<BareWay> {
                   auto mover = TlsMover::make(bare_tcp());
                   return mover != nullptr ? stream_of(TlsMoverRef{std::move(mover)}, bytes)
                                           : nullptr;
                 },
                 65536});
#endif
  return all;
}

std::optional<Handles> open_handles(const std::string& url) {
  if (url == "pipe:") {
    auto pair = open_pair(url);
    if (!pair) return std::nullopt;
    return Handles{std::move(pair->first), std::move(pair->second)};
  }
  const OpenOptions options{.wait = Deadline::after(std::chrono::seconds(5))};
  std::optional<Receiver> receiver;
  std::thread other([&] {
    if (auto opened = Receiver::open(url, options)) receiver = *std::move(opened);
  });
  auto sender = Sender::open(url, options);
  other.join();
  if (!sender) fmt::print(stderr, "\n{}\n", sender.error().message);
  if (!sender || !receiver) return std::nullopt;
  return Handles{*std::move(sender), *std::move(receiver)};
}

// What may be under way, where more would be lost.
class Window {
 public:
  explicit Window(std::uint64_t messages) : messages_(messages) {}
  bool make_room_for(std::uint64_t end) {
    if (messages_ == UINT64_MAX) return true;
    while (end - received_.load() > messages_) {
      if (lost_.load()) return false;
      cpu_relax();
    }
    return true;
  }
  void received(std::uint64_t messages) {
    if (messages_ != UINT64_MAX) received_.store(messages);
  }
  void lost() { lost_.store(true); }

 private:
  std::uint64_t messages_;
  std::atomic<std::uint64_t> received_{0};
  std::atomic<bool> lost_{false};
};

bool send_ours(Sender& sender, Way way, std::size_t bytes, std::uint64_t i) {
  if (way == Way::kOneByOne) {
    auto claim = sender.claim(bytes);
    if (!claim) return false;
    write_message(claim->bytes().data(), bytes, i);
    std::move(*claim).commit();
    return true;
  }
  Sender::Batch batch(sender);
  for (std::uint64_t k = i; k < i + kBatch; ++k) {
    std::byte* const room = batch.try_add(bytes);
    if (room == nullptr) return false;
    write_message(room, bytes, k);
  }
  return std::move(batch).commit() == Status::kOk;
}

// Messages per second; whether they came as they were sent.
bool ours(Pair& pair, Handles& handles, Way way, std::size_t bytes, std::uint64_t messages,
          Window& window, Samples& into) {
  const std::uint64_t step = way == Way::kBatches ? kBatch : 1;
  bool sent = true, sound = false;
  const auto outcome = pair.run(
      [&] {
        for (std::uint64_t i = 0; i < messages && sent; i += step) {
          sent = window.make_room_for(i + step) && send_ours(handles.sender, way, bytes, i);
        }
        sent = sent && handles.sender.flush() == Status::kOk;
      },
      [&] {
        Checker checker;
        const Deadline deadline = Deadline::after(std::chrono::seconds(20));
        for (std::uint64_t i = 0; i < messages; ++i) {
          const auto message = handles.receiver.next(deadline);
          if (!message || message->size() != bytes) return window.lost();
          checker.read_message(message->bytes().data(), bytes, i);
          window.received(i + 1);
        }
        sound = checker.complete(messages, bytes);
      });
  into.add(outcome.probes, static_cast<double>(messages) / outcome.seconds, true);
  return sent && sound;
}

bool bare(Pair& pair, BareWay& mechanism, Way way, std::size_t bytes, std::uint64_t messages,
          Window& window, Samples& into) {
  const bool batches = way == Way::kBatches;
  const std::uint64_t step = batches ? kBatch : 1;
  bool sent = true, sound = false;
  const auto outcome = pair.run(
      [&] {
        for (std::uint64_t i = 0; i < messages && sent; i += step) {
          sent = window.make_room_for(i + step) &&
                 (batches ? mechanism.send_batch(bytes, i) : mechanism.send(bytes, i));
        }
      },
      [&] {
        Checker checker;
        for (std::uint64_t i = 0; i < messages; i += step) {
          const bool came = batches ? mechanism.receive_batch(checker, bytes, i)
                                    : mechanism.receive(checker, bytes, i);
          if (!came) return window.lost();
          window.received(i + step);
        }
        sound = checker.complete(messages, bytes);
      });
  into.add(outcome.probes, static_cast<double>(messages) / outcome.seconds, true);
  return sent && sound;
}

struct Row {
  const Mechanism* mechanism;
  std::size_t bytes;
  Way way;
  std::uint64_t messages;
  Samples* bare;
  Samples* ours;
  bool works = true;
};

// So many that a sample takes some milliseconds.
std::uint64_t messages_of(std::size_t bytes, Way way) {
  if (bytes >= 65536) return 512;
  const std::uint64_t few = bytes > 1024 ? 4096 : 8192;
  return way == Way::kBatches ? 4 * few : few;
}

std::vector<Row> rows_of(Results& results, const std::vector<Mechanism>& mechanisms,
                         const std::vector<std::string>& only) {
  std::vector<Row> rows;
  for (const Mechanism& each : mechanisms) {
    if (!only.empty() && std::find(only.begin(), only.end(), each.name) == only.end()) continue;
    std::vector<std::size_t> sizes{64, 1024};
    if (each.largest > sizes.back()) sizes.push_back(each.largest);
    for (const std::size_t bytes : sizes) {
      for (const Way way : {Way::kOneByOne, Way::kBatches}) {
        if (way == Way::kBatches && bytes > 1024) continue;
        const auto add = [&](const char* who, Role role) {
          return &results.add({"adapter",
                               each.name + who,
                               role,
                               {{"bytes", bytes}, {"at_once", way == Way::kBatches ? kBatch : 1}},
                               "messages/s",
                               true});
        };
        rows.push_back({&each, bytes, way, messages_of(bytes, way), add(", by hand", Role::kFloor),
                        add("", Role::kOurs)});
      }
    }
  }
  return rows;
}

void take(Pair& pair, Row& row, Results& results) {
  Window ours_window(row.mechanism->under_way), bare_window(row.mechanism->under_way);
  auto handles = open_handles(row.mechanism->url());
  auto by_hand = row.mechanism->bare(row.bytes);
  if (!handles || by_hand == nullptr) {
    fmt::print("left out: {}: can't be had here\n", row.mechanism->name);
    row.works = false;
    return;
  }
  row.works = bare(pair, *by_hand, row.way, row.bytes, row.messages, bare_window, *row.bare) &&
              ours(pair, *handles, row.way, row.bytes, row.messages, ours_window, *row.ours);
  if (!row.works) {
    results.fail(row.mechanism->name, fmt::format("a message of {} bytes was lost", row.bytes));
  }
}

void print(const std::vector<Row>& rows) {
  for (const Placement placement : kPlacements) {
    bool headed = false;
    double singly = 0;
    for (const Row& row : rows) {
      const auto bare = row.bare->get(placement), ours = row.ours->get(placement);
      if (!bare || !ours) continue;
      if (!std::exchange(headed, true)) {
        fmt::print("\n{:<28}{:>8}{:>9}{:>12}{:>12}{:>9}{:>15}{:>9}\n", to_string(placement),
                   "bytes", "at once", "by hand/s", "ours/s", "of bare", "of one by one",
                   "samples");
      }
      if (row.way == Way::kOneByOne) singly = *bare;
      fmt::print("{:<28}{:>8}{:>9}{:>12.0f}{:>12.0f}{:>9.2f}{:>15.2f}{:>9}\n", row.mechanism->name,
                 row.bytes, row.way == Way::kBatches ? kBatch : 1, *bare, *ours, *ours / *bare,
                 *ours / singly, row.ours->count(placement));
    }
  }
}

int main(int argc, char** argv) {
  CLI::App app("The system's mechanisms through the handles, and by hand");
  RunOptions options;
  std::vector<std::string> only;
  options.add_to(app);
  app.add_option("--only", only, "these mechanisms, by the names of the table");
  CLI11_PARSE(app, argc, argv);
  if (Cores::in_use().count() < 2) {
    fmt::print(stderr, "adapters_compare: needs two cores\n");
    return 1;
  }
  const OwnName name("adapters-compare", {"/dev/mqueue"});
  Results results("adapters_compare");
  const std::vector<Mechanism> all = mechanisms(name.get());
  std::vector<Row> rows = rows_of(results, all, only);
  {
    Pair pair(options.real_time);
    results.calibrate(pair);
    Rounds rounds("adapters_compare", options.rounds, options.seconds, rows.size());
    while (rounds.next()) {
      for (Row& row : rows) {
        rounds.question();
        if (row.works) take(pair, row, results);
      }
    }
  }
  results.place();
  fmt::print("{}\n", describe_machine());
  results.print_placements();
  print(rows);
  results.write(options.json);
  return results.failed() ? 1 : 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
