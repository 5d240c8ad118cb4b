// Where an exception ends: what is set up says that there is no memory as it says all else.
#pragma once

#include <new>

#include "rondo/core/platform.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A set-up by this thread, from here to the end of the scope.
class RONDO_API SetUp {
 public:
  SetUp() noexcept;
  SetUp(const SetUp&) = delete;
  SetUp& operator=(const SetUp&) = delete;
  ~SetUp();

  // For destructors: whether an exception ends this thread's set-up, and what is destroyed was
  // taken for it in vain. An exception of the user's own, beside a set-up or within one of his
  // destructors, is none.
  [[nodiscard]] static bool fails() noexcept;

 private:
  const SetUp* outer_;
  int exceptions_;  // on their way when it began
};

// What `set_up` returns, a Result; kNoSpace if the program's allocator refused it something. To be
// called outermost, so that all that was half set up has been undone by then.
template <class Function>
[[nodiscard]] auto refuse_without_memory(Function&& set_up) -> decltype(set_up()) {
  try {
    const SetUp here;
    return set_up();
  } catch (const std::bad_alloc&) {
    return Error{ErrorCode::kNoSpace, "out of memory"};  // short: it has to need none
  }
}

}  // namespace rondo::inline RONDO_ABI::detail
