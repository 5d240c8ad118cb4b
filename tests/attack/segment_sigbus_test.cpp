// The handler that guards segments against SIGBUS passes on what is not a segment's: to the handler
// that was there before it, or to the default action.
//
// It is installed with the first segment of a process, and stays. So segments are made in children
// here, and nowhere else.
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>

#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

constexpr std::size_t kPage = 4096;

std::byte read(const Segment& segment, std::size_t offset) {
  return *static_cast<volatile std::byte*>(segment.bytes().data() + offset);
}

class ForeignSigbus : public Watchdog {
 protected:
  ShmName name_;
};

// A page of a file of our own that is gone: not a segment.
std::byte* foreign_gap() {
  const int fd = memfd_create("foreign", MFD_CLOEXEC);
  if (ftruncate(fd, kPage) != 0) std::abort();
  void* memory = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd, 0);
  if (ftruncate(fd, 0) != 0) std::abort();
  close(fd);
  return static_cast<std::byte*>(memory);
}

sigjmp_buf escape;
int handled = 0;
void on_foreign(int) {
  ++handled;
  siglongjmp(escape, 1);
}
void on_foreign_with_info(int, siginfo_t* info, void*) {
  handled += info->si_code == BUS_ADRERR ? 10 : 1;
  siglongjmp(escape, 1);
}

TEST_F(ForeignSigbus, ForeignFaultsReachTheHandlerThatWasThereBefore) {
  for (const bool with_info : {false, true}) {
    Child child([&] {
      struct sigaction action = {};
      if (with_info) {
        action.sa_sigaction = on_foreign_with_info;
        action.sa_flags = SA_SIGINFO;
      } else {
        action.sa_handler = on_foreign;
      }
      sigaction(SIGBUS, &action, nullptr);
      const Segment segment = sound(create_small(name_));
      if (truncate(name_.path().c_str(), 0) != 0) return 1;
      for (int i = 0; i < 3; ++i) {
        if (sigsetjmp(escape, 1) == 0) {
          static_cast<void>(*static_cast<volatile std::byte*>(foreign_gap()));
          return 2;
        }
        if (read(segment, static_cast<std::size_t>(i % 2) * kPage) != std::byte{0}) return 3;
      }
      return handled == (with_info ? 30 : 3) ? 0 : 4;
    });
    EXPECT_EQ(child.join(), 0);
    unlink(name_.path().c_str());
  }
}

TEST_F(ForeignSigbus, ForeignFaultsWithoutAHandlerStillEndTheProcess) {
  for (const auto before : {SIG_DFL, SIG_IGN}) {
    Child child([&] {
      signal(SIGBUS, before);
      const Segment segment = sound(create_small(name_));
      static_cast<void>(*static_cast<volatile std::byte*>(foreign_gap()));
      return 1;
    });
    EXPECT_EQ(child.join(), -SIGBUS);
    unlink(name_.path().c_str());
  }
}

TEST_F(ForeignSigbus, ASignalThatWasSentTakesItsCourse) {
  Child dies([&] {
    signal(SIGBUS, SIG_DFL);
    const Segment segment = sound(create_small(name_));
    raise(SIGBUS);
    return 1;
  });
  EXPECT_EQ(dies.join(), -SIGBUS);
  unlink(name_.path().c_str());
  Child ignores([&] {
    signal(SIGBUS, SIG_IGN);
    const Segment segment = sound(create_small(name_));
    raise(SIGBUS);
    if (truncate(name_.path().c_str(), 0) != 0) return 1;
    return read(segment, 0) == std::byte{0} ? 0 : 2;
  });
  EXPECT_EQ(ignores.join(), 0);
}

}  // namespace
}  // namespace rondo
