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
//   opening_compare [--json FILE] [--rounds N] [--seconds S] [--real-time] [--directory DIR]
//     DIR: where file: has its files; default /var/tmp
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/mman.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rondo/core/segment.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/cores.hpp"
#include "support/machine.hpp"
#include "support/names.hpp"
#include "support/results.hpp"
#include "support/samples.hpp"

namespace rondo::bench {
namespace {

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
double nanoseconds(F&& f) {
  const auto start = Clock::now();
  f();
  return seconds_since(start) * 1e9;
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
  const double result = nanoseconds([&] { std::memset(memory, 0, bytes); });
  munmap(memory, bytes);
  if (fd >= 0) close(fd);
  return result;
}

// Channels of one kind and size.
class Contest {
 public:
  Contest(Results& results, std::string_view channel, std::string directory, std::string target,
          std::size_t mib, std::string options)
      : channel_(channel),
        directory_(std::move(directory)),
        url_(fmt::format("{}?{}", target, options)),
        mib_(mib),
        memset_(series(results, "memset", Role::kFloor, "create")),
        create_(series(results, "Rondo", Role::kOurs, "create")),
        attach_(series(results, "Rondo", Role::kOurs, "attach")),
        close_(series(results, "Rondo", Role::kOurs, "close")) {}

  void sample() {
    std::optional<Sender> sender;
    std::optional<Receiver> receiver;
    double create = 0;
    std::optional<double> attach;
    if (url_.starts_with("shm+guarded:")) {
      create = nanoseconds([&] {
        auto [one, other] = must(open_pair(url_));
        sender.emplace(std::move(one));
        receiver.emplace(std::move(other));
      });
    } else {
      create = nanoseconds([&] { sender.emplace(must(Sender::open(url_))); });
      attach = nanoseconds([&] { receiver.emplace(must(Receiver::open(url_))); });
    }
    const auto memory = sender->info().memory;
    const std::size_t bytes = memory ? memory->size_bytes : mib_ * kMiB;
    const double close = nanoseconds([&] {
      receiver.reset();
      sender.reset();
    });
    const double memset = clear_new(directory_, bytes);
    memset_.add(memset);
    create_.add(create);
    if (attach) attach_.add(*attach);
    close_.add(close);
    ratios_.push_back(create / memset);
  }

  void print() const {
    const auto ms = [](const Samples& samples) {
      const auto value = samples.get(Placement::kAny);
      return value ? fmt::format("{:.2f}", *value * 1e-6) : "-";
    };
    fmt::print("{:<22}{:>5}{:>10}{:>10}{:>8.2f}{:>10}{:>10}\n", channel_, mib_, ms(memset_),
               ms(create_), median(ratios_), ms(attach_), ms(close_));
  }

 private:
  Samples& series(Results& results, const char* engine, Role role, const char* step) const {
    return results.add({"opening",
                        engine,
                        role,
                        {{"channel", channel_}, {"bytes", mib_ * kMiB}, {"step", step}},
                        "ns",
                        false});
  }

  std::string_view channel_;
  std::string directory_;  // where such memory is a file; empty: it is none
  std::string url_;
  std::size_t mib_;
  Samples& memset_;
  Samples& create_;
  Samples& attach_;
  Samples& close_;
  std::vector<double> ratios_{};
};

std::vector<Contest> contests(Results& results, const std::string& directory,
                              const std::string& name) {
  const std::string path = directory + '/' + name;
  std::vector<Contest> all;
  for (const std::size_t mib : {1u, 4u, 64u}) {
    const std::string ring = fmt::format("capacity={}MiB", mib);
    const std::string slots = fmt::format("kind=mpmc&slots={}&slot_size=1000", mib * 1024);
    const std::string frames = fmt::format("kind=frames&frames=8&frame_size={}KiB", mib * 128);
    if (can_be_in(kShm, "channels", mib)) {
      all.emplace_back(results, "shm:", kShm, "shm:" + name, mib, ring);
      all.emplace_back(results, "shm:, readers=4", kShm, "shm:" + name, mib, ring + "&readers=4");
      all.emplace_back(results, "shm:, kind=mpmc", kShm, "shm:" + name, mib, slots);
      all.emplace_back(results, "shm:, kind=frames", kShm, "shm:" + name, mib, frames);
      all.emplace_back(results, "shm+guarded:", kShm, "shm+guarded:" + path, mib, ring);
    }
    if (can_be_in(directory, "channels", mib)) {
      all.emplace_back(results, "file:", directory, "file:" + path, mib, ring);
    }
    all.emplace_back(results, "inproc:", "", "inproc:" + name, mib, ring);
    all.emplace_back(results, "inproc:, kind=mpmc", "", "inproc:" + name, mib, slots);
  }
  return all;
}

// Shared memory whose pages are brought in when it is made, or are not.
class Pages {
 public:
  static constexpr std::size_t kMebibytes = 64;

  Pages(Results& results, std::string name, bool at_once)
      : name_{Backing::kSharedMemory, std::move(name)},
        at_once_(at_once),
        open_(series(results, "open")),
        first_(series(results, "first 64 B")),
        lap_(series(results, "lap")),
        thousandth_(series(results, "a page, p99.9")),
        longest_(series(results, "a page, longest")) {}

  void sample() {
    constexpr std::size_t kBytes = kMebibytes * kMiB;
    std::optional<Segment> segment;
    open_.add(nanoseconds([&] {
      segment.emplace(must(Segment::create(name_, kBytes, {.prefault = at_once_},
                                           [](std::span<std::byte>) { return Result<void>(); })));
    }));
    std::byte* const bytes = segment->bytes().data();
    first_.add(nanoseconds([&] { std::memset(bytes, 1, 64); }));
    std::vector<double> pages(kBytes / kPage);
    lap_.add(nanoseconds([&] {
      for (std::size_t i = 0; i < pages.size(); ++i) {
        pages[i] = nanoseconds([&] { std::memset(bytes + i * kPage, 1, kPage); });
      }
    }));
    std::sort(pages.begin(), pages.end());
    thousandth_.add(pages[pages.size() - pages.size() / 1000]);
    longest_.add(pages.back());
    demand(Segment::remove(name_).has_value(), "it could not be removed");
  }

  void print() const {
    const auto in = [](const Samples& samples, double unit) {
      return *samples.get(Placement::kAny) / unit;
    };
    fmt::print("{:<22}{:>10.2f}{:>10.2f}{:>10.2f}{:>16.2f}{:>12.1f}\n", engine(), in(open_, 1e6),
               in(first_, 1e3), in(lap_, 1e6), in(thousandth_, 1e3), in(longest_, 1e3));
  }

 private:
  [[nodiscard]] const char* engine() const {
    return at_once_ ? "brought in at once" : "left for later";
  }
  Samples& series(Results& results, const char* step) const {
    return results.add({"pages",
                        engine(),
                        at_once_ ? Role::kOurs : Role::kTextbook,
                        {{"bytes", kMebibytes * kMiB}, {"step", step}},
                        "ns",
                        false});
  }

  SegmentName name_;
  bool at_once_;
  Samples& open_;
  Samples& first_;
  Samples& lap_;
  Samples& thousandth_;
  Samples& longest_;
};

int main(int argc, char** argv) {
  CLI::App app("How long it takes to open a channel, beside a memset of fresh memory");
  RunOptions options;
  std::string directory = "/var/tmp";
  options.add_to(app);
  app.add_option("--directory", directory, "where the files of file: are made");
  CLI11_PARSE(app, argc, argv);
  const OwnName name("opening-compare", {directory});
  Results results("opening_compare");

  pin_to(0);
  std::vector<Contest> all = contests(results, directory, name.get());
  std::deque<Pages> pages;
  if (can_be_in(kShm, "pages", Pages::kMebibytes)) {
    for (const bool at_once : {true, false}) pages.emplace_back(results, name.get(), at_once);
  }
  {
    Rounds rounds("opening_compare", options.rounds, options.seconds, all.size() + pages.size());
    while (rounds.next()) {
      for (Contest& contest : all) {
        rounds.question();
        const RealTime undisturbed(options.real_time);
        contest.sample();
      }
      for (Pages& one : pages) {
        rounds.question();
        const RealTime undisturbed(options.real_time);
        one.sample();
      }
    }
  }
  fmt::print("{}\n\n{:<22}{:>5}{:>10}{:>10}{:>8}{:>10}{:>10}\n", describe_machine(), "milliseconds",
             "MiB", "memset", "create", "ratio", "attach", "close");
  for (const Contest& contest : all) contest.print();
  if (!pages.empty()) {
    fmt::print("\n{:<22}{:>10}{:>10}{:>10}{:>16}{:>12}\n", "64 MiB, pages", "open, ms", "first, us",
               "lap, ms", "page p99.9, us", "longest, us");
  }
  for (const Pages& one : pages) one.print();
  results.write(options.json);
  return 0;
}

}  // namespace
}  // namespace rondo::bench

int main(int argc, char** argv) { return rondo::bench::main(argc, argv); }
