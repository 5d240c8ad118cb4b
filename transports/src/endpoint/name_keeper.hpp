// What keeps the name of a ring that lies in memory of this process: inproc: has a table of its
// own, and the segment no name.
#pragma once

#include <mutex>
#include <utility>

#include "rondo/core/attachment.hpp"
#include "rondo/core/callback.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Empty: the segment has its name itself.
class NameKeeper {
 public:
  NameKeeper() = default;
  // `mutex` keeps others from finding the name while it goes; `forget` takes it away.
  NameKeeper(std::mutex& mutex, Callback<void()> forget) noexcept
      : mutex_(&mutex), forget_(std::move(forget)) {}

  // Gives the membership back: AttachmentBase::leave(), with a name that goes here, too.
  void leave(AttachmentBase& attachment, const Participants::NameGoes& name_goes) noexcept {
    std::unique_lock<std::mutex> naming;
    if (mutex_ != nullptr) naming = std::unique_lock(*mutex_);
    attachment.leave([&](bool last) {
      const bool goes = name_goes(last);
      if (goes && last && forget_) forget_();
      return goes;
    });
  }

 private:
  std::mutex* mutex_ = nullptr;
  Callback<void()> forget_{};
};

}  // namespace rondo::inline RONDO_ABI::detail
