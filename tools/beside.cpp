#include "beside.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <utility>

#include "stop_signal.hpp"

namespace rondo::program {

Beside::Beside() : fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

Beside::~Beside() {
  finish();
  if (fd_ >= 0) ::close(fd_);
}

void Beside::start(std::function<void()> work) {
  std::uint64_t earlier = 0;
  [[maybe_unused]] const auto forgotten = ::read(fd_, &earlier, sizeof earlier);
  work_ = std::async(std::launch::async, [fd = fd_, work = std::move(work)] {
    stop_signal::leave_to_others();
    // Also when it throws.
    struct Tell {
      explicit Tell(int descriptor) noexcept : fd(descriptor) {}
      Tell(const Tell&) = delete;
      Tell& operator=(const Tell&) = delete;
      ~Tell() {
        const std::uint64_t one = 1;
        [[maybe_unused]] const auto told = ::write(fd, &one, sizeof one);
      }
      int fd;
    };
    const Tell tell(fd);
    work();
  });
}

bool Beside::take_done() {
  if (!work_.valid() || work_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) {
    return false;
  }
  work_.get();
  return true;
}

void Beside::finish() noexcept {
  if (work_.valid()) work_.wait();
  work_ = {};
}

}  // namespace rondo::program
