// Contract of messages as frames of a byte stream (stream/framing.hpp). Each line has a test of the
// same name, in this order.
//  1. TheChecksumIsTheStandardOne
//  2. TheInstructionAndTheTableAgree
//  3. EachFormIsWhatOthersWrite
//  4. WhatIsWrittenInAnyPiecesIsReadFromAnyPieces
//  5. EmptyMessagesAreMessagesWhereTheFormHasThem
//  6. ALineMayBeLongerThanWhatIsReadAtOnce
//  7. TheLastLineNeedsNoLineFeed
//  8. BlocksHaveTheirSizeAndTheLastOneTheRest
//  9. AStreamThatIsCutAnywhereNeverEndsInOrder
// 10. AStreamWithMarksEndsOnlyByItsMark
// 11. OneWrongBitIsFoundAtOnce
// 12. AFrameThatIsMissingOrComesTwiceIsFound
// 13. OneHelloAndNoMoreBeforeTheFirstFrame
// 14. WhoInsistsOnChecksumsTakesNoOthers
// 15. AMessageThatIsTooLargeIsNotWaitedFor
// 16. ManyFramesAtOnceAroundTheRingsEnd
// 17. SmallFramesAreHandedOutTogether
#include "stream/framing.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "rondo/transports/local_memory.hpp"
#include "stream/crc32c.hpp"

namespace rondo::detail {
namespace {

using State = FrameReader::State;
using Messages = std::vector<std::string>;

constexpr std::uint64_t kCapacity = 1 << 16;
constexpr std::size_t kChunk = 256;

FrameForm form_of(Framing framing, bool checked = false, std::uint64_t block = 0) {
  FrameForm form;
  form.framing = framing;
  form.checked = checked;
  form.block = block;
  return form;
}

struct NamedForm {
  const char* name;
  FrameForm form;
};
const std::vector<NamedForm>& all_forms() {
  static const std::vector<NamedForm> forms{
      {"rondo", form_of(Framing::kRondo)},       {"checked", form_of(Framing::kRondo, true)},
      {"lines", form_of(Framing::kLines)},       {"length32", form_of(Framing::kLength32)},
      {"varint", form_of(Framing::kVarint)},     {"length32be", form_of(Framing::kLength32Be)},
      {"raw", form_of(Framing::kRaw, false, 16)}};
  return forms;
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// A ring that one thread fills and empties.
struct Ring {
  explicit Ring(std::uint64_t capacity = kCapacity)
      : producer_part(memory.take_zeroed(sizeof(RecordProducerPart), kSharingRange)),
        consumer_part(memory.take_zeroed(sizeof(RecordConsumerPart), kSharingRange)),
        records(memory.take_zeroed(capacity, kSharingRange)),
        parts{new (producer_part.data()) RecordProducerPart{},
              new (consumer_part.data()) RecordConsumerPart{}, records.data(), capacity},
        producer(*record_ring::Producer::attach(parts, EarlyWrap::kNever)) {}

  LocalMemory memory;
  std::span<std::byte> producer_part;
  std::span<std::byte> consumer_part;
  std::span<std::byte> records;
  RecordParts parts;
  record_ring::Producer producer;
};

// What a sender of these messages writes, as a mover that takes `at_once` bytes at most has it.
std::string written(const Messages& messages, FrameForm form, std::size_t at_once = ~std::size_t{},
                    std::uint32_t mark = kEndOfStream) {
  Ring ring;
  FrameWriter writer(ring.parts, form);
  std::string stream;
  const auto move_on = [&] {
    for (auto pieces = writer.pieces(); !pieces.empty(); pieces = writer.pieces()) {
      std::size_t moved = 0;
      for (const auto piece : pieces) {
        const std::size_t taken = std::min(at_once - moved, piece.size());
        stream.append(reinterpret_cast<const char*>(piece.data()), taken);
        moved += taken;
      }
      EXPECT_GT(moved, 0u);
      writer.written(moved);
    }
  };
  for (std::size_t i = 0; i < messages.size(); ++i) {
    std::byte* place = ring.producer.try_reserve(messages[i].size());
    if (place == nullptr) {
      move_on();
      place = ring.producer.try_reserve(messages[i].size());
    }
    EXPECT_NE(place, nullptr);
    if (!messages[i].empty()) std::memcpy(place, messages[i].data(), messages[i].size());
    ring.producer.commit(messages[i].size());
    if (i % 3 == 2) move_on();  // some at once, some alone
  }
  writer.finish(mark);
  move_on();
  return stream;
}

struct Read {
  Messages messages;
  State state = State::kOpen;
  bool to_the_end = false;  // it was not known before all had come
};

// What a receiver makes of these bytes, of which at most `at_once` come with a read. Then the
// stream ends.
Read read(std::string_view stream, FrameForm form, std::size_t at_once = ~std::size_t{},
          bool cut_off = false, std::uint64_t capacity = kCapacity) {
  Ring ring(capacity);
  auto consumer = *record_ring::Consumer::attach(ring.parts, Acknowledge::kLazily, Pacing::kOff);
  std::vector<std::byte> chunk(kChunk);
  FrameReader reader(ring.producer, chunk, form);
  Read result;
  bool over = false;
  for (;;) {
    const bool drained = reader.take_in();
    while (consumer.try_peek() == ReadOutcome::kMessage) {
      result.messages.emplace_back(reinterpret_cast<const char*>(consumer.data()), consumer.size());
      static_cast<void>(consumer.give_back());
    }
    if (!drained) continue;
    result.state = reader.state();
    if (result.state != State::kOpen) return result;
    EXPECT_FALSE(over) << "it does not come to its end";
    if (over) return result;
    if (stream.empty()) {
      reader.ended(cut_off);
      over = result.to_the_end = true;
      continue;
    }
    std::size_t left = std::min(at_once, stream.size());
    std::size_t moved = 0;
    for (const std::span<std::byte> room : reader.room()) {
      const std::size_t taken = std::min(left, room.size());
      if (taken > 0) std::memcpy(room.data(), stream.data(), taken);
      stream.remove_prefix(taken);
      left -= taken;
      moved += taken;
    }
    EXPECT_GT(moved, 0u) << "there is no room for what comes";
    if (moved == 0) return result;
    reader.arrived(moved);
  }
}

Messages mixed_messages() {
  Messages messages;
  for (const std::size_t size : {5, 1, 64, 127, 128, 129, 300, 3, 1000, 16'000, 7, 8, 9, 20'000}) {
    messages.emplace_back(size, static_cast<char>('a' + messages.size()));
  }
  for (int i = 0; i < 400; ++i) messages.push_back("message " + std::to_string(i));
  return messages;
}

std::string joined(const Messages& messages) {
  std::string all;
  for (const std::string& message : messages) all += message;
  return all;
}

TEST(Framing, TheChecksumIsTheStandardOne) {
  // RFC 3720, appendix B.4, and the usual check of nine digits.
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xE3069283u);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\0'))), 0x8A9136AAu);
  EXPECT_EQ(crc32c(bytes_of(std::string(32, '\xFF'))), 0x62A8AB43u);
  EXPECT_EQ(crc32c({}), 0u);
}

TEST(Framing, TheInstructionAndTheTableAgree) {
  std::mt19937 random(7);
  std::string text(300, ' ');
  for (char& c : text) c = static_cast<char>(random());
  for (std::size_t begin = 0; begin < 9; ++begin) {
    for (std::size_t size = 0; size < 280; ++size) {
      const auto bytes = bytes_of(text).subspan(begin, size);
      const std::uint32_t whole = crc32c(bytes);
      ASSERT_EQ(whole, crc32c_by_table(bytes));
      ASSERT_EQ(whole, crc32c(bytes.subspan(size / 3), crc32c(bytes.first(size / 3))));
    }
  }
}

TEST(Framing, EachFormIsWhatOthersWrite) {
  using namespace std::string_literals;
  const std::string large(300, 'x');
  const Messages messages{"ab", large};
  EXPECT_EQ(written(messages, form_of(Framing::kLines)), "ab\n" + large + "\n");
  EXPECT_EQ(written(messages, form_of(Framing::kRaw)), "ab" + large);
  EXPECT_EQ(written(messages, form_of(Framing::kLength32)), "\2\0\0\0ab\x2C\1\0\0"s + large);
  EXPECT_EQ(written(messages, form_of(Framing::kLength32Be)), "\0\0\0\2ab\0\0\1\x2C"s + large);
  EXPECT_EQ(written(messages, form_of(Framing::kVarint)), "\2ab\xAC\2"s + large);
  EXPECT_EQ(written({"ab"}, form_of(Framing::kRondo)), "\2\0\0\0ab\xFF\xFF\xFF\xFF"s);
  EXPECT_EQ(written({}, form_of(Framing::kRondo), ~std::size_t{}, kBrokenStream),
            "\xFD\xFF\xFF\xFF"s);
}

TEST(Framing, WhatIsWrittenInAnyPiecesIsReadFromAnyPieces) {
  const Messages messages = mixed_messages();
  for (const NamedForm& each : all_forms()) {
    SCOPED_TRACE(each.name);
    const std::string whole = written(messages, each.form);
    for (const std::size_t at_once : {1, 3, 16, 1000}) {
      ASSERT_EQ(written(messages, each.form, at_once), whole);
    }
    for (const std::size_t at_once : {1, 2, 5, 255, 256, 257, 100'000}) {
      SCOPED_TRACE(at_once);
      const Read got = read(whole, each.form, at_once);
      EXPECT_EQ(got.state, State::kEnded);
      if (each.form.framing == Framing::kRaw) {
        EXPECT_EQ(joined(got.messages), joined(messages));
      } else {
        ASSERT_EQ(got.messages, messages);
      }
    }
  }
  // As it comes: bytes, cut by the reads.
  const Read raw = read(joined(messages), form_of(Framing::kRaw), 100);
  EXPECT_EQ(joined(raw.messages), joined(messages));
  EXPECT_EQ(raw.messages.front().size(), 100u);
}

TEST(Framing, EmptyMessagesAreMessagesWhereTheFormHasThem) {
  const Messages messages{"", "a", "", "", "b", ""};
  for (const NamedForm& each : all_forms()) {
    SCOPED_TRACE(each.name);
    for (const std::size_t at_once : {1, 1000}) {
      const Read got = read(written(messages, each.form, at_once), each.form, at_once);
      EXPECT_EQ(got.state, State::kEnded);
      EXPECT_EQ(got.messages, each.form.framing == Framing::kRaw ? Messages{"ab"} : messages);
    }
  }
}

TEST(Framing, ALineMayBeLongerThanWhatIsReadAtOnce) {
  for (const std::size_t size : {kChunk - 1, kChunk, kChunk + 1, 2 * kChunk, 5 * kChunk + 7}) {
    const Messages messages{"short", std::string(size, 'x'), "short", "", std::string(size, 'y')};
    for (const std::size_t at_once : {1, 7, 256, 10'000}) {
      const Read got =
          read(written(messages, form_of(Framing::kLines)), form_of(Framing::kLines), at_once);
      ASSERT_EQ(got.messages, messages);
      ASSERT_EQ(got.state, State::kEnded);
    }
  }
}

TEST(Framing, TheLastLineNeedsNoLineFeed) {
  for (const std::size_t size : {1, 255, 256, 257, 3000}) {
    const std::string last(size, 'z');
    const Read got = read("one\n" + last, form_of(Framing::kLines), 50);
    EXPECT_EQ(got.messages, (Messages{"one", last}));
    EXPECT_EQ(got.state, State::kEnded);
    // Half of one that was lost is none.
    const Read lost = read("one\n" + last, form_of(Framing::kLines), 50, true);
    EXPECT_EQ(lost.messages, (Messages{"one"}));
    EXPECT_EQ(lost.state, State::kCutOff);
  }
}

TEST(Framing, BlocksHaveTheirSizeAndTheLastOneTheRest) {
  for (const std::size_t at_once : {1, 9, 10, 11, 1000}) {
    const Read got = read("0123456789abcdefghijXY", form_of(Framing::kRaw, false, 10), at_once);
    EXPECT_EQ(got.messages, (Messages{"0123456789", "abcdefghij", "XY"}));
    EXPECT_EQ(got.state, State::kEnded);
  }
}

TEST(Framing, AStreamThatIsCutAnywhereNeverEndsInOrder) {
  const Messages messages{"first", "second", "", "the third one"};
  for (const NamedForm& each : all_forms()) {
    if (each.form.framing == Framing::kLines || each.form.framing == Framing::kRaw) continue;
    SCOPED_TRACE(each.name);
    const std::string whole = written(messages, each.form);
    std::size_t at_a_boundary = 0;
    for (std::size_t size = 0; size < whole.size(); ++size) {
      const Read got = read(whole.substr(0, size), each.form, 4);
      ASSERT_TRUE(std::equal(got.messages.begin(), got.messages.end(), messages.begin()));
      // Where no mark ends it, only an end between two messages can be meant.
      if (got.state == State::kEnded) {
        ++at_a_boundary;
      } else {
        ASSERT_EQ(got.state, State::kCutOff) << size;
      }
    }
    EXPECT_EQ(at_a_boundary, each.form.framing == Framing::kRondo ? 0 : messages.size());
  }
}

TEST(Framing, AStreamWithMarksEndsOnlyByItsMark) {
  for (const bool checked : {false, true}) {
    const FrameForm form = form_of(Framing::kRondo, checked);
    const std::string broken = written({"a"}, form, ~std::size_t{}, kBrokenStream);
    EXPECT_EQ(read(broken, form).state, State::kBrokenOff);
    EXPECT_EQ(read(written({"a"}, form), form).state, State::kEnded);
  }
}

// With what stands there, and not when the stream has ended: nobody may ever say more.
TEST(Framing, OneWrongBitIsFoundAtOnce) {
  const FrameForm form = form_of(Framing::kRondo, true);
  const Messages messages{"first", "second", std::string(40, 'x')};
  const std::string whole = written(messages, form);
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string wrong = whole;
    wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ 1 << bit % 8);
    const Read got = read(wrong, form);
    ASSERT_EQ(got.state, State::kCorrupt) << bit;
    ASSERT_FALSE(got.to_the_end) << bit;
    ASSERT_TRUE(std::equal(got.messages.begin(), got.messages.end(), messages.begin())) << bit;
    // Who does not insist on checksums misses the announcement alone, and does not take its bytes
    // for a message of that.
    const Read lenient = read(wrong, form_of(Framing::kRondo));
    ASSERT_EQ(lenient.state, State::kCorrupt) << bit;
    ASSERT_TRUE(std::equal(lenient.messages.begin(), lenient.messages.end(), messages.begin()));
  }
}

TEST(Framing, AFrameThatIsMissingOrComesTwiceIsFound) {
  const FrameForm form = form_of(Framing::kRondo, true);
  const std::string whole = written({"aaaa", "bbbb", "cccc"}, form);
  constexpr std::size_t kAnnounced = 4;
  constexpr std::size_t kFrame = 16 + 4;
  std::string missing = whole;
  missing.erase(kAnnounced + kFrame, kFrame);
  EXPECT_EQ(read(missing, form).state, State::kCorrupt);
  EXPECT_EQ(read(missing, form).messages, (Messages{"aaaa"}));
  std::string twice = whole;
  twice.insert(kAnnounced + kFrame, whole.substr(kAnnounced, kFrame));
  EXPECT_EQ(read(twice, form).state, State::kCorrupt);
  // Not announced a second time, nor amid messages that were not checked.
  EXPECT_EQ(read(whole.substr(0, kAnnounced) + whole, form).state, State::kCorrupt);
  const FrameForm plain = form_of(Framing::kRondo);
  const std::string unchecked = written({"aaaa"}, plain).substr(0, 8);
  EXPECT_EQ(read(unchecked + whole, plain).state, State::kCorrupt);
}

TEST(Framing, OneHelloAndNoMoreBeforeTheFirstFrame) {
  using namespace std::string_literals;
  const std::string hello = "\xFE\xFF\xFF\xFF"s;
  for (const bool checked : {false, true}) {
    const FrameForm form = form_of(Framing::kRondo, checked);
    const std::string whole = written({"a", "b"}, form);
    EXPECT_EQ(read(hello + whole, form).state, State::kEnded);
    // A peer that says nothing else would be listened to for ever.
    EXPECT_EQ(read(hello + hello, form).state, State::kCorrupt);
    const std::size_t frame = checked ? 4 + 16 + 1 : 4 + 1;
    std::string amid = whole;
    amid.insert(frame, hello);
    EXPECT_EQ(read(amid, form).state, State::kCorrupt);
    EXPECT_EQ(read(amid, form).messages, (Messages{"a"}));
  }
}

TEST(Framing, WhoInsistsOnChecksumsTakesNoOthers) {
  const FrameForm plain = form_of(Framing::kRondo);
  const FrameForm checked = form_of(Framing::kRondo, true);
  EXPECT_EQ(read(written({"a"}, plain), checked).state, State::kCorrupt);
  EXPECT_EQ(read(written({}, plain), checked).state, State::kCorrupt);
  // Who does not insist takes both, and checks what can be checked.
  std::string whole = written({"a"}, checked);
  EXPECT_EQ(read(whole, plain).state, State::kEnded);
  whole[4 + 16] = 'b';
  EXPECT_EQ(read(whole, plain).state, State::kCorrupt);
}

TEST(Framing, AMessageThatIsTooLargeIsNotWaitedFor) {
  using namespace std::string_literals;
  constexpr std::uint64_t kSmall = 1 << 12;
  const std::string huge(3 * kSmall, 'x');
  for (const NamedForm& each : all_forms()) {
    if (each.form.framing == Framing::kRaw) continue;
    SCOPED_TRACE(each.name);
    const std::string whole = written({"a", huge}, each.form);
    const Read got = read(whole, each.form, 64, false, kSmall);
    EXPECT_EQ(got.state, State::kCorrupt);
    EXPECT_EQ(got.messages, (Messages{"a"}));
  }
  // Lengths that no 32 bits hold, and that never end.
  const FrameForm varint = form_of(Framing::kVarint);
  EXPECT_EQ(read("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\1"s, varint).state, State::kCorrupt);
  EXPECT_EQ(read("\x80\x80\x80\x80\x80\x80"s, varint).state, State::kCorrupt);
  EXPECT_EQ(read("\x80\x80\x80\x80\x10"s, varint).state, State::kCorrupt);
  // A longer way to say a small one is allowed.
  EXPECT_EQ(read("\x81\x80\0a"s, varint).messages, (Messages{"a"}));
}

// More than the writer hands out at once, in batches, several times around a small ring.
TEST(Framing, ManyFramesAtOnceAroundTheRingsEnd) {
  for (const NamedForm& each : all_forms()) {
    SCOPED_TRACE(each.name);
    Ring ring(1 << 14);
    FrameWriter writer(ring.parts, each.form);
    std::string stream;
    Messages messages;
    std::mt19937 random(11);
    const auto move_on = [&] {
      for (auto pieces = writer.pieces(); !pieces.empty(); pieces = writer.pieces()) {
        ASSERT_LE(pieces.size(), FrameWriter::kMaxPieces);
        // All but a part of the last one.
        std::string now;
        for (const auto piece : pieces) {
          now.append(reinterpret_cast<const char*>(piece.data()), piece.size());
        }
        const std::size_t moved = now.size() - std::min<std::size_t>(now.size() - 1, random() % 4);
        stream.append(now, 0, moved);
        writer.written(moved);
      }
    };
    for (int round = 0; round < 40; ++round) {
      ring.producer.begin_batch();
      while (std::byte* place = ring.producer.try_reserve(random() % 8 == 0 ? 900 : 11)) {
        const std::size_t size = 1 + random() % 11;
        std::memset(place, static_cast<int>('a' + messages.size() % 26), size);
        ring.producer.commit(size);
        messages.emplace_back(size, static_cast<char>('a' + messages.size() % 26));
      }
      EXPECT_TRUE(writer.pieces().empty() || round == 0);  // a batch is seen as a whole
      ring.producer.end_batch();
      move_on();
    }
    writer.finish(kEndOfStream);
    move_on();
    EXPECT_GT(messages.size(), 40 * 300u);
    const Read got = read(stream, each.form, 700);
    EXPECT_EQ(got.state, State::kEnded);
    if (each.form.framing == Framing::kRaw) {
      EXPECT_EQ(joined(got.messages), joined(messages));
    } else {
      EXPECT_EQ(got.messages, messages);
    }
  }
}

// The kernel spends on a piece what it takes to copy some hundreds of bytes.
TEST(Framing, SmallFramesAreHandedOutTogether) {
  for (const NamedForm& each : all_forms()) {
    SCOPED_TRACE(each.name);
    Ring ring;
    FrameWriter writer(ring.parts, each.form);
    const auto put = [&](std::initializer_list<std::size_t> sizes) {
      ring.producer.begin_batch();
      for (const std::size_t size : sizes) {
        std::byte* const place = ring.producer.try_reserve(size);
        ASSERT_NE(place, nullptr);
        std::memset(place, 'x', size);
        ring.producer.commit(size);
      }
      ring.producer.end_batch();
    };
    const auto piece_count = [&] {
      const auto pieces = writer.pieces();
      std::size_t bytes = 0;
      for (const auto piece : pieces) bytes += piece.size();
      writer.written(bytes);
      EXPECT_TRUE(writer.pieces().empty());
      return pieces.size();
    };
    put({10, 20, 30, 40});
    EXPECT_EQ(piece_count(), 1u);
    // What is large stays where it is, with what belongs to it beside it.
    put({10, 20, 5000, 30, 40});
    EXPECT_GE(piece_count(), 3u);
  }
}

}  // namespace
}  // namespace rondo::detail
