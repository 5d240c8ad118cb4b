// Real deaths on a small MPMC ring: a process is killed after so many instructions, and the kernel
// says who is dead. See mpmc_world.hpp for what is done and how it is judged.
#pragma once

#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "process/mpmc_world.hpp"
#include "process/stepper.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/segment.hpp"

namespace rondo::testing {

struct KillCounts {
  std::uint64_t kills = 0;
  std::uint64_t failures = 0;
  std::string first_failure;

  void fail(const std::string& what) {
    if (failures++ == 0) first_failure = what;
  }
};

// A world in a memfd, with a survivor and a bystander who hold their liveness locks.
class RealWorld {
 public:
  using W = World<MpmcDefaultPolicy>;

  RealWorld()
      : segment_(take(Segment::create({Backing::kMemfd, ""}, W::bytes(), {},
                                      [](std::span<std::byte>) { return Result<void>(); }))),
        survivor_(joined(kSurvivor)),
        bystander_(joined(kBystander)) {}

  [[nodiscard]] W world() const { return W(segment_.bytes().data()); }

  // The memory as it is now is what rewind() goes back to.
  void remember() { beginning_ = image(); }
  void rewind() { restore(beginning_); }
  [[nodiscard]] std::vector<std::byte> image() const {
    return {segment_.bytes().begin(), segment_.bytes().end()};
  }
  void restore(const std::vector<std::byte>& image) {
    std::memcpy(segment_.bytes().data(), image.data(), image.size());
  }

  // Joins as participant `slot`; from a child too.
  [[nodiscard]] Participants joined(std::uint32_t slot) const {
    Participants participants = take(Participants::open(segment_, geometry()));
    JoinRequest request;
    request.first_slot = slot;
    request.name = "test";
    const W here = world();
    const auto recover = [&](std::uint32_t mine) {
      return !here.ring.recovery(mine).one(mine, participants).pending;
    };
    if (auto result = participants.join(request, recover); !result) {
      std::fprintf(stderr, "%s\n", result.error().message.c_str());
      std::abort();
    }
    return participants;
  }

  // The survivor's judgement, by the kernel's word. Empty: all is well.
  [[nodiscard]] std::string judge(std::uint64_t prefilled, bool with_bystander) {
    return testing::judge(world(), prefilled, survivor_, with_bystander);
  }

 private:
  static Geometry geometry() {
    Geometry result;
    result.kind = RingKind::kMpmc;
    result.participants = kParticipants;
    result.total_bytes = W::bytes();
    return result;
  }
  template <class T>
  static T take(Result<T> result) {
    if (!result) {
      std::fprintf(stderr, "%s\n", result.error().message.c_str());
      std::abort();
    }
    return std::move(result).value();
  }

  Segment segment_;
  Participants survivor_;
  Participants bystander_;
  std::vector<std::byte> beginning_;
};

// Kills the victim of `story` after every `stride`-th of its instructions, from `first` on.
inline void kill_victim_everywhere(const Story<MpmcDefaultPolicy>& story, std::uint64_t first,
                                   std::uint64_t stride, KillCounts& counts) {
  RealWorld real;
  story.arrange(real.world());
  real.remember();
  for (std::uint64_t n = first;; n += stride) {
    real.rewind();
    Stepper victim([&] {
      const Participants me = real.joined(kVictim);
      Stepper::begin();
      story.act(real.world(), kVictim);
      Stepper::end();
    });
    const bool more = victim.step_to(n);
    victim.kill();
    ++counts.kills;
    const std::string verdict = real.judge(story.prefilled, n % 2 == 1);
    if (!verdict.empty()) {
      counts.fail(std::string(story.name) + ", killed after instruction " + std::to_string(n) +
                  ": " + verdict);
    }
    if (!more) return;
  }
}

// As before; then a recoverer, asking the kernel who is dead, is killed after every
// `recoverer_stride`-th of its instructions. Victim's instructions that leave the memory as the one
// before did are passed over, and of the others all but each `image_stride`-th.
inline void kill_recoverer_everywhere(const Story<MpmcDefaultPolicy>& story, std::uint64_t first,
                                      std::uint64_t recoverer_stride, std::size_t image_stride,
                                      KillCounts& counts) {
  RealWorld real;
  story.arrange(real.world());
  std::vector<std::vector<std::byte>> left_behind{real.image()};
  {
    Stepper victim([&] {
      Stepper::begin();
      story.act(real.world(), kVictim);
      Stepper::end();
    });
    while (victim.step()) {
      if (auto image = real.image(); image != left_behind.back()) left_behind.push_back(image);
    }
  }
  for (std::size_t i = first % image_stride; i < left_behind.size(); i += image_stride) {
    for (std::uint64_t n = first;; n += recoverer_stride) {
      real.restore(left_behind[i]);  // the victim is dead: its lock is free
      Stepper recoverer([&] {
        Participants me = real.joined(kRecoverer);
        Stepper::begin();
        real.world().ring.recovery(kRecoverer).all(me);
        Stepper::end();
      });
      const bool more = recoverer.step_to(n);
      recoverer.kill();
      ++counts.kills;
      const std::string verdict = real.judge(story.prefilled, n % 2 == 1);
      if (!verdict.empty()) {
        counts.fail(std::string(story.name) + ", recoverer killed after instruction " +
                    std::to_string(n) + ": " + verdict);
      }
      if (!more) break;
    }
  }
}

// A participant attaches in the place of a dead one, works, and detaches. Killed at each entry into
// and each return from a system call, and `stride` instructions apart in between (0: not).
inline void kill_while_attaching_and_detaching(std::uint64_t stride, KillCounts& counts) {
  RealWorld real;
  {
    const RealWorld::W world = real.world();
    world.prefill(2);
    RealWorld::W::Consumer dead(world.ring, kVictim);  // its message is to be recovered at attach
    auto message = dead.try_next();
    abandon(message);
  }
  real.remember();
  const auto life = [&] {
    Stepper::begin();
    {
      Participants me = real.joined(kVictim);
      const RealWorld::W world = real.world();
      RealWorld::W::Producer producer(world.ring, kVictim);
      if (auto claim = producer.try_claim()) {
        **claim = Note::make(kVictim, 0);
        std::move(*claim).commit();
        world.committed(0);
      }
      me.leave(false);
    }
    Stepper::end();
  };
  const auto after = [&](const char* where, std::uint64_t n) {
    ++counts.kills;
    const std::string verdict = real.judge(2, n % 2 == 1);
    if (!verdict.empty()) {
      counts.fail("attaching, killed at " + std::string(where) + " " + std::to_string(n) + ": " +
                  verdict);
    }
    // The slot has to be free for the next one, locks and all.
    Participants next = real.joined(kVictim);
    next.leave(false);
  };
  for (std::uint64_t n = 1;; ++n) {
    real.rewind();
    Stepper victim(life);
    std::uint64_t calls = 0;
    while (calls < n && victim.run_to_system_call()) ++calls;
    victim.kill();
    after("system call stop", n);
    if (calls < n) break;
  }
  for (std::uint64_t n = stride; stride != 0; n += stride) {
    real.rewind();
    Stepper victim(life);
    const bool more = victim.step_to(n);
    victim.kill();
    after("instruction", n);
    if (!more) break;
  }
}

inline void report(const char* what, const KillCounts& counts) {
  std::printf("%s: %llu kills, %llu failures\n", what,
              static_cast<unsigned long long>(counts.kills),
              static_cast<unsigned long long>(counts.failures));
  if (counts.failures != 0) std::printf("  first: %s\n", counts.first_failure.c_str());
}

}  // namespace rondo::testing
