// Descriptors to wait for, many at once: epoll.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "rondo/core/descriptor.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {

class Poller {
 public:
  // Errors: kNoDescriptors, kSystem.
  [[nodiscard]] static Result<Poller> make();

  // A descriptor that is looked at from now on: a copy, so that one can be looked at for reading
  // and for writing, and one that is closed meanwhile is not mistaken for whatever has its number
  // then.
  struct Watched {
    UniqueFd copy{};
    bool always_ready = false;  // a file, which is not looked at
  };
  // `tag` is what ready() says of it. Errors: kNoDescriptors, kNoSpace, kSystem (no descriptor, or
  // none to wait for). Thread-safe, beside the others, too.
  [[nodiscard]] Result<Watched> add(NativeHandle fd, bool writing, std::uint64_t tag);
  void remove(Watched& watched) noexcept;

  // Fills `tags` with those of descriptors that are ready, level-triggered, those that were told
  // least recently first; returns how many. Never blocks.
  [[nodiscard]] std::size_t ready(std::span<std::uint64_t> tags) noexcept;
  // Readable while one is ready.
  [[nodiscard]] NativeHandle fd() const noexcept { return fd_.get(); }
  // Until one is ready, `deadline`, or a signal.
  void sleep(Deadline deadline) noexcept;

 private:
  explicit Poller(UniqueFd fd) noexcept : fd_(std::move(fd)) {}

  UniqueFd fd_;
};

}  // namespace rondo::inline RONDO_ABI::detail
