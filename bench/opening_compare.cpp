// Question: how long does it take to open a channel, beside a memset of as many fresh bytes of the
// same kind of memory? And what would it save, and cost later, to leave the pages for later?
//
//   memset   of a new mapping: of a nameless file beside the channel's, or of new memory
//   create   the sender opens: it makes the segment, its pages and what lies in it, and joins
//   attach   the receiver opens the same channel in this process, in a mapping of its own
//            (guarded: both together, as open_pair() does it)
//   close    both, which takes memory and name away
//
// And with 64 MiB of shared memory whose pages are brought in when it is made (as channels do), or
// are not:
//
//   open     until it stands
//   first    its first 64 bytes are written
//   lap      all of it is written, a page at a time; and the longest that a page took: of all, and
//            of the slowest in a thousand
//
// Each sample is a new channel in a new file. All take turns, so that each gets the memory that the
// ones before gave back. Medians; ratios within a round.
//
// Not measured: memory that is touched for the first time since the machine was started, which on a
// virtual one the host has to find; a disk (what is written to a file is not waited for); the
// handshake of a guarded channel with another process; memory that is scarce.
//
// What a directory has no room for is left out, and so is a directory without nameless files: in a
// container, /dev/shm may have 64 MiB.
//
//   opening_compare [--json FILE] [--rounds N] [--real-time] [--directory DIR]
//     DIR: where file: has its files; default /var/tmp
#include <fcntl.h>
#include <fmt/core.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rondo/core/segment.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/cores.hpp"
#include "support/facts.hpp"
#include "support/machine.hpp"
#include "support/samples.hpp"

namespace rondo::bench {
namespace {

volatile sig_atomic_t stop_wanted = 0;  // the signal

constexpr std::size_t kPage = 4096;
constexpr std::size_t kMiB = std::size_t{1} << 20;

void demand(bool holds, std::string_view what) {
  if (holds) return;
  fmt::print(stderr, "opening_compare: {}\n", what);
  std::exit(1);
}
template <class T>
T must(Result<T> result) {
  if (!result) demand(false, result.error().message);
  return std::move(result).value();
}

template <class F>
double milliseconds(F&& f) {
  const auto start = Clock::now();
  f();
  return seconds_since(start) * 1e3;
}

constexpr const char* kShm = "/dev/shm";

int nameless_file(const std::string& directory) {
  return open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
}

// Whether what has this size can be measured in this directory; says why it can't.
bool can_be_in(const std::string& directory, std::string_view what, std::size_t mib) {
  std::error_code error;
  const auto space = std::filesystem::space(directory, error);
  const char* why = nullptr;
  if (error || space.available < 2 * mib * kMiB) {
    why = "no room for it twice";
  } else if (const int fd = nameless_file(directory); fd >= 0) {
    close(fd);
  } else {
    why = "no nameless files there";
  }
  if (why != nullptr) fmt::print("left out: {} of {} MiB in {}: {}\n", what, mib, directory, why);
  return why == nullptr;
}

// A memset of new memory: of a nameless file in `directory`, or, without one, of this process's.
double clear_new(const std::string& directory, std::size_t bytes) {
  const bool file = !directory.empty();
  const int fd = file ? nameless_file(directory) : -1;
  demand(!file || (fd >= 0 && ftruncate(fd, static_cast<off_t>(bytes)) == 0), "no file to clear");
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      file ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
  demand(memory != MAP_FAILED, "no memory to clear");
  const double result = milliseconds([&] { std::memset(memory, 0, bytes); });
  munmap(memory, bytes);
  if (fd >= 0) close(fd);
  return result;
}

// Channels of one kind and size.
class Contest {
 public:
  Contest(std::string_view channel, std::string directory, std::string target, std::size_t mib,
          std::string options)
      : channel_(channel),
        directory_(std::move(directory)),
        url_(fmt::format("{}?{}", target, options)),
        mib_(mib) {}

  void sample() {
    std::optional<Sender> sender;
    std::optional<Receiver> receiver;
    double create = 0;
    double attach = 0;
    if (url_.starts_with("shm+guarded:")) {
      create = milliseconds([&] {
        auto [one, other] = must(open_pair(url_));
        sender.emplace(std::move(one));
        receiver.emplace(std::move(other));
      });
    } else {
      create = milliseconds([&] { sender.emplace(must(Sender::open(url_))); });
      attach = milliseconds([&] { receiver.emplace(must(Receiver::open(url_))); });
    }
    const auto memory = sender->info().memory;
    const std::size_t bytes = memory ? memory->size_bytes : mib_ * kMiB;
    const double close = milliseconds([&] {
      receiver.reset();
      sender.reset();
    });
    const double memset = clear_new(directory_, bytes);
    memset_.push_back(memset);
    create_.push_back(create);
    attach_.push_back(attach);
    close_.push_back(close);
    create_ratio_.push_back(create / memset);
    attach_ratio_.push_back(attach / memset);
  }

  void print(nlohmann::json& rows) const {
    fmt::print("{:<22}{:>5}{:>10.2f}{:>10.2f}{:>8.2f}{:>10.2f}{:>8.2f}{:>10.2f}\n", channel_, mib_,
               median(memset_), median(create_), median(create_ratio_), median(attach_),
               median(attach_ratio_), median(close_));
    rows.push_back({{"channel", channel_},
                    {"mib", mib_},
                    {"memset_ms", memset_},
                    {"create_ms", create_},
                    {"attach_ms", attach_},
                    {"close_ms", close_},
                    {"create_to_memset", median(create_ratio_)},
                    {"attach_to_memset", median(attach_ratio_)}});
  }

 private:
  std::string_view channel_;
  std::string directory_;  // where such memory is a file; empty: it is none
  std::string url_;
  std::size_t mib_;
  std::vector<double> memset_;
  std::vector<double> create_;
  std::vector<double> attach_;
  std::vector<double> close_;
  std::vector<double> create_ratio_;
  std::vector<double> attach_ratio_;
};

std::vector<Contest> contests(const std::string& directory) {
  const std::string name = fmt::format("opening-compare-{}", getpid());
  const std::string path = directory + '/' + name;
  std::vector<Contest> all;
  for (const std::size_t mib : {1u, 4u, 64u}) {
    const std::string ring = fmt::format("capacity={}MiB", mib);
    const std::string slots = fmt::format("kind=mpmc&slots={}&slot_size=1000", mib * 1024);
    const std::string frames = fmt::format("kind=frames&frames=8&frame_size={}KiB", mib * 128);
    if (can_be_in(kShm, "channels", mib)) {
      all.emplace_back("shm:", kShm, "shm:" + name, mib, ring);
      all.emplace_back("shm:, readers=4", kShm, "shm:" + name, mib, ring + "&readers=4");
      all.emplace_back("shm:, kind=mpmc", kShm, "shm:" + name, mib, slots);
      all.emplace_back("shm:, kind=frames", kShm, "shm:" + name, mib, frames);
      all.emplace_back("shm+guarded:", kShm, "shm+guarded:" + path, mib, ring);
    }
    if (can_be_in(directory, "channels", mib)) {
      all.emplace_back("file:", directory, "file:" + path, mib, ring);
    }
    all.emplace_back("inproc:", "", "inproc:" + name, mib, ring);
    all.emplace_back("inproc:, kind=mpmc", "", "inproc:" + name, mib, slots);
  }
  return all;
}

// Shared memory whose pages are brought in when it is made, or are not.
class Pages {
 public:
  static constexpr std::size_t kMebibytes = 64;

  explicit Pages(bool at_once) : at_once_(at_once) {}

  void sample() {
    constexpr std::size_t kBytes = kMebibytes * kMiB;
    const SegmentName name{Backing::kSharedMemory, fmt::format("opening-pages-{}", getpid())};
    std::optional<Segment> segment;
    open_.push_back(milliseconds([&] {
      segment.emplace(must(Segment::create(name, kBytes, {.prefault = at_once_},
                                           [](std::span<std::byte>) { return Result<void>(); })));
    }));
    std::byte* const bytes = segment->bytes().data();
    first_.push_back(1e3 * milliseconds([&] { std::memset(bytes, 1, 64); }));
    std::vector<double> pages(kBytes / kPage);
    lap_.push_back(milliseconds([&] {
      for (std::size_t i = 0; i < pages.size(); ++i) {
        pages[i] = 1e3 * milliseconds([&] { std::memset(bytes + i * kPage, 1, kPage); });
      }
    }));
    std::sort(pages.begin(), pages.end());
    thousandth_.push_back(pages[pages.size() - pages.size() / 1000]);
    longest_.push_back(pages.back());
    demand(Segment::remove(name).has_value(), "it could not be removed");
  }

  void print(nlohmann::json& rows) const {
    fmt::print("{:<22}{:>10.2f}{:>10.2f}{:>10.2f}{:>16.2f}{:>12.1f}\n",
               at_once_ ? "brought in at once" : "left for later", median(open_), median(first_),
               median(lap_), median(thousandth_), median(longest_));
    rows.push_back({{"prefault", at_once_},
                    {"open_ms", open_},
                    {"first_us", first_},
                    {"lap_ms", lap_},
                    {"thousandth_us", thousandth_},
                    {"longest_us", longest_}});
  }

 private:
  bool at_once_;
  std::vector<double> open_;
  std::vector<double> first_;
  std::vector<double> lap_;
  std::vector<double> thousandth_;
  std::vector<double> longest_;
};

int main(int argc, char** argv) {
  CLI::App app("How long it takes to open a channel, beside a memset of fresh memory");
  std::string json;
  std::string directory = "/var/tmp";
  int rounds = 15;
  bool real_time = false;
  app.add_option("--json", json, "write all figures to this file");
  app.add_option("--rounds", rounds, "samples of each")->check(CLI::Range(1, 10000));
  app.add_option("--directory", directory, "where the files of file: are made");
  app.add_flag("--real-time", real_time, "keep other programs off the core (needs root)");
  CLI11_PARSE(app, argc, argv);

  // Ends in order: what was made goes away.
  struct sigaction ends {};
  ends.sa_handler = [](int number) { stop_wanted = number; };
  ends.sa_flags = SA_RESTART;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &ends, nullptr);

  pin_to(0);
  std::vector<Contest> all = contests(directory);
  std::vector<Pages> pages;
  if (can_be_in(kShm, "pages", Pages::kMebibytes)) pages = {Pages(true), Pages(false)};
  for (int round = 0; round < rounds; ++round) {
    for (Contest& contest : all) {
      if (stop_wanted != 0) return 128 + stop_wanted;
      const RealTime undisturbed(real_time);
      contest.sample();
    }
    for (Pages& one : pages) {
      if (stop_wanted != 0) return 128 + stop_wanted;
      const RealTime undisturbed(real_time);
      one.sample();
    }
  }
  nlohmann::json result{{"machine", describe_machine()}, {"channels", nlohmann::json::array()}};
  fmt::print("{}\n\n{:<22}{:>5}{:>10}{:>10}{:>8}{:>10}{:>8}{:>10}\n", describe_machine(),
             "milliseconds", "MiB", "memset", "create", "ratio", "attach", "ratio", "close");
  for (const Contest& contest : all) contest.print(result["channels"]);
  if (!pages.empty()) {
    fmt::print("\n{:<22}{:>10}{:>10}{:>10}{:>16}{:>12}\n", "64 MiB, pages", "open, ms", "first, us",
               "lap, ms", "page p99.9, us", "longest, us");
  }
  for (const Pages& one : pages) one.print(result["pages"]);
  if (!json.empty()) std::ofstream(json) << result.dump(2) << '\n';
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
