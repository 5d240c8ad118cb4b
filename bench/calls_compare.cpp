// Question: what does a call cost beside the round trip through the two channels beneath it? A
// request of 64 bytes and a reply of 64 bytes over shm:, between two threads that spin: through a
// Caller and a Service, and as two bare messages, in turns, each sample through fresh channels.
// Nanoseconds for one there and back, the mean of a sample.
//
// Not measured: waits that sleep, many requests under way, other transports.
//
//   calls_compare [--json FILE] [--rounds N] [--seconds S] [--real-time]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

#include "rondo/call.hpp"
#include "support/channel_stream.hpp"
#include "support/cores.hpp"
#include "support/names.hpp"
#include "support/pair.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

constexpr std::size_t kBytes = 64;
constexpr std::uint64_t kTrips = 30'000;

bool send_number(Sender& sender, std::uint64_t number) {
  auto claim = sender.claim(kBytes);
  if (!claim) return false;
  std::fill_n(reinterpret_cast<std::uint64_t*>(claim->bytes().data()), kBytes / 8, number);
  std::move(*claim).commit();
  return true;
}

std::uint64_t number_in(std::span<const std::byte> bytes) {
  std::uint64_t number = 0;
  if (bytes.size() == kBytes) std::memcpy(&number, bytes.data() + kBytes - 8, 8);
  return number;
}

bool bare(Ends& there, Ends& back, Pair& pair, Samples& into) {
  bool sound = true;
  const auto outcome = pair.run(
      [&] {
        for (std::uint64_t i = 1; i <= kTrips; ++i) {
          sound = send_number(there.sender, i) && sound;
          const auto reply = back.receiver.next();
          sound = reply && number_in(reply->bytes()) == i && sound;
        }
      },
      [&] {
        for (std::uint64_t i = 1; i <= kTrips; ++i) {
          const auto request = there.receiver.next();
          if (!request || !send_number(back.sender, number_in(request->bytes()))) return;
        }
      });
  into.add(outcome.probes, outcome.seconds * 1e9 / kTrips, outcome.clean);
  return sound;
}

bool calls(Ends& there, Ends& back, Pair& pair, Samples& into) {
  Caller caller(std::move(there.sender), std::move(back.receiver));
  Service service(std::move(there.receiver), std::move(back.sender));
  bool sound = true;
  const auto outcome = pair.run(
      [&] {
        for (std::uint64_t i = 1; i <= kTrips; ++i) {
          auto claim = caller.claim(kBytes);
          if (!claim) {
            sound = false;
            return;
          }
          std::fill_n(reinterpret_cast<std::uint64_t*>(claim->bytes().data()), kBytes / 8, i);
          const auto call = caller.commit(std::move(*claim));
          const auto reply = caller.wait(*call);
          sound = reply && number_in(reply->bytes()) == i && sound;
        }
      },
      [&] {
        for (std::uint64_t i = 1; i <= kTrips; ++i) {
          const auto request = service.next();
          if (!request) return;
          auto claim = service.claim(request->id(), kBytes);
          if (!claim) return;
          std::fill_n(reinterpret_cast<std::uint64_t*>(claim->bytes().data()), kBytes / 8,
                      number_in(request->bytes()));
          static_cast<void>(service.commit(std::move(*claim)));
        }
      });
  into.add(outcome.probes, outcome.seconds * 1e9 / kTrips, outcome.clean);
  return sound;
}

int main(int argc, char** argv) {
  CLI::App app("A request and its reply, beside two bare messages");
  RunOptions options;
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);
  if (Cores::in_use().count() < 2) {
    fmt::print(stderr, "calls_compare: needs two cores\n");
    return 1;
  }
  const OwnName name("calls-compare");
  Results results("calls_compare");
  const auto add = [&](const char* engine, Role role) {
    return &results.add({"call", engine, role, {{"bytes", kBytes}}, "ns", false});
  };
  Samples* const floor = add("two bare messages", Role::kFloor);
  Samples* const ours = add("a call", Role::kOurs);
  {
    Pair pair(options.real_time);
    results.calibrate(pair);
    Rounds rounds("calls_compare", options.rounds, options.seconds, 2);
    while (rounds.next()) {
      for (Samples* const samples : {floor, ours}) {
        rounds.question();
        auto there = Ends::open("shm:" + name.get() + "-there?wait=pause");
        auto back = Ends::open("shm:" + name.get() + "-back?wait=pause");
        if (!there || !back) return 1;
        const bool sound = samples == floor ? bare(*there, *back, pair, *samples)
                                            : calls(*there, *back, pair, *samples);
        if (!sound) results.fail("calls_compare", "a reply was lost or another one's");
      }
    }
  }
  results.place();
  fmt::print("{}\n", describe_machine());
  results.print_placements();
  for (const Placement placement : kPlacements) {
    const auto bare_ns = floor->get(placement);
    const auto call_ns = ours->get(placement);
    if (!bare_ns || !call_ns) continue;
    fmt::print("\n{:<28}{:>8}{:>10}{:>9}\n", to_string(placement), "ns", "of bare", "samples");
    fmt::print("{:<28}{:>8.0f}{:>10.2f}{:>9}\n", "two bare messages", *bare_ns, 1.0,
               floor->count(placement));
    fmt::print("{:<28}{:>8.0f}{:>10.2f}{:>9}\n", "a call", *call_ns, *call_ns / *bare_ns,
               ours->count(placement));
  }
  results.write(options.json);
  return results.failed() ? 1 : 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
