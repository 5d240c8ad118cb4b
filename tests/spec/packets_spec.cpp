// Contract of packets (stream/packets.hpp). Each line has a test of the same name, in this order.
//  1. MessagesArriveWholeAndInOrder
//  2. ManySmallMessagesGoInOnePacket
//  3. WhatWasNotSentIsSentLater
//  4. AnEmptyMessageIsAPacketWithBytes
//  5. AMarkIsAPacketOfItsOwn
//  6. PaddingHoldsNothingOfWhatWasThere
//  7. ARawPacketIsTheMessageAlone
//  8. AnEmptyPacketIsTheEndOrNoPacketOfOurs
//  9. AnEmptyRawPacketIsAMessageUnlessItIsTheEnd
// 10. AHelloIsPassedOver
// 11. OfAPacketThatIsNotSoundWhatIsSoundArrives
// 12. ACutPacketIsCorrupt, ALargeRawPacketOfAnybodysIsPassedOver
// 13. AMessageThatTheRingCannotHoldIsCorrupt
// 14. OfHeadersIsToldBeforeTheFirstMessageAndNotAlone
#include "stream/packets.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "rondo/transports/local_memory.hpp"
#include "support/packet_queue.hpp"
#include "support/processes.hpp"

namespace rondo::detail {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using testing::PacketQueue;
using testing::PacketQueueEnd;

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

// A staging ring.
struct Ring {
  explicit Ring(std::uint64_t capacity) {
    const auto producer = memory.take_zeroed(sizeof(RecordProducerPart), kSharingRange);
    const auto consumer = memory.take_zeroed(sizeof(RecordConsumerPart), kSharingRange);
    parts = {new (producer.data()) RecordProducerPart{}, new (consumer.data()) RecordConsumerPart{},
             memory.take_zeroed(capacity, kSharingRange).data(), capacity};
  }
  [[nodiscard]] record_ring::Producer producer() const {
    return *record_ring::Producer::attach(parts, EarlyWrap::kNever);
  }
  LocalMemory memory;
  RecordParts parts{};
};

// The sending end, over a queue.
struct Out {
  explicit Out(PacketQueue& queue, PacketForm form = PacketForm::kRecords,
               std::uint64_t capacity = 4096, std::uint32_t header = 0)
      : ring(capacity), outlet(std::make_unique<PacketQueueEnd>(queue), ring.parts, form, header) {}
  // False if there is no room.
  bool put(std::string_view text) {
    std::byte* const room = producer.try_reserve(text.size());
    if (room == nullptr) return false;
    text.copy(reinterpret_cast<char*>(room), text.size());
    producer.commit(text.size());
    return true;
  }
  bool move_on() {
    bool all = false;
    EXPECT_EQ(outlet.move_on(all), Status::kOk);
    return all;
  }
  Ring ring;
  record_ring::Producer producer = ring.producer();
  PacketOutlet outlet;
};

// The receiving end, over a queue.
struct In {
  explicit In(PacketQueue& queue, PacketForm form = PacketForm::kRecords,
              std::uint64_t capacity = 1 << 16)
      : ring(capacity),
        inlet(std::make_unique<PacketQueueEnd>(queue), ring.producer(),
              ring.memory.take_zeroed(PacketInlet::chunk_bytes(queue.max_packet_bytes), 8), form) {}
  // The next message; or why there is none, in angle brackets.
  std::string next() {
    for (;;) {
      const bool drained = inlet.take_in();
      if (consumer.try_peek() == ReadOutcome::kMessage) {
        std::string text = text_of({consumer.data(), consumer.size()});
        consumer.give_back();
        return text;
      }
      if (!drained) continue;
      if (inlet.state() != Status::kOk) return '<' + std::string(to_string(inlet.state())) + '>';
      if (inlet.let_in() == Inlet::Outcome::kNotNow) return "<nothing>";
    }
  }
  Ring ring;
  record_ring::Consumer consumer =
      *record_ring::Consumer::attach(ring.parts, Acknowledge::kLazily, Pacing::kOff);
  PacketInlet inlet;
};

std::string said(Status status) { return '<' + std::string(to_string(status)) + '>'; }

std::vector<std::byte> record(RecordKind kind, std::uint64_t sequence, std::string_view text,
                              std::size_t size) {
  const std::uint64_t word = record_header::make(kind, sequence, static_cast<std::uint32_t>(size));
  std::vector<std::byte> bytes(sizeof word);
  std::memcpy(bytes.data(), &word, sizeof word);
  bytes.insert(bytes.end(), bytes_of(text).begin(), bytes_of(text).end());
  return bytes;
}
std::vector<std::byte> record(std::uint64_t sequence, std::string_view text) {
  return record(RecordKind::kRecord, sequence, text, text.size());
}
std::vector<std::byte> padded(std::vector<std::byte> bytes) {
  bytes.resize(round_up(bytes.size(), 8));
  return bytes;
}
std::vector<std::byte> operator+(std::vector<std::byte> first,
                                 const std::vector<std::byte>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

// Rings of all sizes on both sides, so that packets lie at every place of them, and do not fit.
TEST(Packets, MessagesArriveWholeAndInOrder) {
  std::mt19937_64 random(rondo::testing::random_seed());
  for (int round = 0; round < 60; ++round) {
    const PacketForm form = round % 3 == 0 ? PacketForm::kRaw : PacketForm::kRecords;
    PacketQueue queue{.max_packet_bytes = 64 + random() % 3000, .room = 1 + random() % 20};
    Out out(queue, form, std::uint64_t{1} << (8 + random() % 8));
    In in(queue, form, std::uint64_t{1} << (13 + random() % 4));
    const std::size_t largest =
        std::min({out.producer.max_record_bytes(), out.outlet.max_message_bytes(),
                  in.inlet.max_message_bytes()});
    std::uint64_t put = 0;
    std::uint64_t got = 0;
    const auto message = [&](std::uint64_t number) {
      std::mt19937_64 of(number + static_cast<std::uint64_t>(round) * 1000);
      std::size_t size = of() % (largest + 1) >> of() % 8;
      if (form == PacketForm::kRaw) size = std::max<std::size_t>(size, 1);
      std::string text(size, ' ');
      for (char& c : text) c = static_cast<char>(of());
      return text;
    };
    while (got < 500) {
      for (auto more = random() % 8; more > 0 && out.put(message(put)); --more) ++put;
      queue.most_at_once = 1 + random() % 16;
      static_cast<void>(out.move_on());
      for (auto more = random() % 12; more > 0; --more) {
        const std::string text = in.next();
        if (text == "<nothing>") break;
        ASSERT_EQ(text, message(got)) << "message " << got << " of round " << round;
        ++got;
      }
    }
  }
}

TEST(Packets, ManySmallMessagesGoInOnePacket) {
  PacketQueue queue;
  Out out(queue);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(out.put("sixty-four bytes are 8 and 56 in this place."));
  EXPECT_TRUE(out.move_on());
  EXPECT_EQ(queue.calls, 1u);
  EXPECT_EQ(queue.packets.size(), 1u);
  In in(queue);
  for (int i = 0; i < 40; ++i) EXPECT_EQ(in.next(), "sixty-four bytes are 8 and 56 in this place.");
  EXPECT_EQ(in.next(), "<nothing>");

  // No more than the mechanism takes.
  queue.max_packet_bytes = 100;
  Out narrow(queue);
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(narrow.put("a message of thirty-two bytes ..."));
  EXPECT_TRUE(narrow.move_on());
  EXPECT_EQ(queue.packets.size(), 20u);
}

TEST(Packets, WhatWasNotSentIsSentLater) {
  PacketQueue queue{.max_packet_bytes = 16, .most_at_once = 2, .room = 3};
  Out out(queue);
  for (const char* text : {"1", "2", "3", "4", "5"}) ASSERT_TRUE(out.put(text));
  EXPECT_FALSE(out.move_on());
  EXPECT_EQ(queue.packets.size(), 3u);
  // What has gone is given back, and nothing else.
  EXPECT_EQ(out.ring.parts.consumer->head.load(std::memory_order_relaxed), 3u * 16);
  queue.room = 10;
  EXPECT_TRUE(out.move_on());
  In in(queue);
  for (const char* text : {"1", "2", "3", "4", "5"}) EXPECT_EQ(in.next(), text);
}

TEST(Packets, AnEmptyMessageIsAPacketWithBytes) {
  PacketQueue queue;
  Out out(queue);
  ASSERT_TRUE(out.put(""));
  EXPECT_TRUE(out.move_on());
  EXPECT_THAT(queue.packets, ElementsAre(record(0, "")));
  In in(queue);
  EXPECT_EQ(in.next(), "");
  EXPECT_EQ(in.next(), "<nothing>");
}

TEST(Packets, AMarkIsAPacketOfItsOwn) {
  for (const bool in_order : {true, false}) {
    PacketQueue queue;
    Out out(queue);
    ASSERT_TRUE(out.put("last"));
    out.outlet.finish(in_order);
    EXPECT_TRUE(out.move_on());
    EXPECT_TRUE(out.move_on());
    const RecordKind kind = in_order ? RecordKind::kEnd : RecordKind::kBrokenOff;
    EXPECT_THAT(queue.packets, ElementsAre(record(0, "last"), record(kind, 1, "", 0)));
    In in(queue);
    EXPECT_EQ(in.next(), "last");
    EXPECT_EQ(in.next(), said(in_order ? Status::kEnded : Status::kPeerGone));
    queue.push(record(1, "more"));
    EXPECT_EQ(in.next(), said(in_order ? Status::kEnded : Status::kPeerGone));
  }
  // Raw packets know none.
  PacketQueue queue;
  Out out(queue, PacketForm::kRaw);
  out.outlet.finish(true);
  EXPECT_TRUE(out.move_on());
  EXPECT_THAT(queue.packets, IsEmpty());
}

TEST(Packets, PaddingHoldsNothingOfWhatWasThere) {
  PacketQueue queue;
  Out out(queue);
  for (int i = 0; i < 2; ++i) {
    std::byte* const room = out.producer.try_reserve(16);
    std::memset(room, 0xFF, 16);
    out.producer.commit(1);  // of a claim that was shrunk
  }
  EXPECT_TRUE(out.move_on());
  ASSERT_EQ(queue.packets.size(), 1u);
  const std::vector<std::byte> expected = padded(record(0, "\xFF")) + record(1, "\xFF");
  EXPECT_EQ(queue.packets[0], expected);
}

TEST(Packets, ARawPacketIsTheMessageAlone) {
  PacketQueue queue;
  Out out(queue, PacketForm::kRaw);
  for (const char* text : {"", "one", "", "two", ""}) ASSERT_TRUE(out.put(text));
  EXPECT_TRUE(out.move_on());
  EXPECT_TRUE(out.producer.drained());
  ASSERT_EQ(queue.packets.size(), 2u);
  EXPECT_EQ(text_of(queue.packets[0]), "one");
  EXPECT_EQ(text_of(queue.packets[1]), "two");
  In in(queue, PacketForm::kRaw);
  EXPECT_EQ(in.next(), "one");
  EXPECT_EQ(in.next(), "two");
  queue.over = true;
  EXPECT_EQ(in.next(), said(Status::kEnded));
}

TEST(Packets, AnEmptyPacketIsTheEndOrNoPacketOfOurs) {
  PacketQueue queue;
  queue.push(record(0, "last"));
  queue.over = true;
  In killed(queue);
  EXPECT_EQ(killed.next(), "last");
  EXPECT_EQ(killed.next(), said(Status::kPeerDied));

  queue.over = false;
  queue.push({});
  In fooled(queue);
  EXPECT_EQ(fooled.next(), said(Status::kCorrupt));
}

TEST(Packets, AnEmptyRawPacketIsAMessageUnlessItIsTheEnd) {
  PacketQueue queue;
  queue.push({});
  queue.push(bytes_of("x"));
  queue.push({});
  In in(queue, PacketForm::kRaw);
  EXPECT_EQ(in.next(), "");
  EXPECT_EQ(in.next(), "x");
  EXPECT_EQ(in.next(), "");
  EXPECT_EQ(in.next(), "<nothing>");
  queue.push({});
  queue.push(bytes_of("behind"));
  queue.over = true;
  EXPECT_EQ(in.next(), "");
  EXPECT_EQ(in.next(), "behind");
  EXPECT_EQ(in.next(), said(Status::kEnded));
}

TEST(Packets, AHelloIsPassedOver) {
  PacketQueue queue;
  queue.push(record(RecordKind::kPadding, 0, "", 0));
  queue.push(record(0, "first"));
  In in(queue);
  EXPECT_EQ(in.next(), "first");
  EXPECT_EQ(in.next(), "<nothing>");
}

TEST(Packets, OfAPacketThatIsNotSoundWhatIsSoundArrives) {
  const std::vector<std::byte> sound = padded(record(0, "sound"));
  const std::vector<std::vector<std::byte>> unsound{
      {std::byte{1}},
      std::vector<std::byte>(7),
      std::vector<std::byte>(8),
      std::vector<std::byte>(64, std::byte{0xFF}),
      record(RecordKind::kRecord, 1, "short", 6),
      record(RecordKind::kRecord, 1, "short", 0xFFFFFFFF),
      record(RecordKind::kRecord, 1, "short", 0x80000000),
      record(2, "one is missing"),
      record(0, "once more"),
      record(RecordKind::kEnd, 1, "", 0),  // not of its own
      record(RecordKind::kEnd, 1, "", 8),
      record(RecordKind::kPadding, 1, "", 0),
      record(RecordKind::kNothing, 1, "", 0),
  };
  for (const std::uint64_t capacity : {1 << 10, 1 << 16}) {  // copied; received in the ring
    for (const std::vector<std::byte>& bytes : unsound) {
      PacketQueue queue;
      queue.push(sound + bytes);
      queue.push(record(1, "behind"));
      In in(queue, PacketForm::kRecords, capacity);
      EXPECT_EQ(in.next(), "sound");
      EXPECT_EQ(in.next(), said(Status::kCorrupt));
      EXPECT_EQ(in.next(), said(Status::kCorrupt));
    }
    for (const std::vector<std::byte>& bytes : unsound) {
      PacketQueue queue;
      queue.push(bytes);
      In in(queue, PacketForm::kRecords, capacity);
      EXPECT_THAT(in.next(), ::testing::AnyOf(said(Status::kCorrupt), "once more"));
    }
  }
}

TEST(Packets, ACutPacketIsCorrupt) {
  for (const PacketForm form : {PacketForm::kRecords, PacketForm::kRaw}) {
    PacketQueue queue{.max_packet_bytes = 64};
    In in(queue, form);
    queue.push(form == PacketForm::kRaw ? std::vector<std::byte>(65)
                                        : record(0, std::string(100, 'x')));
    EXPECT_EQ(in.next(), said(Status::kCorrupt));
  }
}

TEST(Packets, ALargeRawPacketOfAnybodysIsPassedOver) {
  for (const std::uint64_t capacity : {1 << 10, 1 << 16}) {  // copied; received in the ring
    PacketQueue queue{.max_packet_bytes = 4096, .anybodys = true};
    In in(queue, PacketForm::kRaw, capacity);
    const std::vector<std::byte> large(capacity == 1 << 10 ? 2000 : 4097, std::byte{1});
    queue.push(large);
    EXPECT_EQ(in.next(), "<nothing>");
    for (const std::string_view text : {"one", "two"}) {
      queue.push(large);
      queue.push(bytes_of(text));
      queue.push(large);
    }
    EXPECT_EQ(in.next(), "one");
    EXPECT_EQ(in.next(), "two");
    EXPECT_EQ(in.next(), "<nothing>");
  }
}

TEST(Packets, AMessageThatTheRingCannotHoldIsCorrupt) {
  PacketQueue queue;
  queue.push(padded(record(0, "fits")) + record(1, std::string(2000, 'x')));
  In in(queue, PacketForm::kRecords, 1024);
  EXPECT_EQ(in.next(), "fits");
  EXPECT_EQ(in.next(), said(Status::kCorrupt));
}

TEST(Packets, OfHeadersIsToldBeforeTheFirstMessageAndNotAlone) {
  const auto mark = record(RecordKind::kPadding, 0, "", 20);
  PacketQueue queue;
  Out out(queue, PacketForm::kRecords, 4096, 20);
  EXPECT_TRUE(out.move_on());
  EXPECT_THAT(queue.packets, IsEmpty());
  ASSERT_TRUE(out.put("one"));
  EXPECT_TRUE(out.move_on());
  ASSERT_TRUE(out.put("two"));
  EXPECT_TRUE(out.move_on());
  EXPECT_THAT(queue.packets, ElementsAre(mark, record(0, "one"), record(1, "two")));

  queue.packets.clear();
  Out empty(queue, PacketForm::kRecords, 4096, 20);
  empty.outlet.finish(true);
  EXPECT_TRUE(empty.move_on());
  EXPECT_THAT(queue.packets, ElementsAre(mark, record(RecordKind::kEnd, 0, "", 0)));
}

}  // namespace
}  // namespace rondo::detail
