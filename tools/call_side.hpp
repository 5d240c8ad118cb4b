// Opening the one or the other side of calls: `Side` is Caller or Service.
#pragma once

#include "options.hpp"
#include "patience.hpp"
#include "rondo/call.hpp"
#include "stop_signal.hpp"

namespace rondo::program {

template <class Side>
Result<Side> open_side(const TransferOptions& options, const Patience& patience) {
  return patience.wait(
      [&](Deadline deadline) {
        OpenOptions wishes;
        wishes.name = "rondo";
        wishes.stop = &stop_signal::flag();
        wishes.wait = deadline;
        return Side::open(options.url, wishes);
      },
      [](const Result<Side>& opened) {
        return !opened && opened.error().code == ErrorCode::kTimedOut;
      });
}

}  // namespace rondo::program
