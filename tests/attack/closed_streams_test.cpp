// A program whose standard streams are closed, as daemons' are, and that goes on writing log lines
// to them: nothing that the library opens, or is handed, may take their numbers.
//
//  1. NoChannelTakesTheNumberOfAStandardStream: every transport and kind, both of its ends, with
//     any of the three closed
//  2. NothingStaysOpenForAProgramThatIsExecuted: every descriptor is close-on-exec
//  3. SegmentsWithoutAChannelNeither: created, attached, by descriptor, inspected, listed
//  4. WhatIsHandedOverIsMovedUp: descriptors that come over a socket
//  5. ALowNumberThatCantBeMovedIsGivenBack: no descriptor left to move it to
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <set>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/descriptor.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/segment_info.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

bool is_open(int fd) { return fcntl(fd, F_GETFD) != -1; }

std::set<int> open_descriptors() {
  std::set<int> all;
  for (int fd = 0; fd < 256; ++fd) {
    if (is_open(fd)) all.insert(fd);
  }
  return all;
}

// Closes those of the three whose bit is set in `streams`.
void close_streams(unsigned streams) {
  for (int fd = 0; fd < 3; ++fd) {
    if ((streams >> fd & 1) != 0) close(fd);
  }
}

// Whether those three are closed as they were, with a log line written to each.
bool still_closed(unsigned streams) {
  for (int fd = 0; fd < 3; ++fd) {
    if ((streams >> fd & 1) == 0) continue;
    const std::string line(200, 'L');
    if (write(fd, line.data(), line.size()) != -1 || errno != EBADF || is_open(fd)) return false;
  }
  return true;
}

struct Case {
  ChannelCase channel;
  std::string options;
};
std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const ChannelCase& channel : kChannelCases) {
    cases.push_back({channel, options_of(channel, 4096)});
    const bool readers = channel.has_readers() && channel.processes;
    if (readers) cases.push_back({channel, options_of(channel, 4096) + "&readers=3"});
  }
  for (const ChannelCase& channel : kLossyChannelCases) {
    cases.push_back({channel, "kind=frames&frame_size=4KiB"});
  }
  return cases;
}

class ClosedStreams : public Watchdog {
 protected:
  ScratchDirectory directory_;
};

// Opens both ends, sends a message through; 0, or where it went wrong.
int converse(const std::string& url, unsigned streams) {
  auto pair = open_pair(url);
  if (!pair) return 1;
  if (!still_closed(streams)) return 2;
  auto& [sender, receiver] = *pair;
  const std::string message = numbered_message(1, 1000);
  if (sender.send(bytes_of(message)) != Status::kOk) return 3;
  if (receive(receiver) != message) return 4;
  return still_closed(streams) ? 0 : 5;
}

TEST_F(ClosedStreams, NoChannelTakesTheNumberOfAStandardStream) {
  for (const Case& one : all_cases()) {
    for (unsigned streams = 1; streams < 8; ++streams) {
      const std::string url = fresh_url(one.channel, directory_.path()) + "?" + one.options;
      Child child([&] {
        close_streams(streams);
        return converse(url, streams);
      });
      EXPECT_EQ(child.join(), 0) << url << ", closed: " << streams;
    }
  }
}

TEST_F(ClosedStreams, NothingStaysOpenForAProgramThatIsExecuted) {
  for (const Case& one : all_cases()) {
    for (const unsigned streams : {0U, 7U}) {
      const std::string url = fresh_url(one.channel, directory_.path()) + "?" + one.options;
      Child child([&] {
        close_streams(streams);
        const std::set<int> before = open_descriptors();
        auto pair = open_pair(url);
        if (!pair) return 1;
        for (const int fd : open_descriptors()) {
          if (!before.contains(fd) && (fcntl(fd, F_GETFD) & FD_CLOEXEC) == 0) return 2;
        }
        return 0;
      });
      EXPECT_EQ(child.join(), 0) << url << ", closed: " << streams;
    }
  }
}

TEST_F(ClosedStreams, SegmentsWithoutAChannelNeither) {
  const ShmName shm;
  const Directory files;
  const std::vector<SegmentName> names = {
      shm, files.name("f"), {Backing::kMemfd, {}}, {Backing::kAnonymous, {}}, {Backing::kHeap, {}}};
  for (const SegmentName& name : names) {
    Child child([&] {
      close_streams(7);
      const auto created = create_small(name, {.huge_pages = HugePages::kTry});
      if (!created || !still_closed(7)) return 1;
      const auto lock = LivenessLock::open(*created);
      if (!lock || !still_closed(7)) return 2;
      if (created->fd() >= 0) {
        const auto again = created->open_description(Access::kReadOnly);
        if (!again || *again < 3 || !still_closed(7)) return 3;
      }
      if (name.backing == Backing::kMemfd) {
        const auto attached = Segment::attach_fd(created->fd());
        if (!attached || !still_closed(7)) return 4;
      }
      if (name.name.empty()) return 0;
      const auto attached = Segment::attach(name);
      if (!attached || !still_closed(7)) return 5;
      if (!inspect_segment(name) || !list_segments() || !still_closed(7)) return 6;
      return Segment::remove(name) && still_closed(7) ? 0 : 7;
    });
    EXPECT_EQ(child.join(), 0) << to_string(name);
  }
}

TEST_F(ClosedStreams, WhatIsHandedOverIsMovedUp) {
  Child child([] {
    close_streams(7);
    const int handed = open("/dev/null", O_RDONLY);  // as the kernel installs them: the lowest
    if (handed != 0) return 1;
    const detail::UniqueFd taken = detail::take_over(handed);
    if (!taken || taken.get() < 3 || !still_closed(7)) return 2;
    return (fcntl(taken.get(), F_GETFD) & FD_CLOEXEC) != 0 ? 0 : 3;
  });
  EXPECT_EQ(child.join(), 0);
}

TEST_F(ClosedStreams, ALowNumberThatCantBeMovedIsGivenBack) {
  Child child([] {
    close_streams(7);
    const rlimit three{3, 3};
    if (setrlimit(RLIMIT_NOFILE, &three) != 0) return 1;
    const detail::UniqueFd file = detail::open_file("/dev/null", O_RDONLY);
    if (file || errno != EMFILE) return 2;
    detail::UniqueFd reading;
    detail::UniqueFd writing;
    if (detail::open_pipe(reading, writing) || reading || writing) return 3;
    return still_closed(7) ? 0 : 4;
  });
  EXPECT_EQ(child.join(), 0);
}

}  // namespace
}  // namespace rondo
