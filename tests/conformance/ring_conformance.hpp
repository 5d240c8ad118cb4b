// What every ring owes, written once. Contract; each line has a test of the same name, in this
// order, and each test runs in memory, in a file and in shared memory, where the consumer sees the
// ring through a mapping of its own.
//
// Of a ring's life cycle, the last-value cell's included (RingLife):
//  1. AttachFindsWhatCreateMade
//  2. TheInstanceIdIsTheOneGivenOrARandomOne
//  3. ImpossibleParametersMakeNoRing
//  4. CreateTakesAlignedMemoryOfTheRightSizeOnly
//  5. AttachRefusesAHeaderThatDoesNotAddUp
//  6. AJudgedHeaderIsNotReadAgain
// Of its messages (RingMessages):
//  1. AnEmptyRingGivesNothing
//  2. MessagesComeInOrderLapAfterLap
//  3. AFullRingRefusesAndLosesNothing
//  4. AMessageGivenBackFreesRoom
//  5. WhatIsClaimedIsNoMessageUntilItIsCommitted
//  6. AClaimDestroyedNeverHappened
//  7. MessagesKeepTheirSizes
//  8. AMovedMessageIsGivenBackOnce
//  9. ASecondLifeGoesOnWhereTheFirstStopped
// 10. TwoSidesInOneObjectShareNoLine
// Of its batches, if it has any (RingBatches):
//  1. AClaimIsOfExactlySoManyOrNone
//  2. AClaimOfSomeIsOfAsManyAsThereIsRoomFor
//  3. AShrunkClaimPublishesItsFirstMessages
//  4. SomeMessagesAreAsManyAsThereAre
//  5. ExactlySoManyMessagesOrNone (not of mpmc_ring, see there)
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "conformance/ring_traits.hpp"
#include "rondo/core/attachment.hpp"
#include "rondo/core/latest.hpp"
#include "rondo/core/segment.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {

// The cell has no messages, but the life cycle of all.
struct LatestTraits {
  using Ring = latest<std::uint64_t>;
  static constexpr RingKind kKind = RingKind::kLatest;
  static LatestParams params(std::uint64_t instance_id = 0) {
    return {.waiters = 1, .instance_id = instance_id};
  }
  static LatestParams impossible() { return {.buffers = 3}; }
};

// A new ring, made in one mapping and attached to through another one, if there can be one.
template <class Traits>
class Made {
 public:
  using Ring = typename Traits::Ring;
  using Parts = typename Ring::Parts;

  Made(const SegmentName& name, std::uint64_t instance_id)
      : segment_(sound(Segment::create(name, Ring::layout_for(params(instance_id))->total_bytes, {},
                                       [&](std::span<std::byte> bytes) -> Result<void> {
                                         auto made = Ring::create(bytes, params(instance_id));
                                         if (made) created_ = *made;
                                         return made;
                                       }))) {
    if (name.backing != Backing::kHeap) other_.emplace(sound(Segment::attach(name)));
  }

  static auto params(std::uint64_t instance_id) { return Traits::params(instance_id); }
  // Where create() made it, and where attach() finds it.
  [[nodiscard]] const Parts& created() const { return *created_; }
  [[nodiscard]] Result<Parts> attached() const { return Ring::attach(bytes(), "the test's ring"); }
  [[nodiscard]] std::span<std::byte> bytes() const {
    return other_ ? other_->bytes() : segment_.bytes();
  }
  [[nodiscard]] SegmentHeader& header() const {
    return *reinterpret_cast<SegmentHeader*>(bytes().data());
  }

 private:
  std::optional<Parts> created_;
  Segment segment_;
  std::optional<Segment> other_;
};

template <class Traits>
class RingEverywhere : public ::testing::Test {
 protected:
  // Calls body(ring) with a new ring in each place.
  template <class Body>
  void everywhere(const Body& body, std::uint64_t instance_id = 0) {
    const Directory directory;
    const ShmName shm;
    for (const SegmentName& name :
         {SegmentName{Backing::kHeap, {}}, directory.name("ring"), SegmentName(shm)}) {
      SCOPED_TRACE("in " + to_string(name));
      body(Made<Traits>(name, instance_id));
    }
  }
  // The same with a producer and a consumer.
  template <class Body>
  void between(const Body& body) {
    everywhere([&](const Made<Traits>& ring) {
      auto producer = Traits::producer(ring.created());
      ASSERT_TRUE(producer);
      const auto parts = ring.attached();
      ASSERT_TRUE(parts) << parts.error().message;
      auto consumer = Traits::consumer(*parts);
      ASSERT_TRUE(consumer);
      body(*producer, *consumer);
    });
  }

  template <class Producer>
  static bool put(Producer& producer, std::uint64_t number) {
    auto claim = Traits::try_claim(producer);
    if (!claim) return false;
    write(*claim, number);
    std::move(*claim).commit();
    return true;
  }
  // The next message's number, given back at once; 0 if there is none.
  template <class Consumer>
  static std::uint64_t take(Consumer& consumer) {
    const auto message = consumer.try_next();
    return message ? read(*message) : 0;
  }
};

template <class Traits>
class RingLife : public RingEverywhere<Traits> {};
TYPED_TEST_SUITE_P(RingLife);

TYPED_TEST_P(RingLife, AttachFindsWhatCreateMade) {
  this->everywhere([](const auto& ring) {
    const auto parts = ring.attached();
    ASSERT_TRUE(parts) << parts.error().message;
    std::uint64_t got = 0;
    if constexpr (std::is_same_v<TypeParam, LatestTraits>) {
      typename TypeParam::Ring::Writer(ring.created()).store(7);
      ASSERT_EQ(typename TypeParam::Ring::Reader(*parts).try_load(got), LatestRead::kValue);
    } else {
      auto producer = TypeParam::producer(ring.created());
      auto consumer = TypeParam::consumer(*parts);
      ASSERT_TRUE(producer && consumer && RingLife<TypeParam>::put(*producer, 7));
      got = RingLife<TypeParam>::take(*consumer);
    }
    EXPECT_EQ(got, 7u);
  });
}

TYPED_TEST_P(RingLife, TheInstanceIdIsTheOneGivenOrARandomOne) {
  this->everywhere(
      [](const auto& ring) {
        EXPECT_EQ(ring.header().instance_id.load(std::memory_order_relaxed), 77u);
      },
      77);
  std::vector<std::uint64_t> ids;
  this->everywhere([&](const auto& ring) {
    ids.push_back(ring.header().instance_id.load(std::memory_order_relaxed));
  });
  ids.push_back(0);
  std::ranges::sort(ids);
  EXPECT_EQ(std::ranges::adjacent_find(ids), ids.end()) << "two are equal, or one is 0";
}

TYPED_TEST_P(RingLife, ImpossibleParametersMakeNoRing) {
  EXPECT_EQ(code_of(TypeParam::Ring::layout_for(TypeParam::impossible())),
            code_of(ErrorCode::kInvalidCapacity));
  alignas(kPartAlignment) std::array<std::byte, kPartAlignment> some{};
  EXPECT_EQ(code_of(TypeParam::Ring::create(some, TypeParam::impossible())),
            code_of(ErrorCode::kInvalidCapacity));
}

TYPED_TEST_P(RingLife, CreateTakesAlignedMemoryOfTheRightSizeOnly) {
  const auto params = TypeParam::params();
  const std::size_t size = TypeParam::Ring::layout_for(params)->total_bytes;
  const Segment memory = sound(Segment::create({Backing::kHeap, {}}, size + kPartAlignment, {},
                                               [](auto) -> Result<void> { return {}; }));
  const std::span bytes = memory.bytes();
  EXPECT_EQ(code_of(TypeParam::Ring::create(bytes.first(size - 8), params)),
            code_of(ErrorCode::kTooSmall));
  EXPECT_EQ(code_of(TypeParam::Ring::create(bytes.first(size + 8), params)),
            code_of(ErrorCode::kSizeMismatch));
  EXPECT_EQ(code_of(TypeParam::Ring::create(bytes.subspan(8, size), params)),
            code_of(ErrorCode::kMisaligned));
  // Nothing was written.
  EXPECT_EQ(std::ranges::count(bytes, std::byte{0}), std::ssize(bytes));
}

TYPED_TEST_P(RingLife, AttachRefusesAHeaderThatDoesNotAddUp) {
  this->everywhere([](const auto& ring) {
    SegmentHeader& header = ring.header();
    const auto refused = [&](auto& word, auto hostile) {
      const auto honest = word.load(std::memory_order_relaxed);
      word.store(static_cast<decltype(honest)>(hostile), std::memory_order_relaxed);
      const auto parts = ring.attached();
      word.store(honest, std::memory_order_relaxed);
      EXPECT_THAT(message_of(parts), ::testing::HasSubstr("the test's ring"));
      return code_of(parts);
    };
    const auto other = TypeParam::kKind == RingKind::kSpsc ? RingKind::kMpmc : RingKind::kSpsc;
    const auto features = header.feature_bits.load(std::memory_order_relaxed);
    const auto capacity = header.capacity.load(std::memory_order_relaxed);
    const auto total = header.total_bytes.load(std::memory_order_relaxed);
    EXPECT_EQ(refused(header.magic, 0), "not ready");
    EXPECT_EQ(refused(header.magic, 1), "bad magic");
    EXPECT_EQ(refused(header.kind, other), "bad kind");
    EXPECT_EQ(refused(header.layout_version, 1'000), "bad version");
    EXPECT_EQ(refused(header.total_bytes, total + 8), "too small");
    EXPECT_EQ(refused(header.total_bytes, total - 8), "size mismatch");
    EXPECT_EQ(refused(header.capacity, capacity * 1024), "bad geometry");
    EXPECT_EQ(refused(header.capacity, 0), "bad geometry");
    EXPECT_EQ(refused(header.capacity, ~std::uint64_t{0}), "bad geometry");
    EXPECT_EQ(refused(header.participants, ~std::uint32_t{0}), "bad geometry");
    EXPECT_THAT(refused(header.slot_bytes, ~std::uint32_t{0}),
                ::testing::AnyOf("bad geometry", "geometry mismatch"));
    // In a pool the bits are a number.
    EXPECT_EQ(refused(header.feature_bits, features | std::uint64_t{1} << 60),
              TypeParam::kKind == RingKind::kFramePool ? "bad geometry" : "bad version");
    EXPECT_TRUE(ring.attached()) << "it is as it was";
  });
}

// Of a ring's parts: what lies behind the last member has no meaning.
template <class Parts>
constexpr std::size_t bytes_that_count() {
  if constexpr (std::is_same_v<Parts, LatestParts>) {
    return offsetof(LatestParts, waiter_count) + sizeof Parts::waiter_count;
  } else if constexpr (std::is_same_v<Parts, MpmcParts>) {
    return offsetof(MpmcParts, on_consumer_death) + sizeof Parts::on_consumer_death;
  } else {
    static_assert(std::has_unique_object_representations_v<Parts>);
    return sizeof(Parts);
  }
}

// A hostile peer may change it at any time.
TYPED_TEST_P(RingLife, AJudgedHeaderIsNotReadAgain) {
  using Ring = typename TypeParam::Ring;
  const std::size_t size = Ring::layout_for(TypeParam::params())->total_bytes;
  auto found =
      RingSegment::of(sound(Segment::create({Backing::kHeap, {}}, size, {},
                                            [](std::span<std::byte> bytes) -> Result<void> {
                                              return Ring::create(bytes, TypeParam::params());
                                            })),
                      "the test's ring");
  ASSERT_TRUE(found);
  const std::span bytes = found->segment->bytes();
  Geometry other = found->geometry;
  other.kind = TypeParam::kKind == RingKind::kSpsc ? RingKind::kMpmc : RingKind::kSpsc;
  EXPECT_EQ(code_of(Ring::attach(bytes, other, "the test's ring")), code_of(ErrorCode::kBadKind));
  const auto honest = Ring::attach(bytes, "the test's ring");
  ASSERT_TRUE(honest);

  std::ranges::fill(bytes.first(sizeof(SegmentHeader)), std::byte{0xFF});

  const auto ring = Attachment<Ring>::to(*std::move(found), "the test's ring");
  ASSERT_TRUE(ring) << ring.error().message;
  EXPECT_EQ(std::memcmp(&ring->parts(), &*honest, bytes_that_count<typename Ring::Parts>()), 0);
}

REGISTER_TYPED_TEST_SUITE_P(RingLife, AttachFindsWhatCreateMade,
                            TheInstanceIdIsTheOneGivenOrARandomOne, ImpossibleParametersMakeNoRing,
                            CreateTakesAlignedMemoryOfTheRightSizeOnly,
                            AttachRefusesAHeaderThatDoesNotAddUp, AJudgedHeaderIsNotReadAgain);

template <class Traits>
class RingMessages : public RingEverywhere<Traits> {
 protected:
  // Puts messages in, from number `first` on, until the ring is full; returns the number that did
  // not go in. Of a ring that overwrites, `held` then has those that are in the way.
  template <class Producer, class Consumer, class Messages>
  static std::uint64_t fill(Producer& producer, Consumer& consumer, std::uint64_t first,
                            Messages& held) {
    std::uint64_t next = first;
    for (; next < first + 100 && RingEverywhere<Traits>::put(producer, next); ++next) {
      if constexpr (Traits::kOverwrites) {
        if (auto message = consumer.try_next()) held.push_back(std::move(*message));
      }
    }
    return next;
  }
  template <class Consumer>
  using Held = std::deque<typename decltype(std::declval<Consumer&>().try_next())::value_type>;
};
TYPED_TEST_SUITE_P(RingMessages);

TYPED_TEST_P(RingMessages, AnEmptyRingGivesNothing) {
  this->between([](auto& producer, auto& consumer) {
    EXPECT_FALSE(consumer.try_next());
    EXPECT_EQ(consumer.outcome(), ReadOutcome::kEmpty);
    ASSERT_TRUE(TestFixture::put(producer, 1));
    EXPECT_EQ(TestFixture::take(consumer), 1u);
    EXPECT_FALSE(consumer.try_next());
    EXPECT_EQ(consumer.outcome(), ReadOutcome::kEmpty);
  });
}

TYPED_TEST_P(RingMessages, MessagesComeInOrderLapAfterLap) {
  this->between([](auto& producer, auto& consumer) {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    for (int round = 0; round < 100; ++round) {
      const std::size_t count = 1 + static_cast<std::size_t>(round) % (TypeParam::kFits - 1);
      for (std::size_t i = 0; i < count; ++i) ASSERT_TRUE(TestFixture::put(producer, ++sent));
      for (std::size_t i = 0; i < count; ++i) ASSERT_EQ(TestFixture::take(consumer), ++received);
    }
  });
}

TYPED_TEST_P(RingMessages, AFullRingRefusesAndLosesNothing) {
  this->between([](auto& producer, auto& consumer) {
    typename TestFixture::template Held<decltype(consumer)> held;
    const std::uint64_t refused = TestFixture::fill(producer, consumer, 1, held);
    ASSERT_GE(refused - 1, TypeParam::kFits) << "it takes less than it should";
    ASSERT_LT(refused, 100u) << "it is never full";
    EXPECT_FALSE(TypeParam::try_claim(producer));
    EXPECT_EQ(producer.outcome(), ClaimOutcome::kFull);

    std::uint64_t next = 1;
    for (const auto& message : held) EXPECT_EQ(read(message), next++);
    held.clear();
    for (; next < refused; ++next) EXPECT_EQ(TestFixture::take(consumer), next);
    EXPECT_FALSE(consumer.try_next());
  });
}

TYPED_TEST_P(RingMessages, AMessageGivenBackFreesRoom) {
  this->between([](auto& producer, auto& consumer) {
    typename TestFixture::template Held<decltype(consumer)> held;
    std::uint64_t next = TestFixture::fill(producer, consumer, 1, held);
    for (int round = 0; round < 10; ++round, ++next) {
      if (TypeParam::kOverwrites) {
        held.pop_front();
      } else {
        const auto message = consumer.try_next();
        ASSERT_TRUE(message);
        EXPECT_FALSE(TypeParam::try_claim(producer)) << "it is still being read";
      }
      ASSERT_TRUE(TestFixture::put(producer, next)) << "round " << round;
      if (TypeParam::kOverwrites) held.push_back(std::move(*consumer.try_next()));
      EXPECT_FALSE(TestFixture::put(producer, 999)) << "one message made room for two";
    }
  });
}

TYPED_TEST_P(RingMessages, WhatIsClaimedIsNoMessageUntilItIsCommitted) {
  this->between([](auto& producer, auto& consumer) {
    auto claim = TypeParam::try_claim(producer);
    ASSERT_TRUE(claim);
    write(*claim, 1);
    EXPECT_FALSE(consumer.try_next());
    std::move(*claim).commit();
    EXPECT_EQ(TestFixture::take(consumer), 1u);
  });
}

TYPED_TEST_P(RingMessages, AClaimDestroyedNeverHappened) {
  this->between([](auto& producer, auto& consumer) {
    for (std::uint64_t i = 1; i <= 20; ++i) {
      {
        auto claim = TypeParam::try_claim(producer);
        ASSERT_TRUE(claim);
        write(*claim, 999);
      }
      EXPECT_FALSE(consumer.try_next());
      ASSERT_TRUE(TestFixture::put(producer, i));
      EXPECT_EQ(TestFixture::take(consumer), i);
    }
  });
}

TYPED_TEST_P(RingMessages, MessagesKeepTheirSizes) {
  if constexpr (TypeParam::kSized) {
    this->between([](auto& producer, auto& consumer) {
      for (std::size_t size = 0; size <= 24; ++size) {
        auto claim = [&] {
          if constexpr (requires { TypeParam::try_claim(producer, 24); }) {
            return TypeParam::try_claim(producer, 24);
          } else {
            return TypeParam::try_claim(producer);
          }
        }();
        ASSERT_TRUE(claim);
        ASSERT_EQ(bytes_of(*claim).size(), 24u);
        const auto filler = static_cast<std::byte>(size + 1);
        std::ranges::fill(bytes_of(*claim), filler);
        TypeParam::resize(*claim, size);
        std::move(*claim).commit();

        const auto message = consumer.try_next();
        ASSERT_TRUE(message);
        EXPECT_EQ(bytes_of(*message).size(), size);
        EXPECT_EQ(std::ranges::count(bytes_of(*message), filler), static_cast<long>(size));
      }
    });
  } else {
    this->between([](auto& producer, auto& consumer) {
      ASSERT_TRUE(TestFixture::put(producer, 1));
      const auto claim = TypeParam::try_claim(producer);
      const auto message = consumer.try_next();
      ASSERT_TRUE(claim && message);
      EXPECT_EQ(bytes_of(*message).size(), bytes_of(*claim).size()) << "that of a slot";
    });
  }
}

TYPED_TEST_P(RingMessages, AMovedMessageIsGivenBackOnce) {
  this->between([](auto& producer, auto& consumer) {
    for (std::uint64_t i = 1; i < TypeParam::kFits; ++i) {
      ASSERT_TRUE(TestFixture::put(producer, i));
    }
    {
      auto message = consumer.try_next();
      ASSERT_TRUE(message);
      const auto moved = std::move(*message);
      EXPECT_EQ(read(moved), 1u);
    }
    for (std::uint64_t i = 2; i < TypeParam::kFits; ++i) EXPECT_EQ(TestFixture::take(consumer), i);
    EXPECT_FALSE(consumer.try_next());
  });
}

TYPED_TEST_P(RingMessages, ASecondLifeGoesOnWhereTheFirstStopped) {
  this->everywhere([](const auto& ring) {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    const auto parts = ring.attached();
    ASSERT_TRUE(parts);
    for (int life = 0; life < 20; ++life) {
      auto producer = TypeParam::producer(ring.created());
      auto consumer = TypeParam::consumer(*parts);
      ASSERT_TRUE(producer && consumer);
      // One stays for the next life; in the first two there is one to begin with.
      const int count = life == 0 ? 2 : 1 + life % 2;
      for (int i = 0; i < count; ++i) ASSERT_TRUE(TestFixture::put(*producer, ++sent));
      while (received + 1 < sent) ASSERT_EQ(TestFixture::take(*consumer), ++received);
    }
  });
}

// As a benchmark or a test keeps them, and a program with a thread for each side.
TYPED_TEST_P(RingMessages, TwoSidesInOneObjectShareNoLine) {
  this->between([](auto& producer, auto& consumer) {
    struct Both {
      char before;
      std::remove_reference_t<decltype(producer)> one;
      std::remove_reference_t<decltype(consumer)> other;
    };
    EXPECT_EQ(alignof(Both) % kLineBytes, 0u);
    EXPECT_EQ(sizeof(producer) % kLineBytes, 0u);
    EXPECT_EQ(sizeof(consumer) % kLineBytes, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&producer) % kLineBytes, 0u);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&consumer) % kLineBytes, 0u);
  });
}

REGISTER_TYPED_TEST_SUITE_P(RingMessages, AnEmptyRingGivesNothing, MessagesComeInOrderLapAfterLap,
                            AFullRingRefusesAndLosesNothing, AMessageGivenBackFreesRoom,
                            WhatIsClaimedIsNoMessageUntilItIsCommitted,
                            AClaimDestroyedNeverHappened, MessagesKeepTheirSizes,
                            AMovedMessageIsGivenBackOnce, ASecondLifeGoesOnWhereTheFirstStopped,
                            TwoSidesInOneObjectShareNoLine);

template <class Traits>
class RingBatches : public RingEverywhere<Traits> {
 protected:
  // Whether messages lie in two runs, or are asked for by number.
  template <class Messages, class Each>
  static void for_each_in(const Messages& messages, const Each& each) {
    if constexpr (requires { messages.second(); }) {
      const std::size_t elements = messages.first().size() + messages.second().size();
      const std::size_t step = elements / messages.size();  // a raw slot is several bytes
      for (std::size_t i = 0; i < messages.first().size(); i += step) each(messages.first()[i]);
      for (std::size_t i = 0; i < messages.second().size(); i += step) each(messages.second()[i]);
    } else if constexpr (requires { messages[0].data(); }) {
      for (std::size_t i = 0; i < messages.size(); ++i) each(*messages[i].data());
    } else {
      for (std::size_t i = 0; i < messages.size(); ++i) each(messages[i]);
    }
  }
  // Numbers the messages of a claim from `first` on.
  template <class Claim>
  static void number(const Claim& claim, std::uint64_t first) {
    for_each_in(claim, [&](auto& slot) { std::memcpy(&slot, &first, sizeof first), ++first; });
  }
  template <class Messages>
  static std::vector<std::uint64_t> numbers(const Messages& messages) {
    std::vector<std::uint64_t> found;
    for_each_in(messages, [&](const auto& slot) {
      std::memcpy(&found.emplace_back(), &slot, sizeof(std::uint64_t));
    });
    return found;
  }
};
TYPED_TEST_SUITE_P(RingBatches);

TYPED_TEST_P(RingBatches, AClaimIsOfExactlySoManyOrNone) {
  this->between([](auto& producer, auto& consumer) {
    EXPECT_FALSE(producer.try_claim(0));
    EXPECT_FALSE(producer.try_claim(TypeParam::kFits + 1));
    ASSERT_TRUE(TestFixture::put(producer, 1));
    EXPECT_FALSE(producer.try_claim(TypeParam::kFits)) << "one of them is taken";
    auto claim = producer.try_claim(TypeParam::kFits - 1);
    ASSERT_TRUE(claim);
    EXPECT_EQ(claim->size(), TypeParam::kFits - 1);
    TestFixture::number(*claim, 2);
    EXPECT_EQ(TestFixture::take(consumer), 1u);
    EXPECT_FALSE(consumer.try_next());
    std::move(*claim).commit();
    for (std::uint64_t i = 2; i <= TypeParam::kFits; ++i) {
      EXPECT_EQ(TestFixture::take(consumer), i);
    }
  });
}

TYPED_TEST_P(RingBatches, AClaimOfSomeIsOfAsManyAsThereIsRoomFor) {
  this->between([](auto& producer, auto& consumer) {
    EXPECT_FALSE(producer.try_claim_some(0));
    ASSERT_TRUE(TestFixture::put(producer, 1));
    {
      auto claim = producer.try_claim_some(2);
      ASSERT_TRUE(claim);
      EXPECT_EQ(claim->size(), 2u) << "no more than asked for";
      TestFixture::number(*claim, 2);
      std::move(*claim).commit();
    }
    auto claim = producer.try_claim_some(1'000);
    ASSERT_TRUE(claim);
    EXPECT_EQ(claim->size(), TypeParam::kFits - 3);
    TestFixture::number(*claim, 4);
    std::move(*claim).commit();
    EXPECT_FALSE(producer.try_claim_some(1));
    EXPECT_EQ(producer.outcome(), ClaimOutcome::kFull);
    for (std::uint64_t i = 1; i <= TypeParam::kFits; ++i) {
      EXPECT_EQ(TestFixture::take(consumer), i);
    }
  });
}

TYPED_TEST_P(RingBatches, AShrunkClaimPublishesItsFirstMessages) {
  this->between([](auto& producer, auto& consumer) {
    for (std::size_t kept = 0; kept <= 3; ++kept) {
      auto claim = producer.try_claim(3);
      ASSERT_TRUE(claim);
      TestFixture::number(*claim, 10);
      claim->shrink(kept);
      EXPECT_EQ(claim->size(), kept);
      EXPECT_FALSE(consumer.try_next());
      std::move(*claim).commit();
      for (std::size_t i = 0; i < kept; ++i) EXPECT_EQ(TestFixture::take(consumer), 10 + i);
      EXPECT_FALSE(consumer.try_next());
      ASSERT_TRUE(TestFixture::put(producer, 5));
      EXPECT_EQ(TestFixture::take(consumer), 5u);
    }
  });
}

TYPED_TEST_P(RingBatches, SomeMessagesAreAsManyAsThereAre) {
  this->between([](auto& producer, auto& consumer) {
    EXPECT_FALSE(consumer.try_next_some(0));
    EXPECT_FALSE(consumer.try_next_some(2));
    for (std::uint64_t i = 1; i <= 3; ++i) ASSERT_TRUE(TestFixture::put(producer, i));
    {
      const auto messages = consumer.try_next_some(2);
      ASSERT_TRUE(messages);
      EXPECT_THAT(TestFixture::numbers(*messages), ::testing::ElementsAre(1, 2));
    }
    ASSERT_TRUE(TestFixture::put(producer, 4));
    std::vector<std::uint64_t> got;
    // Perhaps not yet all at once.
    while (const auto messages = consumer.try_next_some(1'000)) {
      for (const std::uint64_t number : TestFixture::numbers(*messages)) got.push_back(number);
    }
    EXPECT_THAT(got, ::testing::ElementsAre(3, 4));
  });
}

TYPED_TEST_P(RingBatches, ExactlySoManyMessagesOrNone) {
  if constexpr (TypeParam::kExactReads) {
    this->between([](auto& producer, auto& consumer) {
      EXPECT_FALSE(consumer.try_next(0));
      for (std::uint64_t i = 1; i <= 2; ++i) ASSERT_TRUE(TestFixture::put(producer, i));
      EXPECT_FALSE(consumer.try_next(3));
      ASSERT_TRUE(TestFixture::put(producer, 3));
      {
        const auto messages = consumer.try_next(3);
        ASSERT_TRUE(messages);
        EXPECT_THAT(TestFixture::numbers(*messages), ::testing::ElementsAre(1, 2, 3));
      }
      EXPECT_FALSE(consumer.try_next(1));
    });
  } else {
    this->between([](auto&, auto& consumer) {
      static_assert(
          !requires { consumer.try_next(3); }, "then it is to be tested");
    });
  }
}

REGISTER_TYPED_TEST_SUITE_P(RingBatches, AClaimIsOfExactlySoManyOrNone,
                            AClaimOfSomeIsOfAsManyAsThereIsRoomFor,
                            AShrunkClaimPublishesItsFirstMessages, SomeMessagesAreAsManyAsThereAre,
                            ExactlySoManyMessagesOrNone);

}  // namespace rondo::testing
