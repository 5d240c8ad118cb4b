#include "rondo/sync/mutex.hpp"

#include <system_error>

namespace rondo::inline RONDO_ABI::sync::detail {

void throw_lock_error(LockResult result) {
  if (result == LockResult::kNotRecoverable) {
    throw std::system_error(
        std::make_error_code(std::errc::state_not_recoverable),
        "an owner of this mutex died, and the next one unlocked it without make_consistent()");
  }
  if (result == LockResult::kOwnerDied) {
    throw std::system_error(std::make_error_code(std::errc::owner_dead),
                            "a writer died while it owned this mutex; take it to write, repair "
                            "what it guards, and call make_consistent()");
  }
  throw std::system_error(std::make_error_code(std::errc::operation_not_permitted),
                          "this process is no member of the mutex's segment: it has left, or was "
                          "forked from one that is");
}

}  // namespace rondo::inline RONDO_ABI::sync::detail
