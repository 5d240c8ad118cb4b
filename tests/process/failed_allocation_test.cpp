// An open for which the program's allocator has no memory is an error like any other: it says so,
// throws nothing, ends no process, and leaves no name behind that it made. Each allocation of an
// open is refused in turn.
//
//  1. AtEachAllocationOfAChannel: every transport and kind, both ends
//  2. AtEachAllocationOfATypedRing
//  3. ANewRingOfThisProcessGoesWithItsOpen
//  4. APipeOfAnotherMaker
//
// Once it is open, a handle says so, too, and goes on.
//
//  5. AtEachAllocationOfABatch
//  6. ClosingNeedsNone, also with a descriptor
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "rondo/core/latest_open.hpp"
#include "rondo/core/spsc_open.hpp"
#include "rondo/rondo.hpp"
#include "rondo/sync/mutex.hpp"
#include "rondo/sync/named.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace {
// How many allocations are granted before one is refused; then those that follow are granted again.
constinit thread_local long granted = -1;
constinit thread_local bool refused = false;
}  // namespace

// Not inlined, or gcc takes the pair for a mismatch.
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (granted >= 0 && granted-- == 0) {
    refused = true;
    throw std::bad_alloc();
  }
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
// As the standard library's own, which a sanitizer replaces by one that belongs to its delete.
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
  try {
    return ::operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace rondo {
namespace {

using namespace rondo::testing;

constexpr int kOpened = 10;
constexpr int kFailed = 11;
constexpr int kOpenedWithoutIt = 12;

class FailedAllocation : public Watchdog {
 protected:
  [[nodiscard]] std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(scratch_.path())) {
      names.push_back(entry.path());
    }
    const std::string mine = "test-" + std::to_string(getpid()) + "-";
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
      const std::string name = entry.path();
      if (name.find(mine) != std::string::npos) names.push_back(name);
    }
    return names;
  }

  // `open` says why it failed, or kNoError.
  void at_each_allocation(const std::string& what,
                          const std::function<std::optional<ErrorCode>()>& open) {
    for (long index = 0;; ++index) {
      ASSERT_LT(index, 1000) << what;
      Child child([&] {
        granted = index;
        const auto failed = open();
        granted = -1;
        if (!failed) return refused ? kOpenedWithoutIt : kOpened;
        // Of a guarded sender that has none for a receiver, its receiver learns the kind of it.
        const bool told = *failed == ErrorCode::kNoSpace || *failed == ErrorCode::kNoDescriptors;
        return refused && told ? kFailed : 1;
      });
      const int result = child.join();
      const auto left = names();
      for (const std::string& name : left) unlink(name.c_str());
      EXPECT_TRUE(result == kOpened || result == kFailed || result == kOpenedWithoutIt)
          << what << ", allocation " << index << ": " << result;
      EXPECT_TRUE(left.empty()) << what << ", allocation " << index << ", exit " << result
                                << ", left " << left.front();
      if (result == kOpened) return;
      failures_ += result == kFailed ? 1 : 0;
    }
  }

  ScratchDirectory scratch_;
  long failures_ = 0;
};

template <class T>
std::optional<ErrorCode> why_not(const Result<T>& opened) {
  if (opened) return {};
  return opened.error().code;
}

TEST_F(FailedAllocation, AtEachAllocationOfAChannel) {
  std::vector<std::pair<ChannelCase, std::string>> cases;
  for (const ChannelCase& channel : kChannelCases) {
    cases.emplace_back(channel, options_of(channel, 4096));
    if (channel.has_readers() && channel.processes) {
      cases.emplace_back(channel, options_of(channel, 4096) + "&readers=3");
    }
  }
  for (const ChannelCase& channel : kLossyChannelCases) {
    cases.emplace_back(channel, "kind=frames&frame_size=4KiB");
  }
  for (const auto& [channel, options] : cases) {
    const std::string url = fresh_url(channel, scratch_.path()) + "?" + options;
    at_each_allocation("a pair at " + url, [&, &url = url] {
      return why_not(open_pair(url, {.wait = Deadline::after(std::chrono::seconds(1))}));
    });
    const bool opens_alone =
        channel.ring && channel.processes && channel.target != ChannelCase::Target::kPort;
    if (!opens_alone) continue;
    at_each_allocation("a sender at " + url, [&, &url = url] {
      return why_not(Sender::open(url, {.wait = Deadline::now()}));
    });
  }
  EXPECT_GT(failures_, 100);
}

TEST_F(FailedAllocation, AtEachAllocationOfATypedRing) {
  const std::string name = "shm:" + unique_word();
  at_each_allocation("spsc_ring", [&] { return why_not(spsc_ring<int>::open_producer(name)); });
  at_each_allocation("latest", [&] { return why_not(latest<int>::open_writer(name)); });
  at_each_allocation("mutex", [&] { return why_not(sync::named<sync::mutex>(name)); });
  EXPECT_GT(failures_, 10);
}

// No file tells of it: another one, of another size, can be made under the name.
TEST_F(FailedAllocation, ANewRingOfThisProcessGoesWithItsOpen) {
  const auto goes = [&](const std::string& what, const std::string& url, const std::string& other,
                        auto&& open) {
    at_each_allocation(what + " at " + url, [&]() -> std::optional<ErrorCode> {
      std::optional<ErrorCode> failed = open(url);
      granted = -1;
      if (!failed) return failed;
      if (auto sender = Sender::open(other, {.wait = Deadline::now()}); !sender) {
        return sender.error().code;
      }
      // All that a receiver can do without a sender.
      if (*failed == ErrorCode::kTimedOut) failed.reset();
      return failed;
    });
  };
  const std::string name = "inproc:" + unique_word();
  const auto sender = [](const std::string& url) {
    return why_not(Sender::open(url, {.wait = Deadline::now()}));
  };
  const auto receiver = [](const std::string& url) {
    return why_not(Receiver::open(url, {.wait = Deadline::now()}));
  };
  const auto pair = [](const std::string& url) { return why_not(open_pair(url)); };
  goes("a sender", name + "?capacity=4KiB", name + "?capacity=8KiB", sender);
  goes("a pair", name + "?capacity=4KiB", name + "?capacity=8KiB", pair);
  const std::string readers = "?capacity=4KiB&readers=";
  goes("a sender", name + readers + "2", name + readers + "3", sender);
  goes("a pair", name + readers + "2", name + readers + "3", pair);
  const std::string frames = "?kind=frames&frame_size=64&frames=";
  goes("a sender", name + frames + "4", name + frames + "5", sender);
  goes("a pair", name + frames + "4", name + frames + "5", pair);
  goes("a sender", name + "?kind=mpmc&slots=4", name + "?kind=mpmc&slots=8", sender);
  goes("a receiver", name + "?kind=mpmc&slots=4", name + "?kind=mpmc&slots=8", receiver);
  goes("a pair", name + "?kind=mpmc&slots=4", name + "?kind=mpmc&slots=8", pair);
  EXPECT_GT(failures_, 30);
}

// Its flags are others', too, so it is opened anew.
TEST_F(FailedAllocation, APipeOfAnotherMaker) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  // Of a number that makes its path long.
  const int reading = fcntl(ends[0], F_DUPFD, 100);
  const int writing = fcntl(ends[1], F_DUPFD, 100);
  ASSERT_TRUE(reading >= 100 && writing >= 100);
  at_each_allocation("a sender at fd:", [&] {
    return why_not(Sender::open("fd:" + std::to_string(writing), {.wait = Deadline::now()}));
  });
  at_each_allocation("a receiver at fd:", [&] {
    return why_not(Receiver::open("fd:" + std::to_string(reading), {.wait = Deadline::now()}));
  });
  for (const int fd : {ends[0], ends[1], reading, writing}) close(fd);
  EXPECT_GT(failures_, 3);
}

TEST_F(FailedAllocation, AtEachAllocationOfABatch) {
  int refusals = 0;
  for (long index = 0;; ++index) {
    ASSERT_LT(index, 100);
    auto pair = open_pair("inproc:?kind=mpmc&slots=16&slot_size=256");
    ASSERT_TRUE(pair) << pair.error().message;
    auto& [sender, receiver] = *pair;
    const auto fd = sender.fd();
    ASSERT_TRUE(fd) << fd.error().message;
    refused = false;
    {
      Sender::Batch batch(sender);
      long left = index;
      for (std::uint64_t i = 0; i < 8; ++i) {
        const std::string message = numbered_message(i, i * 32);
        granted = left;
        Status status = batch.try_add(bytes_of(message));
        const bool now = left >= 0 && granted < 0;
        left = std::exchange(granted, -1);
        if (now) {
          ++refusals;
          EXPECT_EQ(status, Status::kNoMemory) << index;
          EXPECT_EQ(sender.status(), Status::kOk) << "it goes on";
          pollfd poll{*fd, POLLIN, 0};
          EXPECT_EQ(::poll(&poll, 1, 0), 1) << "there is room, and its descriptor says so";
          status = batch.try_add(bytes_of(message));
        }
        ASSERT_EQ(status, Status::kOk) << i;
      }
      ASSERT_EQ(std::move(batch).commit(Deadline::now()), Status::kOk);
    }
    for (std::uint64_t i = 0; i < 8; ++i) {
      ASSERT_EQ(receive(receiver), numbered_message(i, i * 32));
    }
    if (!refused) break;
  }
  EXPECT_GT(refusals, 8);
}

// Each member in turn is refused one, and is no member then; the wait itself needs none.
TEST_F(FailedAllocation, AtEachAllocationOfAWaitSet) {
  const std::string message = "message";
  const auto whole = [&]() -> std::optional<ErrorCode> {
    const long index = std::exchange(granted, -1);
    auto pair = open_pair("inproc:?capacity=4KiB");
    auto stream = open_pair("pipe:");
    if (!pair || !stream) return ErrorCode::kCorrupt;
    granted = index;
    auto set = WaitSet::make(WaitMode::kPark);
    if (!set) return set.error().code;
    std::optional<ErrorCode> why;
    std::array<WaitSet::Key, 4> room{};
    const auto add = [&](Result<void> added) {
      if (!added) why = added.error().code;
      // As many members as there were before.
      static_cast<void>(set->wait(room, Deadline::after(std::chrono::microseconds(10))));
    };
    add(set->add(pair->second, 1));
    add(set->add(pair->first, 2, 10));
    add(set->add(stream->second, 3));
    add(set->add_timer(Deadline::after(std::chrono::hours(1)), {}, 4));
    if (pair->first.try_send(bytes_of(message)) != Status::kOk) return ErrorCode::kCorrupt;
    if (!set->wait(room)) return ErrorCode::kCorrupt;
    return why;
  };
  at_each_allocation("a wait set", whole);
  EXPECT_GT(failures_, 3);
}

TEST_F(FailedAllocation, ClosingNeedsNone) {
  for (const ChannelCase& channel : kChannelCases) {
    const std::string url = fresh_url(channel, scratch_.path()) + "?" + options_of(channel, 4096);
    for (const bool descriptors : {false, true}) {
      Child child([&] {
        {
          auto pair = open_pair(url, {.wait = Deadline::after(std::chrono::seconds(1))});
          if (!pair) return 1;
          if (descriptors && (!pair->first.fd() || !pair->second.fd())) return 2;
          granted = 0;
        }
        return refused ? 3 : 0;
      });
      EXPECT_EQ(child.join(), 0) << url << (descriptors ? ", with descriptors" : "");
    }
  }
}

}  // namespace
}  // namespace rondo
