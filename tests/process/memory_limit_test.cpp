// A control group whose memory is not enough for a channel: an error at open, and no process
// killed. A real one, made for the test, where the system lets it.
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/segment.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

constexpr const char* kLimit = "100663296";  // 96 MiB

bool write_to(const std::filesystem::path& file, const std::string& text) {
  std::ofstream stream(file);
  stream << text;
  stream.close();
  return !stream.fail();
}

// Two control groups, one in the other, gone at the end. The outer one has the limit.
class LimitedGroup {
 public:
  LimitedGroup() {
    for (const char* top : {"/sys/fs/cgroup/memory", "/sys/fs/cgroup"}) {
      outer_ = std::string(top) + "/rondo-test-" + std::to_string(getpid());
      std::error_code error;
      if (!std::filesystem::create_directory(outer_, error)) continue;
      made_ = write_to(outer_ / "memory.limit_in_bytes", kLimit) ||
              (write_to(outer_ / "memory.max", kLimit) &&
               write_to(outer_ / "cgroup.subtree_control", "+memory"));
      if (made_ && std::filesystem::create_directory(inner(), error)) return;
      std::filesystem::remove(outer_, error);
      made_ = false;
    }
  }
  LimitedGroup(const LimitedGroup&) = delete;
  LimitedGroup& operator=(const LimitedGroup&) = delete;
  ~LimitedGroup() {
    if (!made_) return;
    rmdir(inner().c_str());
    rmdir(outer_.c_str());
  }
  [[nodiscard]] bool made() const { return made_; }
  // This process goes in.
  [[nodiscard]] bool enter() const {
    return write_to(inner() / "cgroup.procs", std::to_string(getpid()));
  }

 private:
  [[nodiscard]] std::filesystem::path inner() const { return outer_ / "inner"; }

  std::filesystem::path outer_;
  bool made_ = false;
};

class MemoryLimit : public Watchdog {
 protected:
  // What `body` returns in a process under the limit.
  template <class Body>
  static std::optional<int> under_limit(Body&& body) {
    const LimitedGroup group;
    if (!group.made()) return std::nullopt;
    Child child([&] { return group.enter() ? body() : 98; });
    return child.join();
  }
  ScratchDirectory directory_;
};

TEST_F(MemoryLimit, AChannelThatDoesNotFitIsAnErrorAndNoProcessIsKilled) {
  for (const ChannelCase& channel : kChannelCases) {
    if (!channel.ring || channel.scheme == "file:") continue;  // /tmp may lie on a disk
    if (channel.scheme == "auto:") continue;                   // it stays a connection then
    const std::string url = fresh_url(channel, directory_.path());
    const std::string small = url + "?" + options_of(channel, 4 << 20);
    const std::string large = url + "?" + options_of(channel, 128 << 20);
    const auto result = under_limit([&] {
      {
        const auto opened = open_pair(small);
        if (!opened) return 1;
      }
      const auto opened = open_pair(large);
      if (code_of(opened) != code_of(ErrorCode::kNoSpace)) return 2;
      return opened.error().message.find("rondo-test") != std::string::npos ? 0 : 3;
    });
    if (!result) GTEST_SKIP() << "needs a control group of its own";
    EXPECT_EQ(*result, 0) << url;
  }
}

TEST_F(MemoryLimit, SegmentsOfEveryKindThatDontFitAreErrors) {
  const ShmName shm;
  const Directory in_memory("/dev/shm");
  const std::vector<SegmentName> names = {shm,
                                          in_memory.name("a"),
                                          {Backing::kMemfd, {}},
                                          {Backing::kAnonymous, {}},
                                          {Backing::kHeap, {}}};
  for (const SegmentName& name : names) {
    const auto result = under_limit([&] {
      const auto segment = Segment::create(name, std::size_t{128} << 20, {},
                                           [](auto) -> Result<void> { return {}; });
      return code_of(segment) == code_of(ErrorCode::kNoSpace) ? 0 : 1;
    });
    if (!result) GTEST_SKIP() << "needs a control group of its own";
    EXPECT_EQ(*result, 0) << to_string(name);
  }
}

// What the tests above protect from, so that they are known to test something.
TEST_F(MemoryLimit, WhoTouchesMoreThanTheLimitIsKilled) {
  const auto result = under_limit([] {
    std::vector<char> memory(std::size_t{128} << 20, 'x');
    return memory[1] == 'x' ? 0 : 1;
  });
  if (!result) GTEST_SKIP() << "needs a control group of its own";
  EXPECT_EQ(*result, -SIGKILL);
}

}  // namespace
}  // namespace rondo
