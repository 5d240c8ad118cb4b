#include "rondo/core/uncancelled.hpp"

#include <pthread.h>

namespace rondo::inline RONDO_ABI::detail {

Uncancelled::Uncancelled() noexcept { pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_); }
Uncancelled::~Uncancelled() { pthread_setcancelstate(before_, nullptr); }

}  // namespace rondo::inline RONDO_ABI::detail
