// Where an exception ends: what is set up says that there is no memory as it says all else.
#pragma once

#include <new>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What `set_up` returns, a Result; kNoSpace if the program's allocator refused it something. To be
// called once, outermost, so that all that was half set up has been undone by then.
template <class SetUp>
[[nodiscard]] auto refuse_without_memory(SetUp&& set_up) -> decltype(set_up()) {
  try {
    return set_up();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kNoSpace, "out of memory"};  // short: it has to need none
  }
}

}  // namespace rondo::inline RONDO_ABI::detail
