// Every ring keeps the contract of ring_conformance.hpp. A new ring is one struct in
// ring_traits.hpp, and a word in the lists below.
#include "conformance/ring_conformance.hpp"

namespace rondo::testing {
namespace {

struct Names {
  template <class Traits>
  static std::string GetName(int) {
    const std::string kind(to_string(Traits::kKind));
    using Ring = typename Traits::Ring;
    if (std::is_same_v<Ring, spsc_ring<raw_slots>>) return kind + "_raw";
    if (std::is_same_v<Ring, mpmc_ring<>>) return kind + "_sized";
    if (std::is_same_v<Traits, RecordReadersTraits>) return kind + "_readers";
    return kind;
  }
};

using Spsc = SpscTraits<std::uint64_t>;
using SpscRaw = SpscTraits<raw_slots>;
using Mpmc = MpmcTraits<std::uint64_t>;
using MpmcSized = MpmcTraits<std::byte>;

using Rings = ::testing::Types<Spsc, SpscRaw, RecordTraits, RecordReadersTraits, Mpmc, MpmcSized,
                               FramePoolTraits>;
using WithCell = ::testing::Types<Spsc, SpscRaw, RecordTraits, RecordReadersTraits, Mpmc, MpmcSized,
                                  FramePoolTraits, LatestTraits>;
using WithBatches = ::testing::Types<Spsc, SpscRaw, Mpmc, MpmcSized>;

INSTANTIATE_TYPED_TEST_SUITE_P(Each, RingLife, WithCell, Names);
INSTANTIATE_TYPED_TEST_SUITE_P(Each, RingMessages, Rings, Names);
INSTANTIATE_TYPED_TEST_SUITE_P(Each, RingBatches, WithBatches, Names);

}  // namespace
}  // namespace rondo::testing
