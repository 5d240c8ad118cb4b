// Every interleaving of a look at an absent peer with peers that leave, die and come meanwhile:
// what it says is true of one that was there.
#include "endpoint/absence.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <vector>

namespace rondo::inline RONDO_ABI::detail {
namespace {

// The place that the look is at, step by step as Participants::enter() and leave() change it.
struct Place {
  bool held = true;
  std::uint64_t comings = 1;
  bool closed_in_order = false;
  bool one_died = false;  // of those that have been there
  bool one_left = false;
};

using Step = void (*)(Place&);

constexpr Step kClosesInOrder = [](Place& place) { place.closed_in_order = place.one_left = true; };
constexpr Step kLeaves = [](Place& place) { place.held = false; };
constexpr Step kDies = [](Place& place) {
  place.held = false;
  place.one_died = true;
};
constexpr Step kComes = [](Place& place) { place.held = true; };
constexpr Step kCounts = [](Place& place) { ++place.comings; };
constexpr Step kWipesTheClose = [](Place& place) { place.closed_in_order = false; };

// Looks while the others have done so many of `steps` before each of its own five questions.
Absence look(const std::vector<Step>& steps, std::vector<std::size_t> before, Place& place) {
  std::size_t done = 0;
  std::size_t question = 0;
  const auto meanwhile = [&] {
    for (const std::size_t until = before.at(question++); done < until; ++done) steps[done](place);
  };
  return probe_absence(
      [&] {
        meanwhile();
        return place.held ? Presence::kPresent : Presence::kAbsent;
      },
      [&] {
        meanwhile();
        return place.comings;
      },
      [&] {
        meanwhile();
        return place.closed_in_order;
      });
}

// Calls `judge` with what each interleaving came to, and the place as it was at the look's end.
template <class Judge>
void in_every_way(const std::vector<Step>& steps, Judge&& judge) {
  std::vector<std::size_t> before(5, 0);
  const auto from = [&](auto& self, std::size_t question, std::size_t least) -> void {
    if (question == before.size()) {
      Place place;
      const Absence absence = look(steps, before, place);
      judge(absence, place);
      return;
    }
    for (std::size_t n = least; n <= steps.size(); ++n) {
      before[question] = n;
      self(self, question + 1, n);
    }
  };
  from(from, 0, 0);
}

std::vector<Step> joined(std::initializer_list<std::vector<Step>> lives) {
  std::vector<Step> all;
  for (const auto& life : lives) all.insert(all.end(), life.begin(), life.end());
  return all;
}
const std::vector<Step> kLeaving{kClosesInOrder, kLeaves};
const std::vector<Step> kDying{kDies};
const std::vector<Step> kComing{kComes, kCounts, kWipesTheClose};

TEST(Absence, ASuccessorIsNoDeath) {
  std::set<Absence> met;
  for (const auto& steps : {joined({kLeaving, kComing}), joined({kLeaving, kComing, kLeaving}),
                            joined({kLeaving, kComing, kLeaving, kComing, kLeaving})}) {
    in_every_way(steps, [&](Absence absence, const Place& place) {
      EXPECT_NE(absence, Absence::kDied);
      EXPECT_TRUE(place.one_left || absence != Absence::kLeft);
      met.insert(absence);
    });
  }
  EXPECT_EQ(met, (std::set{Absence::kNone, Absence::kLeft}));
}

TEST(Absence, APeerThatLeftBesideADeathIsToldAsOneOfBoth) {
  std::set<Absence> met;
  for (const auto& steps :
       {joined({kDying, kComing, kLeaving}), joined({kLeaving, kComing, kDying}),
        joined({kDying, kComing, kLeaving, kComing})}) {
    in_every_way(steps, [&](Absence absence, const Place& place) {
      EXPECT_TRUE(place.one_left || absence != Absence::kLeft);
      EXPECT_TRUE(place.one_died || absence != Absence::kDied);
      met.insert(absence);
    });
  }
  EXPECT_EQ(met.size(), 3u);
}

TEST(Absence, ADeathIsFoundOnceNoPeerComes) {
  for (const auto& steps : {kDying, joined({kLeaving, kComing, kDying})}) {
    Place place;
    EXPECT_EQ(look(steps, std::vector(5, steps.size()), place), Absence::kDied);
  }
}

TEST(Absence, AProbeThatFailsTellsNothing) {
  const auto unknown = [] { return Presence::kUnknown; };
  const auto none = [] { return std::uint64_t{1}; };
  EXPECT_EQ(probe_absence(unknown, none, [] { return true; }), Absence::kNone);
  EXPECT_EQ(probe_absence(unknown, none, [] { return false; }), Absence::kNone);
}

// A waiter that is told of a death by such a number, and did not look in between, is told of the
// next one, too: of another place, of a successor in the same one, of both.
TEST(Absence, EachDeathChangesTheNumberThatTellsOfIt) {
  std::set<std::uint64_t> numbers{0};
  for (std::uint32_t a = 0; a < 8; ++a) {
    for (std::uint64_t a_joins = 1; a_joins < 20; ++a_joins) {
      EXPECT_TRUE(numbers.insert(death_mark(a, a_joins)).second);
      for (std::uint64_t b_joins = 1; b_joins < 20; ++b_joins) {
        const std::uint64_t both = death_mark(a, a_joins) + death_mark(100 + a, b_joins);
        EXPECT_TRUE(numbers.insert(both).second);
      }
    }
  }
}

}  // namespace
}  // namespace rondo::inline RONDO_ABI::detail
