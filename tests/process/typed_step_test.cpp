// What the other side of a typed handle does between two instructions of it, and is not told
// wrongly for: it comes, or it comes and dies.
//
//   1. WhoComesDuringALookIsNotTakenForDead
//   2. WhoDiesWhileAReceiverIsMadeIsToldToIt
//   3. WhoDiesWhileASenderIsMadeIsToldToIt
//   4. WhoDiesWhileAReaderIsMadeIsToldToIt
//   5. AWriterForgetsNoReaderThatLives
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include "process/stepper.hpp"
#include "rondo/core/latest_open.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/transports/typed.hpp"
#include "rondo/transports/typed_latest.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using Word = std::uint64_t;
using Ring = spsc_ring<Word>;
using Cell = latest<Word>;

template <class Opened>
Opened must(Result<Opened> opened) {
  if (!opened) throw std::runtime_error(opened.error().message);
  return std::move(opened).value();
}

class TypedSteps : public Watchdog {
 protected:
  // Opens a handle in a child, and meanwhile, behind the last lock that this gives back and then
  // ever later, lets a peer come and die. `open` returns what tells the handle's end.
  using Told = std::function<Status()>;
  using Act = std::function<void()>;
  void opening_is_told_of_a_death(const std::function<Told()>& open, const Act& peer,
                                  const Act& before) {
    const auto victim = [&] {
      static_cast<void>(Segment::remove({Backing::kFile, path_}));
      before();
      Stepper::begin();
      const Told told = open();
      Stepper::end();
      _exit(static_cast<int>(told()));
    };
    // Once here: what is bound at its first call is no step any more.
    before();
    static_cast<void>(open());
    int joined = 0;  // stops until it is a participant
    {
      Stepper counted(victim);
      for (int stop = 1; counted.run_to_system_call(); ++stop) {
        if (counted.unlocks()) joined = stop;
      }
    }
    at_moments_of(victim, joined, [&](Stepper& stepper) {
      Child dying([&] {
        peer();
        return 1;
      });
      ASSERT_EQ(dying.join(), -SIGKILL);
      ASSERT_EQ(stepper.run_to_exit(), static_cast<int>(Status::kPeerDied));
    });
  }

  // Runs `victim` to its `stops`th stop at a system call, and some instructions on, in each turn
  // some more, up to its end.
  static void at_moments_of(const Act& victim, int stops,
                            const std::function<void(Stepper&)>& act) {
    const auto run = [&](Stepper& stepper, std::uint64_t steps) {
      for (int stop = 0; stop < stops; ++stop) ASSERT_TRUE(stepper.run_to_system_call());
      stepper.step_to(steps);
    };
    std::uint64_t rest = 0;
    {
      Stepper counted(victim);
      run(counted, kMost);
      rest = counted.steps();
    }
    constexpr std::uint64_t kMoments = 25;
    const std::uint64_t stride = std::max<std::uint64_t>(rest / kMoments, 1);
    for (std::uint64_t steps = 0; steps <= rest; steps += stride) {
      SCOPED_TRACE("after instruction " + std::to_string(steps) + " of " + std::to_string(rest));
      Stepper stepper(victim);
      run(stepper, steps);
      act(stepper);
      if (HasFatalFailure()) return;
    }
    std::printf("%llu instructions\n", static_cast<unsigned long long>(rest));
  }
  static constexpr std::uint64_t kMost = 3000;  // the handle is made by then

  Directory directory_;
  std::string path_ = directory_.path("ring");
  std::string url_ = "file:" + path_;
  TypedOptions options_{.slots = 4};
};
// Not for ever: one that is not told fails.
Deadline soon() { return Deadline::after(std::chrono::seconds(10)); }

// A first one that left in order, if any, did so in the table alone: as writers of a cell do.
TEST_F(TypedSteps, WhoComesDuringALookIsNotTakenForDead) {
  for (const bool one_left : {false, true}) {
    const auto come = [&] {
      return must(detail::join_typed<Word>(url_, options_, Role::kProducer)).ring;
    };
    const auto look = [&] {
      auto place = must(detail::join_typed<Word>(url_, options_, Role::kConsumer));
      detail::TypedEnd end(std::move(place.ring), Ring::kProducerSlot, 1, place.gone_before,
                           options_);
      if (one_left) come().leave([](bool) { return false; });
      Stepper::begin();
      const Status told = end.lost([] { return false; });
      Stepper::end();
      _exit(static_cast<int>(told));
    };
    // It asks the kernel twice.
    at_moments_of(look, 4, [&](Stepper& stepper) {
      const auto ring = come();
      const int told = stepper.run_to_exit();
      EXPECT_TRUE(told == static_cast<int>(Status::kOk) ||
                  (one_left && told == static_cast<int>(Status::kPeerGone)))
          << to_string(static_cast<Status>(told));
    });
  }
}

TEST_F(TypedSteps, WhoDiesWhileAReceiverIsMadeIsToldToIt) {
  opening_is_told_of_a_death(
      [&]() -> Told {
        auto receiver =
            std::make_shared<TypedReceiver<Word>>(must(TypedReceiver<Word>::open(url_, options_)));
        return [receiver] { return receiver->next(soon()).status(); };
      },
      [&] {
        const auto sender = must(TypedSender<Word>::open(url_, options_));
        kill(getpid(), SIGKILL);
      },
      [] {});
}

TEST_F(TypedSteps, WhoDiesWhileASenderIsMadeIsToldToIt) {
  opening_is_told_of_a_death(
      [&]() -> Told {
        auto sender =
            std::make_shared<TypedSender<Word>>(must(TypedSender<Word>::open(url_, options_)));
        return [sender] {
          Status status = Status::kOk;
          while (status == Status::kOk) status = sender->send(1, soon());
          return status;
        };
      },
      [&] {
        const auto receiver = must(TypedReceiver<Word>::open(url_, options_));
        kill(getpid(), SIGKILL);
      },
      [] {});
}

// Of a cell that never had a writer.
TEST_F(TypedSteps, WhoDiesWhileAReaderIsMadeIsToldToIt) {
  opening_is_told_of_a_death(
      [&]() -> Told {
        auto reader = std::make_shared<LatestReader<Word>>(must(LatestReader<Word>::open(url_)));
        return [reader] { return reader->next(soon()).status(); };
      },
      [&] {
        const auto writer = must(LatestWriter<Word>::open(url_));
        kill(getpid(), SIGKILL);
      },
      [&] {
        const SegmentName name{Backing::kFile, path_};
        const LatestParams params{.waiters = 1};
        must(Segment::create(name, Cell::layout_for(params)->total_bytes, {},
                             [&](std::span<std::byte> bytes) -> Result<void> {
                               must(Cell::create(bytes, params));
                               return {};
                             }));
      });
}

// A writer that rings for one that sleeps asks now and then whether that one lives.
TEST_F(TypedSteps, AWriterForgetsNoReaderThatLives) {
  const auto store = [&] {
    auto writer = must(LatestWriter<Word>::open(url_, {.readers = 1}));
    Stepper::begin();
    for (Word i = 0; i < 70; ++i) writer.store(i);
    Stepper::end();
    kill(getpid(), SIGKILL);
  };
  for (const bool predecessor_died : {false, true}) {
    for (int come = 0, stops = 1; come < stops; ++come) {
      Stepper stepper(store);
      const auto open = [&] { return must(LatestReader<Word>::open(url_)); };
      std::optional<LatestReader<Word>> reader;
      if (predecessor_died) {
        Child dying([&] {
          const auto dead = open();
          kill(getpid(), SIGKILL);
          return 1;
        });
        ASSERT_EQ(dying.join(), -SIGKILL);
      } else {
        reader.emplace(open());
      }
      const auto segment = must(Segment::attach({Backing::kFile, path_}));
      const LatestParts parts = must(Cell::attach(segment.bytes()));
      parts.waiter(0).state.fetch_or(BellWaiter::kAsleep, std::memory_order_relaxed);
      const auto awaited = [&] {
        return parts.writer->awaiting.load(std::memory_order_relaxed) != 0;
      };
      for (stops = 0; stepper.run_to_system_call(); ++stops) {
        ASSERT_TRUE(predecessor_died || awaited()) << "forgotten at stop " << stops;
        if (stops == come && !reader) reader.emplace(open());
      }
      EXPECT_GT(stops, 1);
      EXPECT_TRUE(awaited()) << "forgotten, came at stop " << come;
      reader.reset();
    }
  }
}

}  // namespace
}  // namespace rondo::testing
