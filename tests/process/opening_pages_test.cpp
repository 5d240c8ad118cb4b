// What opening a channel pays for its memory, counted in page faults, which are the same on every
// machine.
//
// Contract:
//   - Who makes a ring brings its pages in once: it goes on in the mapping that it was made in.
//   - Once a channel is open, no page of its ring is met for the first time while messages pass.
#include <sys/resource.h>
#include <unistd.h>

#include <span>
#include <string>
#include <vector>

#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

constexpr std::size_t kRingBytes = std::size_t{16} << 20;

long page_faults() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_minflt;
}

// All kinds of channel that have memory of their own, of kRingBytes and some.
std::vector<std::string> urls(const std::string& name, const std::string& path) {
  const std::string ring = "?capacity=16MiB";
  const std::string readers = ring + "&readers=3";
  const std::string slots = "?kind=mpmc&slots=16384&slot_size=1008";
  const std::string frames = "?kind=frames&frames=8&frame_size=2MiB";
  std::vector<std::string> all{"shm+guarded:" + path + ring};
  for (const char* scheme : {"shm:", "inproc:"}) {
    for (const std::string& options : {ring, readers, slots, frames}) {
      all.push_back(scheme + name + options);
    }
  }
  return all;
}

using OpeningPages = Watchdog;

TEST_F(OpeningPages, AMadeRingsPagesAreBroughtInOnce) {
  const ShmName name;
  const Directory directory;
  const long pages = static_cast<long>(kRingBytes) / getpagesize();
  for (const std::string& url : urls(name.word(), directory.path("s"))) {
    if (url.starts_with("shm+guarded:")) continue;  // its sender alone makes nothing to join
    const long before = page_faults();
    const auto sender = Sender::open(url);
    const long faults = page_faults() - before;
    ASSERT_TRUE(sender) << sender.error().message;
    EXPECT_LT(faults, pages + pages / 2) << url;
  }
}

TEST_F(OpeningPages, NoPageIsMetForTheFirstTimeWhileMessagesPass) {
  const ShmName name;
  const Directory directory;
  const long pages = static_cast<long>(kRingBytes) / getpagesize();
  const std::vector<std::byte> message(1000);
  for (const std::string& url : urls(name.word(), directory.path("s"))) {
    auto opened = open_pair(url);
    ASSERT_TRUE(opened) << opened.error().message;
    auto& [sender, receiver] = *opened;
    ASSERT_EQ(sender.send(message), Status::kOk);
    ASSERT_TRUE(receiver.try_next());
    const long before = page_faults();
    for (std::size_t sent = 0; sent < kRingBytes; sent += message.size()) {
      ASSERT_EQ(sender.send(message), Status::kOk);
      ASSERT_TRUE(receiver.try_next());
    }
    // Some of the sanitizers' own; a page met late would be every one.
    EXPECT_LT(page_faults() - before, pages / 2) << url;
  }
}

}  // namespace
}  // namespace rondo
