// A fence that costs one side nothing: the frequent side runs light_fence(), no instruction at all;
// the rare side runs heavy_fence(), which makes every processor that runs a registered process pass
// a full fence (membarrier(2), GLOBAL_EXPEDITED; about half a microsecond). Together they order a
// store before a later load on both sides, as two seq_cst fences would: of
//
//     store x; light_fence(); load y       and       store y; heavy_fence(); load x
//
// at least one load sees the other side's store. The idea: Dice, Hui, Wang, "Asymmetric Dekker
// Synchronization" (2001); its form in C++: P1202, "Asymmetric fences".
//
// Ordering.
//
//   A1 seq_cst fence  forbids that both sides miss each other, if the other side has a fence of its
//                     own: what is left where the kernel can't make others fence
#pragma once

#include <atomic>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// Announces that threads of this process run light_fence(). Once per process is enough; to call it
// again costs a load. A forked child inherits nothing it could rely on: it is announced anew by a
// fork handler. False if the system can't do it: then this process has to use seq_cst fences
// instead of light ones.
// Thread-safe.
[[nodiscard]] RONDO_API bool register_publisher() noexcept;

// Full fence here and in every registered process. False, and nothing more than a full fence of the
// calling thread, if the system can't do it.
// Thread-safe. A system call that never blocks.
[[nodiscard]] RONDO_API bool heavy_fence() noexcept;

// Keeps the compiler from moving a later load before an earlier store; the processor is told
// nothing.
inline void light_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }

}  // namespace rondo::inline RONDO_ABI
