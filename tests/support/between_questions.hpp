// What another thread does between two questions to the system (ioctl(2)), done at that moment. For
// one source of a program: it stands in for the C library's function.
#pragma once

#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdarg>
#include <functional>
#include <utility>

namespace rondo::testing {
// Called by the next question, before it is asked, and by no other one.
inline std::function<void()> before_question;
}  // namespace rondo::testing

extern "C" int ioctl(int fd, unsigned long question, ...) noexcept {
  std::va_list rest;
  va_start(rest, question);
  void* const answer = va_arg(rest, void*);
  va_end(rest);
  if (const auto call = std::exchange(rondo::testing::before_question, nullptr)) call();
  return static_cast<int>(syscall(SYS_ioctl, fd, question, answer));
}
