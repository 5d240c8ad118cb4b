// Question: what memory does a channel take, and what else does each side of it hold? For each
// kind, of a few channels opened at once in one process, the mean of one:
//
//   segment      its bytes, shared by all sides: all of them are there from the start
//   sender       memory of the process alone that its handle takes: itself, and what it allocated
//   receiver     the same
//   descriptors  and mappings of memory, of both together
//
// Not measured: what C libraries allocate; what the kernel takes for itself (page tables, sockets,
// the file); the code; huge pages; memory while messages are on their way, of which there is no
// more: a message allocates nothing (process/publish_syscalls_test.cpp); byte streams, of whose
// memory the kernel has the most.
//
//   footprint_compare [--json FILE] [--rounds N] [--seconds S]
#include <fmt/core.h>
#include <malloc.h>

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/names.hpp"
#include "support/results.hpp"

namespace {

// By this program, now. What the C++ library had before it came to these functions may go through
// them when it is freed: only differences mean something.
std::ptrdiff_t allocated = 0;

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  allocated += static_cast<std::ptrdiff_t>(malloc_usable_size(memory));
  return memory;
}
void uncount(void* memory) noexcept {
  if (memory == nullptr) return;
  allocated -= static_cast<std::ptrdiff_t>(malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t bytes) { return counted(std::malloc(bytes)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto align = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(align, (bytes + align - 1) / align * align));
}
void operator delete(void* memory) noexcept { uncount(memory); }
void operator delete(void* memory, std::size_t) noexcept { uncount(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { uncount(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { uncount(memory); }

namespace rondo::bench {
namespace {

constexpr int kChannels = 8;

struct Holding {
  double bytes;        // allocated
  double descriptors;  // open
  double mappings;
};

Holding holding() {
  Holding result{};
  result.bytes = static_cast<double>(allocated);
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) ++result.mappings;
  using Files = std::filesystem::directory_iterator;
  result.descriptors = static_cast<double>(std::distance(Files("/proc/self/fd"), Files()));
  return result;
}

template <class T>
T must(Result<T> result) {
  if (result) return std::move(result).value();
  fmt::print(stderr, "footprint_compare: {}\n", result.error().message);
  std::exit(1);
}

class Kind {
 public:
  // `url`: with {} where the name goes.
  Kind(Results& results, std::string name, std::string url)
      : name_(std::move(name)),
        url_(std::move(url)),
        segment_(series(results, "segment", "B")),
        sender_(series(results, "sender", "B")),
        receiver_(series(results, "receiver", "B")),
        descriptors_(series(results, "descriptors", "descriptors")),
        mappings_(series(results, "mappings", "mappings")) {}

  void sample(const std::string& own_name) {
    std::vector<Sender> senders;
    std::vector<Receiver> receivers;
    senders.reserve(kChannels);
    receivers.reserve(kChannels);
    const Holding at_first = holding();
    const auto url_of = [&](int i) {
      return fmt::format(fmt::runtime(url_), fmt::format("{}-{}", own_name, i));
    };
    for (int i = 0; i < kChannels; ++i) senders.push_back(must(Sender::open(url_of(i))));
    const Holding with_senders = holding();
    for (int i = 0; i < kChannels; ++i) receivers.push_back(must(Receiver::open(url_of(i))));
    const Holding with_both = holding();

    segment_.add(static_cast<double>(senders.front().info().memory.value().size_bytes));
    // The handles themselves lie in memory that was there at first.
    add(sender_, with_senders.bytes - at_first.bytes + kChannels * sizeof(Sender));
    add(receiver_, with_both.bytes - with_senders.bytes + kChannels * sizeof(Receiver));
    add(descriptors_, with_both.descriptors - at_first.descriptors);
    add(mappings_, with_both.mappings - at_first.mappings);
  }

  void print() const {
    const auto of = [](const Samples& samples, double unit) {
      return samples.get(Placement::kAny).value_or(0) / unit;
    };
    fmt::print("{:<52}{:>12.1f}{:>12.1f}{:>12.1f}{:>13.1f}{:>10.1f}\n", name_, of(segment_, 1024),
               of(sender_, 1024), of(receiver_, 1024), of(descriptors_, 1), of(mappings_, 1));
  }

 private:
  static void add(Samples& to, double of_all) { to.add(of_all / kChannels); }
  Samples& series(Results& results, const char* what, const char* unit) const {
    return results.add({"footprint", name_, Role::kOurs, {{"what", what}}, unit, false});
  }

  std::string name_;
  std::string url_;
  Samples& segment_;
  Samples& sender_;
  Samples& receiver_;
  Samples& descriptors_;
  Samples& mappings_;
};

int main(int argc, char** argv) {
  CLI::App app("What memory a channel takes, and what each side of it holds");
  RunOptions options;
  options.rounds = 5;
  options.add_to(app);
  CLI11_PARSE(app, argc, argv);
  const OwnName name("footprint-compare", {"/var/tmp"});
  Results results("footprint_compare");
  std::deque<Kind> kinds;
  const auto add = [&](const char* what, const char* url) {
    kinds.emplace_back(results, what, url);
  };
  add("shm:, 64 KiB", "shm:{}?capacity=64KiB");
  add("shm:, 1 MiB", "shm:{}?capacity=1MiB");
  add("shm:, 4 MiB (the default)", "shm:{}");
  add("shm:, 1 MiB, readers=8", "shm:{}?capacity=1MiB&readers=8");
  add("shm:, 1 MiB, readers=64", "shm:{}?capacity=1MiB&readers=64");
  add("file:, 1 MiB", "file:/var/tmp/{}?capacity=1MiB");
  add("shm:, kind=mpmc, 4096 slots of 256 B (the default)", "shm:{}?kind=mpmc");
  add("shm:, kind=mpmc, 1024 slots of 64 B", "shm:{}?kind=mpmc&slots=1024&slot_size=64");
  add("shm:, kind=frames, 8 frames of 1 MiB (the default)", "shm:{}?kind=frames");
  add("shm:, kind=frames, 4 frames of 64 KiB",
      "shm:{}?kind=frames&frames=4&frame_size=64KiB&readers=1");
  {
    Rounds rounds("footprint_compare", options.rounds, options.seconds, kinds.size());
    while (rounds.next()) {
      for (Kind& kind : kinds) {
        rounds.question();
        kind.sample(name.get());
      }
    }
  }
  fmt::print("{}\n\n{:<52}{:>12}{:>12}{:>12}{:>13}{:>10}\n", describe_machine(), "KiB", "segment",
             "sender", "receiver", "descriptors", "mappings");
  for (const Kind& kind : kinds) kind.print();
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
