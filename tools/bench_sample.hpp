// One sample of `rondo bench`: two processes that answer each other for a moment, one way of
// passing messages, one size.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rondo::program {

// Durations in nanoseconds, each known to 2 %.
class Histogram {
 public:
  void add(std::uint64_t ns) noexcept {
    ++counts_[bucket_of(ns)];
    ++total_;
    if (ns > max_) max_ = ns;
  }
  void add(const Histogram& other) noexcept {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    if (other.max_ > max_) max_ = other.max_;
  }
  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  [[nodiscard]] std::uint64_t max() const noexcept { return max_; }
  // What `share` of them do not exceed; nothing if there are too few to tell.
  [[nodiscard]] std::optional<std::uint64_t> quantile(double share) const noexcept;

 private:
  // Below 64 each number has its own; from there on 64 for each doubling.
  static constexpr int kBits = 6;
  static std::size_t bucket_of(std::uint64_t ns) noexcept {
    const auto width = static_cast<int>(std::bit_width(ns));
    if (width <= kBits) return ns;
    const int shift = width - kBits - 1;
    return (static_cast<std::size_t>(shift) << kBits) + (ns >> shift);
  }
  static std::uint64_t top_of(std::size_t bucket) noexcept;

  std::array<std::uint64_t, (64 - kBits + 1) << kBits> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t max_ = 0;
};

struct BenchSample {
  Histogram round_trips;
  double messages_per_s = 0;
};

// A way to pass messages, of those that are compared.
struct BenchWay {
  std::string_view name;
  std::string_view how;  // in a few words
  int number;
};
[[nodiscard]] const std::vector<BenchWay>& bench_ways();

// The two cores that are measured on. The same one twice if this process may use no other.
struct TwoCores {
  int first, second;
};

enum class SampleOutcome : std::uint8_t { kTaken, kFailed, kStopped };

// Asks for `seconds`, half of it round trips, half of it throughput. On kFailed, `why` says what
// happened; on kStopped a signal asked to stop. No process is left in either case. `name`: under
// which things may be made in shared memory; `directory`: and files.
[[nodiscard]] SampleOutcome take_bench_sample(const BenchWay& way, std::size_t bytes,
                                              double seconds, TwoCores cores,
                                              const std::string& name, const std::string& directory,
                                              BenchSample& sample, std::string& why);

}  // namespace rondo::program
