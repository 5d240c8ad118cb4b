// Question: what does it cost to claim and commit a frame, and to pin and release one, while
// neither side touches a byte of it?
//
//   BM_FramePoolClaim  claim and commit, with so many reader slots of 4 pins each; all frames have
//                      been published before, so that each claim takes one back
//   BM_FramePoolPin    claim, commit, and one reader that pins the newest and lets go of it
//
// Arguments: reader slots, frames (8, or as many as make a claim never fail). Not measured: pins
// that move meanwhile on other cores. Run with the bench preset.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "rondo/core/frame_pool.hpp"
#include "support/engines.hpp"

namespace rondo::bench {
namespace {

class Pool {
 public:
  explicit Pool(const benchmark::State& state)
      : params_{.frames = static_cast<std::uint32_t>(state.range(1)),
                .frame_bytes = 64,
                .readers = static_cast<std::uint32_t>(state.range(0)),
                .pins = 4},
        pages_(frame_pool::layout_for(params_).value().total_bytes),
        parts_(frame_pool::create(pages_.bytes(), params_).value()) {}
  [[nodiscard]] const FramePoolParts& parts() const { return parts_; }

 private:
  FramePoolParams params_;
  Pages pages_;
  FramePoolParts parts_;
};

void claim_and_commit(frame_pool::Producer& producer) {
  if (producer.try_reserve() == nullptr) std::abort();
  producer.commit(64);
}

void BM_FramePoolClaim(benchmark::State& state) {
  const Pool pool(state);
  frame_pool::Producer producer(pool.parts());
  for (std::uint32_t f = 0; f < pool.parts().frame_count; ++f) claim_and_commit(producer);
  for (auto _ : state) claim_and_commit(producer);
}
BENCHMARK(BM_FramePoolClaim)->ArgsProduct({{1, 8, 64}, {8}});
BENCHMARK(BM_FramePoolClaim)->Args({1, 6})->Args({8, 34})->Args({64, 258});

void BM_FramePoolPin(benchmark::State& state) {
  const Pool pool(state);
  frame_pool::Producer producer(pool.parts());
  frame_pool::Consumer reader(pool.parts(), 0);
  frame_pool::Message frame;
  for (auto _ : state) {
    claim_and_commit(producer);
    if (reader.try_newest(frame) != ReadOutcome::kMessage) std::abort();
    frame.release();
  }
}
BENCHMARK(BM_FramePoolPin)->Args({1, 8});

}  // namespace
}  // namespace rondo::bench
