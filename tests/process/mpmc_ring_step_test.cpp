// A participant of an MPMC ring dies after each of its instructions, and so does the one who
// recovers it; a survivor goes on each time, with and without a live bystander who is paused in the
// middle.
//
// First test: the participant is single-stepped once through its story. Memory after step n is what
// a kill after step n would leave, so whenever a step has changed it, the survivor goes on in a
// copy; and a recoverer is single-stepped from there, and the survivor goes on from each of its
// steps. All instructions of both are covered. Second test: the same with real kills and the
// kernel's word on who is dead, at every so many instructions; at each of them in
// mpmc_ring_step_soak_test.cpp. The mutants show that the judgement notices.
#include <gtest/gtest.h>

#include <set>

#include "process/mpmc_world.hpp"
#include "process/stepper.hpp"

namespace rondo::testing {
namespace {

struct Unannounced : MpmcDefaultPolicy {
  static constexpr bool kAnnounce = false;
};
struct BlindToTheLiving : MpmcDefaultPolicy {
  static constexpr bool kScanLive = false;
};
struct RecordsBeforeSlots : MpmcDefaultPolicy {
  static constexpr bool kSlotsBeforeAnnouncements = false;
};

struct Counts {
  std::uint64_t instructions = 0;  // that the victim was stopped after
  std::uint64_t states = 0;        // distinct memory contents among them
  std::uint64_t recoverer_instructions = 0;
  std::uint64_t recoverer_states = 0;
  std::uint64_t judgements = 0;
  std::uint64_t failures = 0;
  std::string first_failure;
};

using Image = std::vector<std::byte>;

// Walks through all moments of a story. Owns the shared memory and a scratch copy of it.
template <class Policy>
class Walk {
 public:
  explicit Walk(const Story<Policy>& story, Counts& counts) : story_(story), counts_(counts) {}

  void run() {
    story_.arrange(world_);
    for_each_state([this] { story_.act(world_, kVictim); }, counts_.instructions,
                   [this] {
                     if (!new_state(victim_states_)) return;
                     ++counts_.states;
                     const std::uint32_t dead = story_.long_dead | 1u << kVictim;
                     judge_both_ways(dead, "victim");
                     recoverer_dies_everywhere(dead);
                   });
  }

 private:
  struct Unmap {
    void operator()(std::byte* at) const { munmap(at, World<Policy>::bytes()); }
  };
  using Memory = std::unique_ptr<std::byte, Unmap>;

  static Memory map() {
    void* at = mmap(nullptr, World<Policy>::bytes(), PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) std::abort();
    return Memory(static_cast<std::byte*>(at));
  }
  [[nodiscard]] Image image() const {
    return {memory_.get(), memory_.get() + World<Policy>::bytes()};
  }
  bool new_state(std::set<Image>& known) { return known.insert(image()).second; }

  // Calls `look` at the beginning and whenever an instruction of `act` has changed the memory.
  void for_each_state(const std::function<void()>& act, std::uint64_t& instructions,
                      const std::function<void()>& look) {
    Stepper stepper([&] {
      Stepper::begin();
      act();
      Stepper::end();
    });
    Image before = image();
    look();
    while (stepper.step()) {
      ++instructions;
      if (std::memcmp(before.data(), memory_.get(), before.size()) == 0) continue;
      before = image();
      look();
    }
    if (!stepper.finished()) fail("the process ended in the middle of its story");
  }

  void recoverer_dies_everywhere(std::uint32_t dead) {
    const Image begin = image();
    std::set<Image> known;
    for_each_state(
        [this, dead] {
          StagedLiveness liveness{dead, 0};
          world_.ring.recovery(kRecoverer).all(liveness);
        },
        counts_.recoverer_instructions,
        [&] {
          if (!new_state(known)) return;
          ++counts_.recoverer_states;
          judge_both_ways(dead | 1u << kRecoverer, "recoverer");
        });
    std::memcpy(memory_.get(), begin.data(), begin.size());
  }

  void judge_both_ways(std::uint32_t dead, const char* who) {
    for (const bool with_bystander : {false, true}) {
      std::memcpy(scratch_.get(), memory_.get(), World<Policy>::bytes());
      StagedLiveness liveness{dead, 0};
      ++counts_.judgements;
      const std::string verdict =
          judge(World<Policy>(scratch_.get()), story_.prefilled, liveness, with_bystander);
      if (!verdict.empty()) {
        fail(std::string(who) + " died" + (with_bystander ? ", with a bystander: " : ": ") +
             verdict);
      }
    }
  }
  void fail(const std::string& what) {
    if (counts_.failures++ == 0) counts_.first_failure = std::string(story_.name) + ": " + what;
  }

  Story<Policy> story_;
  Counts& counts_;
  Memory memory_ = map();
  Memory scratch_ = map();
  World<Policy> world_{memory_.get()};
  std::set<Image> victim_states_;
};

template <class Policy>
Counts walk_all(const char* name) {
  alarm(240);
  Counts counts;
  for (const Story<Policy>& story : all_stories<Policy>()) Walk<Policy>(story, counts).run();
  std::printf(
      "%s: victim stopped after %llu instructions (%llu states), recoverers after %llu (%llu "
      "states), %llu judgements, %llu failures\n",
      name, static_cast<unsigned long long>(counts.instructions),
      static_cast<unsigned long long>(counts.states),
      static_cast<unsigned long long>(counts.recoverer_instructions),
      static_cast<unsigned long long>(counts.recoverer_states),
      static_cast<unsigned long long>(counts.judgements),
      static_cast<unsigned long long>(counts.failures));
  if (counts.failures != 0) std::printf("  first: %s\n", counts.first_failure.c_str());
  alarm(0);
  return counts;
}

TEST(MpmcStep, DeathAfterEachInstructionOfVictimAndRecovererIsHealed) {
  const Counts counts = walk_all<MpmcDefaultPolicy>("sound");
  EXPECT_EQ(counts.failures, 0u) << counts.first_failure;
  EXPECT_GT(counts.states, 50u);
  EXPECT_GT(counts.recoverer_states, counts.states);
}

TEST(MpmcStep, WithoutAnnouncementsItIsNot) {
  EXPECT_GT(walk_all<Unannounced>("mutant: nobody announces").failures, 0u);
}
TEST(MpmcStep, WithoutTheScanOfTheLivingItIsNot) {
  EXPECT_GT(walk_all<BlindToTheLiving>("mutant: no scan of live participants").failures, 0u);
}
TEST(MpmcStep, WithRecordsClearedBeforeSlotsItIsNot) {
  EXPECT_GT(walk_all<RecordsBeforeSlots>("mutant: records before slots").failures, 0u);
}

}  // namespace
}  // namespace rondo::testing
