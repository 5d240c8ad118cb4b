// Says which two cores the programs of a run are to measure with: "2,3", for RONDO_BENCH_CORES
// (support/cores.hpp). Each would find a pair by itself, but not all of them the same.
#include <cstdio>

#include "support/cores.hpp"

int main() {
  const auto& cores = rondo::bench::Cores::in_use();
  std::printf("%d,%d\n", cores.number(0), cores.number(1));
}
