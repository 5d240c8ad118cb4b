// Question: what does each feature cost a stream of messages of 64 bytes? Messages per second
// through Sender and Receiver from one thread to another, over shm: without any option, and with
// one option or way of use more, in turns, each sample through a fresh channel.
//
// The ring has 1 MiB, or 16384 slots. "To floor" in the report is the rate with the feature in
// parts of that without.
//
// Not measured: what a feature is for (a receiver that is late, a peer that dies, a wake-up); round
// trips; large messages, where the copying is all. Not asked: kind=frames, which loses messages
// (handles_compare, frames_compare); several receivers that all read (readers_compare).
//
//   features_compare [--json FILE] [--rounds N] [--seconds S] [--real-time]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "support/channel_stream.hpp"
#include "support/cores.hpp"
#include "support/names.hpp"
#include "support/pair.hpp"
#include "support/results.hpp"

namespace rondo::bench {
namespace {

constexpr std::size_t kBytes = 64;
constexpr std::uint64_t kMessages = 500'000;

struct Feature {
  std::string name;
  std::string url;
  std::string receiver_options;
  Reading reading = Reading::kInPlace;
  Samples* samples = nullptr;
  bool works = true;
};

std::vector<Feature> features(const std::string& name) {
  const std::string shm = "shm:" + name + "?capacity=1MiB";
  return {
      {"none", shm, ""},
      {"wait=park", shm + "&wait=park", ""},
      {"ack=eager", shm + "&ack=eager", ""},
      {"await_successor=1", shm + "&await_successor=1", ""},
      {"lock=1", shm + "&lock=1", ""},
      {"huge=try", "shm:" + name + "?capacity=4MiB&huge=try", ""},
      {"capacity=4MiB, as huge=try has", "shm:" + name + "?capacity=4MiB", ""},
      {"readers=2, one of them reads", shm + "&readers=2", ""},
      {"readers=64, one of them reads", shm + "&readers=64", ""},
      {"messages copied: take()", shm, "", Reading::kCopied},
      {"in a file", "file:/var/tmp/" + name + "?capacity=1MiB", ""},
      {"in this process", "inproc:" + name + "?capacity=1MiB", ""},
      {"guarded", "shm+guarded:/tmp/" + name + "?capacity=1MiB", ""},
      {"kind=mpmc", "shm:" + name + "?kind=mpmc&slots=16384&slot_size=64", ""},
      {"kind=mpmc, on_consumer_death=drop",
       "shm:" + name + "?kind=mpmc&slots=16384&slot_size=64&on_consumer_death=drop", ""},
  };
}

void take_sample(Results& results, Pair& pair, Feature& feature) {
  auto ends = Ends::open(feature.url, feature.receiver_options);
  if (!ends) {
    feature.works = false;
    return;
  }
  if (take_stream(pair, *ends, kBytes, kMessages, *feature.samples, feature.reading)) return;
  results.fail(feature.name, "messages were lost, torn or out of order");
  feature.works = false;
}

int main(int argc, char** argv) {
  CLI::App app("What each feature costs a stream of small messages");
  RunOptions options;
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);
  if (Cores::in_use().count() < 2) {
    fmt::print(stderr, "features_compare: needs two cores\n");
    return 1;
  }
  const OwnName name("features-compare", {"/var/tmp"});
  Results results("features_compare");
  std::vector<Feature> all = features(name.get());
  for (Feature& feature : all) {
    feature.samples = &results.add({"feature",
                                    feature.name,
                                    &feature == &all.front() ? Role::kFloor : Role::kOurs,
                                    {{"bytes", kBytes}},
                                    "messages/s",
                                    true});
  }
  {
    Pair pair(options.real_time);
    results.calibrate(pair);
    Rounds rounds("features_compare", options.rounds, options.seconds, all.size());
    while (rounds.next()) {
      for (Feature& feature : all) {
        rounds.question();
        if (feature.works) take_sample(results, pair, feature);
      }
    }
  }
  results.place();
  fmt::print("{}\n", describe_machine());
  results.print_placements();
  for (const Placement placement : kPlacements) {
    const auto bare = all.front().samples->get(placement);
    if (!bare) continue;
    fmt::print("\n{:<40}{:>10}{:>10}{:>9}\n", to_string(placement), "M/s", "of none", "samples");
    for (const Feature& feature : all) {
      const auto rate = feature.samples->get(placement);
      if (!rate) continue;
      fmt::print("{:<40}{:>10.1f}{:>10.2f}{:>9}\n", feature.name, *rate * 1e-6, *rate / *bare,
                 feature.samples->count(placement));
    }
  }
  results.write(options.json);
  return results.failed() ? 1 : 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
