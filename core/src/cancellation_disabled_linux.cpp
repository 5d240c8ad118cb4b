#include "rondo/core/cancellation_disabled.hpp"

#include <pthread.h>

namespace rondo::inline RONDO_ABI::detail {

CancellationDisabled::CancellationDisabled() noexcept {
  pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before_);
}
CancellationDisabled::~CancellationDisabled() { pthread_setcancelstate(before_, nullptr); }

}  // namespace rondo::inline RONDO_ABI::detail
