// Work that blocks, done by a thread of its own, so that who waits for it can wait for others, too.
// One piece of work at a time.
#pragma once

#include <functional>
#include <future>

namespace rondo::program {

class Beside {
 public:
  Beside();
  Beside(const Beside&) = delete;
  Beside& operator=(const Beside&) = delete;
  // Waits for the work that is being done.
  ~Beside();

  void start(std::function<void()> work);
  // From start() on until take_done() has said true, or finish().
  [[nodiscard]] bool busy() const noexcept { return work_.valid(); }
  // Whether the work has been done, once. What it did is visible then; what it threw is thrown.
  [[nodiscard]] bool take_done();
  // Waits for it, whatever comes of it.
  void finish() noexcept;
  // Readable when the work has been done. -1: there was no descriptor left, so ask now and then.
  [[nodiscard]] int fd() const noexcept { return fd_; }

 private:
  int fd_;
  std::future<void> work_;
};

}  // namespace rondo::program
