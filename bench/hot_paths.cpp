// Question: how many instructions does each side of a message take, on the hot paths? Not how long:
// an instruction may be cheap or dear, and between two cores the lines that cross decide, which
// callgrind (hot_paths.py) knows nothing of. But a count is the same each time, on any machine and
// whatever else runs there, so that one instruction more is seen.
//
//   hot_paths            the compiler; messages a lap; and the number and name of each path
//   hot_paths LAPS       runs each path for so many laps
//
// A lap is as many messages as the ring holds: some are sent, then these are received, and so on,
// all in one thread. So what is done once a lap or once a burst is counted in. Nothing is waited
// for, woken, full or empty, but in the paths that say so. What adapts to time (eviction) does not
// happen: callgrind's processor has no clflushopt.
#include "support/hot_paths.hpp"

namespace rondo::bench::hot_paths {
namespace {

template <std::size_t kIndex>
using Path = std::tuple_element_t<kIndex, All>;

template <class Path>
consteval std::uint64_t step() {
  if constexpr (requires { Path::kStep; }) return Path::kStep;
  return 1;
}
template <class Path>
consteval std::uint64_t burst() {
  if constexpr (requires { Path::kBurst; }) return Path::kBurst;
  return 256;
}

// hot_paths.py knows these two by their names, and asks what they cost with all that they call.
template <std::size_t kIndex>
[[gnu::noinline]] void send_side(Path<kIndex>& path, std::uint64_t i) {
  constexpr std::uint64_t kStep = step<Path<kIndex>>();
  for (const std::uint64_t end = i + burst<Path<kIndex>>(); i != end; i += kStep) {
    if (!path.send(i)) fail(path.name() + ": could not send");
  }
}
template <std::size_t kIndex>
[[gnu::noinline]] std::uint64_t receive_side(Path<kIndex>& path) {
  constexpr std::uint64_t kStep = step<Path<kIndex>>();
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i != burst<Path<kIndex>>(); i += kStep) {
    if (!path.receive(sum)) fail(path.name() + ": could not receive");
  }
  return sum;
}

template <std::size_t kIndex>
void run(std::uint64_t laps) {
  const auto path = std::make_unique<Path<kIndex>>();
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i != laps * kLap; i += burst<Path<kIndex>>()) {
    if constexpr (requires { path->send(i); }) send_side<kIndex>(*path, i);
    if constexpr (requires { path->receive(sum); }) sum += receive_side<kIndex>(*path);
  }
  asm volatile("" : : "r"(sum));
}

template <std::size_t... kIndex>
void run_all(std::uint64_t laps, std::index_sequence<kIndex...>) {
  (run<kIndex>(laps), ...);
}
template <std::size_t... kIndex>
void list_all(std::index_sequence<kIndex...>) {
  (std::printf("%zu %s\n", kIndex, Path<kIndex>::name().c_str()), ...);
}

int main(int argc, char** argv) {
  constexpr auto kAll = std::make_index_sequence<std::tuple_size_v<All>>();
  const std::uint64_t laps = argc == 2 ? std::strtoull(argv[1], nullptr, 10) : 0;
  if (laps != 0) {
    run_all(laps, kAll);
    return 0;
  }
#ifdef __clang__
  std::printf("clang++ %d\n", __clang_major__);
#else
  std::printf("g++ %d\n", __GNUC__);
#endif
  std::printf("%llu messages a lap\n", static_cast<unsigned long long>(kLap));
  list_all(kAll);
  return argc == 1 ? 0 : 2;
}

}  // namespace
}  // namespace rondo::bench::hot_paths

int main(int argc, char** argv) { return rondo::bench::hot_paths::main(argc, argv); }
