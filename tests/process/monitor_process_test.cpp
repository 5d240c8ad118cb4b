// A monitor between processes, whose waiters, notifiers and owners are killed at random: nobody who
// notifies waits for them, nobody sleeps for ever, and what is inside stays whole.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "rondo/sync/monitor.hpp"
#include "rondo/sync/named.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

// Tickets pass from one counter to the other and back; their number stays.
struct Tickets {
  std::uint64_t here;
  std::uint64_t there;
};
constexpr std::uint64_t kTickets = 2;
using Monitor = sync::Named<sync::monitor<Tickets>>;

class MonitorBetweenProcesses : public Watchdog {
 protected:
  [[nodiscard]] Monitor open() const {
    auto opened = sync::named<sync::monitor<Tickets>>(
        url_, {.begin = [](auto& part) { part.value.here = kTickets; }});
    if (!opened) {
      std::fprintf(stderr, "%s\n", opened.error().message.c_str());
      std::abort();
    }
    return std::move(opened).value();
  }
  // What one does in turns: moves a ticket, and waits where there is none.
  static void move_one(Monitor& monitor, bool back, std::atomic<std::uint64_t>& turns) {
    auto tickets = monitor.enter();
    const auto repair = [&] {
      if (!tickets.owner_died()) return;
      // Of two stores one may be missing.
      tickets->there = kTickets - tickets->here;
      tickets.make_consistent();
    };
    do {
      repair();
      tickets.wait([&] { return (back ? tickets->there : tickets->here) != 0; });
    } while (tickets.owner_died());
    if (back) {
      ++tickets->here;
      --tickets->there;
    } else {
      --tickets->here;
      ++tickets->there;
    }
    ++turns;
    tickets.notify_one();
  }

  ShmName name_;
  std::string url_ = "shm:" + name_.word();
};

TEST_F(MonitorBetweenProcesses, TicketsPassWhoeverIsKilled) {
  constexpr std::size_t kProcesses = 4;
  const std::uint64_t kills = scaled(300);
  std::mt19937_64 random(random_seed());
  Shared<std::atomic<std::uint64_t>> turns;
  const Monitor watcher = open();
  const auto live = [&](std::size_t self) {
    return [&, self] {
      Monitor monitor = open();
      for (;;) move_one(monitor, self % 2 == 1, *turns);
      return 0;
    };
  };
  std::vector<std::unique_ptr<Child>> children;
  for (std::size_t i = 0; i < kProcesses; ++i) {
    children.push_back(std::make_unique<Child>(live(i)));
  }
  for (std::uint64_t i = 0; i < kills; ++i) {
    // A wake that died with its process, or a mutex, costs a slice; but there are turns again.
    const std::uint64_t before = *turns;
    while (*turns == before) usleep(50);
    usleep(static_cast<useconds_t>(random() % 1000));
    const std::size_t which = random() % kProcesses;
    children[which]->signal(SIGKILL);
    children[which]->join();
    children[which] = std::make_unique<Child>(live(which));
  }
  children.clear();
  std::printf("%llu turns, %llu kills\n", static_cast<unsigned long long>(turns->load()),
              static_cast<unsigned long long>(kills));
  Monitor last = open();
  auto tickets = last.enter();
  if (tickets.owner_died()) {
    tickets->there = kTickets - tickets->here;
    tickets.make_consistent();
  }
  EXPECT_EQ(tickets->here + tickets->there, kTickets);
}

}  // namespace
}  // namespace rondo::testing
