// A camera, and three processes that look at its 4K frames where they lie, in a pool of eight: one
// gets every frame, one holds a frame for long and goes on at the newest, one dies with two frames
// in its hands. The camera waits for none of them.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <rondo/core/attachment.hpp>
#include <rondo/core/frame_pool.hpp>
#include <rondo/sync/deadline.hpp>
#include <rondo/sync/doorbell.hpp>
#include <string_view>
#include <thread>
#include <utility>

using namespace std::chrono_literals;
using rondo::frame_pool;

const rondo::SegmentName kName{rondo::Backing::kSharedMemory, "example-camera"};
// With 5 = readers * pins + 2 the camera always finds a frame, whatever the readers hold; 3 more
// are for readers that fall behind.
const rondo::FramePoolParams kParams{
    .frames = 8, .frame_bytes = 3840 * 2160 * 3 / 2, .readers = 3, .pins = 1};

template <class T>
T must(rondo::Result<T> result) {
  if (result) return std::move(result.value());
  std::cerr << result.error().message << '\n';
  std::exit(1);
}

// A process that takes part; whoever comes first makes the pool. Leaves in order, and the last one
// removes the name.
struct Member {
  rondo::Attachment<frame_pool> pool;

  explicit Member(const rondo::JoinRequest& request)
      : pool(must(rondo::Attachment<frame_pool>::open_or_create({kName}, kParams, request))) {}
  ~Member() {
    pool.leave([](bool last) { return last; });
  }
  [[nodiscard]] const rondo::FramePoolParts& parts() const { return pool.parts(); }
};

int film() {
  Member me(
      {.first_slot = frame_pool::kProducerSlot, .role = rondo::Role::kProducer, .name = "camera"});
  frame_pool::Producer camera(me.parts());
  rondo::BroadcastNotifier bell(me.parts().producer->publish_notifier);
  for (std::uint32_t i = 0; i < me.parts().reader_count; ++i) {
    static_cast<void>(bell.watch(me.parts().reader(i).publish_waiter));
  }
  auto next = std::chrono::steady_clock::now();
  for (int n = 1; n <= 60; ++n) {
    auto frame = camera.try_claim();
    if (!frame) return std::cerr << "all frames are held\n", 1;  // kParams forbid it
    std::ranges::fill(frame->bytes(), static_cast<std::byte>(camera.number() + 1));
    std::move(*frame).commit();
    bell.notify();
    if (n % 30 == 0) {
      rondo::for_each_held(me.parts(), [](const rondo::HeldFrame& held) {
        std::cout << "camera: reader " << held.reader << " holds frame " << held.number << ", "
                  << held.behind << " behind\n";
      });
      const auto dead = rondo::recover_dead_readers(me.parts(), me.pool.participants());
      if (dead != 0) std::cout << "camera: got back what " << dead << " dead reader(s) held\n";
    }
    std::this_thread::sleep_until(next += 20ms);
  }
  camera.close();
  bell.notify();
  std::cout << "camera: " << camera.number() << " frames" << std::endl;
  return 0;
}

// Looks at each frame, from its first byte to its last, for as long as `look` takes.
template <class Look>
int watch(std::string_view name, bool newest, Look look) {
  Member me({.first_slot = frame_pool::kFirstReaderSlot,
             .slot_count = kParams.readers,
             .role = rondo::Role::kConsumer,
             .name = name});
  frame_pool::Consumer reader(me.parts(), me.pool.slot() - frame_pool::kFirstReaderSlot);
  rondo::Waiter waiter(me.parts().reader(reader.index()).publish_waiter,
                       me.parts().producer->publish_notifier);
  auto patience = rondo::Deadline::after(5s);
  for (;;) {
    if (const auto frame = newest ? reader.try_newest() : reader.try_next()) {
      look(*frame);
      const auto whole =
          std::ranges::count(frame->bytes(), static_cast<std::byte>(frame->number()));
      if (static_cast<std::size_t>(whole) != frame->bytes().size()) return 2;  // never
      patience = rondo::Deadline::after(5s);
    } else if (reader.outcome() != rondo::ReadOutcome::kEmpty || patience.passed()) {
      break;
    } else {
      static_cast<void>(waiter.sleep_once([&] { return reader.changed(); }, patience));
    }
  }
  waiter.leave();
  std::cout << name << ": got " << reader.stats().received << ", lost " << reader.stats().lost
            << std::endl;
  return 0;
}

template <class Work>
void start(Work work) {
  if (fork() == 0) std::exit(work());
}

int main() {
  using Frame = rondo::frame_pool::Message;
  start([] { return watch("fast", false, [](const Frame&) {}); });
  start(
      [] { return watch("slow", true, [](const Frame&) { std::this_thread::sleep_for(300ms); }); });
  start([] {
    return watch("crashing", false, [](const Frame& frame) {
      if (frame.number() >= 20) std::_Exit(0);
    });
  });
  start(film);
  int failed = 0;
  for (int status = 0; wait(&status) > 0;) failed |= status;
  return failed == 0 ? 0 : 1;
}
