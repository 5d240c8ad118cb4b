// What a receiver makes of datagrams that are lost, doubled, overtaken or others'.
//
//  1. ThoseInOrderAreTaken
//  2. ThoseThatAreMissingAreLost
//  3. ThoseOvertakenAreLateAndThoseDoubledAreDuplicates
//  4. ALateOneIsToldFromADoubleOfItself
//  5. WhatComesFarBehindIsLate
//  6. WhatWasSentBeforeTheFirstIsNotLost
//  7. AnEndBeginsNoSession
//  8. AnotherSenderEndsTheStreamOrIsFollowed
//  9. AnEarlierSendersAreStale
// 10. OthersAndChangedOnesAreDropped
// 11. WhatIsNotWhatItsHeaderSaysIsDropped
// 12. AnotherHeaderIsAMismatch
// 13. WhatWasNotSentIsNumberedAgain
#include "stream/numbered_datagrams.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "rondo/core/record_layout.hpp"

namespace rondo::testing {
namespace {

using detail::DatagramHeader;
using detail::DatagramNumbers;
using detail::DatagramOrder;
using Verdict = DatagramOrder::Verdict;

struct Datagram {
  DatagramHeader header;
  std::vector<std::byte> packet;
};

class Source {
 public:
  explicit Source(std::uint64_t session, std::uint32_t header_bytes = 0)
      : numbers_(session, header_bytes) {}
  // With so many messages of 5 bytes.
  Datagram next(std::uint64_t messages = 1) {
    std::vector<std::byte> packet;
    for (; messages > 0; --messages) {
      append(packet, record_header::make(RecordKind::kRecord, messages_++, 5));
      packet.resize(packet.size() + (messages == 1 ? 5 : 8), std::byte{'x'});
    }
    return made(std::move(packet));
  }
  Datagram mark(RecordKind kind) {
    std::vector<std::byte> packet;
    append(packet, record_header::make(kind, messages_, 0));
    return made(std::move(packet));
  }
  Datagram made(std::vector<std::byte> packet) {
    const DatagramHeader header = numbers_.next(packet);
    return {header, std::move(packet)};
  }
  DatagramNumbers& numbers() { return numbers_; }

 private:
  static void append(std::vector<std::byte>& packet, std::uint64_t word) {
    packet.resize(packet.size() + sizeof word);
    std::memcpy(packet.data() + packet.size() - sizeof word, &word, sizeof word);
  }
  DatagramNumbers numbers_;
  std::uint64_t messages_ = 0;
};

struct NumberedDatagrams : ::testing::Test {
  Verdict judge(const Datagram& datagram) { return judge(datagram, order); }
  static Verdict judge(const Datagram& datagram, DatagramOrder& by) {
    return by.judge(datagram.header, sizeof datagram.header, datagram.packet);
  }
  Source source{7};
  DatagramOrder order{0, false};
};

TEST_F(NumberedDatagrams, ThoseInOrderAreTaken) {
  EXPECT_EQ(judge(source.mark(RecordKind::kPadding)), Verdict::kTake);
  for (std::uint64_t i = 1; i < 5; ++i) EXPECT_EQ(judge(source.next(i)), Verdict::kTake);
  EXPECT_EQ(judge(source.mark(RecordKind::kEnd)), Verdict::kTake);
  EXPECT_EQ(order.counts().lost, 0u);
  EXPECT_EQ(order.counts().datagrams, 6u);
  EXPECT_EQ(order.counts().session, 7u);
}

TEST_F(NumberedDatagrams, ThoseThatAreMissingAreLost) {
  EXPECT_EQ(judge(source.next()), Verdict::kTake);
  source.next(3);
  source.next(4);
  EXPECT_EQ(judge(source.next()), Verdict::kTake);
  EXPECT_EQ(order.counts().lost, 7u);
  source.next(2);
  EXPECT_EQ(judge(source.mark(RecordKind::kBrokenOff)), Verdict::kTake);  // a mark tells, too
  EXPECT_EQ(order.counts().lost, 9u);
}

TEST_F(NumberedDatagrams, ThoseOvertakenAreLateAndThoseDoubledAreDuplicates) {
  const Datagram first = source.next();
  const Datagram second = source.next(2);
  const Datagram third = source.next();
  EXPECT_EQ(judge(first), Verdict::kTake);
  EXPECT_EQ(judge(third), Verdict::kTake);
  EXPECT_EQ(judge(second), Verdict::kDrop);
  EXPECT_EQ(judge(third), Verdict::kDrop);
  EXPECT_EQ(judge(first), Verdict::kDrop);
  EXPECT_EQ(order.counts().lost, 2u);
  EXPECT_EQ(order.counts().late, 1u);
  EXPECT_EQ(order.counts().duplicates, 2u);
}

TEST_F(NumberedDatagrams, ALateOneIsToldFromADoubleOfItself) {
  static_cast<void>(judge(source.next()));
  const Datagram late = source.next();
  static_cast<void>(judge(source.next()));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(judge(late), Verdict::kDrop);
  EXPECT_EQ(order.counts().late, 1u);
  EXPECT_EQ(order.counts().duplicates, 2u);
}

TEST_F(NumberedDatagrams, WhatComesFarBehindIsLate) {
  static_cast<void>(judge(source.next()));
  const Datagram old = source.next();
  static_cast<void>(judge(source.next()));
  for (int i = 0; i < 5000; ++i) source.next();
  const Datagram skipped = source.next();
  static_cast<void>(judge(source.next()));
  EXPECT_EQ(judge(old), Verdict::kDrop);
  EXPECT_EQ(judge(skipped), Verdict::kDrop);  // not taken for one that came long ago
  EXPECT_EQ(order.counts().late, 2u);
  EXPECT_EQ(order.counts().duplicates, 0u);
  EXPECT_EQ(order.counts().lost, 5002u);
}

TEST_F(NumberedDatagrams, WhatWasSentBeforeTheFirstIsNotLost) {
  source.next(10);
  EXPECT_EQ(judge(source.next()), Verdict::kTake);
  EXPECT_EQ(order.counts().before, 10u);
  EXPECT_EQ(order.counts().lost, 0u);
}

TEST_F(NumberedDatagrams, AnEndBeginsNoSession) {
  source.next();
  EXPECT_EQ(judge(source.mark(RecordKind::kEnd)), Verdict::kDrop);
  EXPECT_EQ(order.counts().stale, 1u);
  EXPECT_FALSE(order.has_begun());
}

TEST_F(NumberedDatagrams, AnotherSenderEndsTheStreamOrIsFollowed) {
  DatagramOrder follows(0, true);
  const Datagram ours = source.next();
  EXPECT_EQ(judge(ours), Verdict::kTake);
  EXPECT_EQ(judge(ours, follows), Verdict::kTake);
  Source other(8);
  other.next(3);
  const Datagram others = other.next();
  EXPECT_EQ(judge(others), Verdict::kSuccessor);
  EXPECT_EQ(judge(others, follows), Verdict::kTake);
  EXPECT_EQ(follows.counts().sessions, 2u);
  EXPECT_EQ(follows.counts().lost, 3u);  // we have been there all the time
  EXPECT_EQ(order.counts().sessions, 1u);
}

TEST_F(NumberedDatagrams, AnEarlierSendersAreStale) {
  DatagramOrder follows(0, true);
  Source other(8);
  static_cast<void>(judge(source.next(), follows));
  static_cast<void>(judge(other.next(), follows));
  EXPECT_EQ(judge(source.next(), follows), Verdict::kDrop);
  EXPECT_EQ(judge(source.mark(RecordKind::kEnd), follows), Verdict::kDrop);
  EXPECT_EQ(follows.counts().stale, 2u);
  EXPECT_EQ(judge(other.next(), follows), Verdict::kTake);
}

TEST_F(NumberedDatagrams, OthersAndChangedOnesAreDropped) {
  Datagram short_one = source.next();
  EXPECT_EQ(order.judge(short_one.header, 47, {}), Verdict::kDrop);
  Datagram foreign = source.next();
  foreign.header.magic ^= 1;
  EXPECT_EQ(judge(foreign), Verdict::kDrop);
  EXPECT_EQ(order.counts().foreign, 2u);
  const Datagram sound = source.next(2);
  auto* const bytes = reinterpret_cast<const std::byte*>(&sound.header);
  for (std::size_t bit = 64; bit < 8 * (sizeof sound.header + sound.packet.size()); ++bit) {
    Datagram changed = sound;
    auto* const header = reinterpret_cast<std::byte*>(&changed.header);
    std::memcpy(header, bytes, sizeof changed.header);
    const std::byte flip{static_cast<unsigned char>(1u << bit % 8)};
    const std::size_t at = bit / 8;
    (at < sizeof changed.header ? header[at] : changed.packet[at - sizeof changed.header]) ^= flip;
    EXPECT_EQ(judge(changed), Verdict::kDrop) << bit;
  }
  EXPECT_EQ(judge(sound), Verdict::kTake);
  EXPECT_EQ(order.counts().corrupt, 8 * (sizeof sound.header + sound.packet.size()) - 64);
}

TEST_F(NumberedDatagrams, WhatIsNotWhatItsHeaderSaysIsDropped) {
  const auto forged = [](Datagram datagram, auto change) {
    change(datagram);
    datagram.header.crc = detail::crc_of(datagram.header, datagram.packet);
    return datagram;
  };
  const Datagram sound = source.next(2);
  const Datagram end = source.mark(RecordKind::kEnd);
  const std::vector<Datagram> unsound{
      forged(sound, [](Datagram& one) { one.header.messages = 3; }),
      forged(sound, [](Datagram& one) { one.header.first = 1; }),
      forged(sound, [](Datagram& one) { one.header.mark = DatagramHeader::Mark::kHello; }),
      forged(sound, [](Datagram& one) { one.packet.pop_back(); }),
      forged(sound, [](Datagram& one) { one.packet.clear(); }),
      forged(sound, [](Datagram& one) { one.packet.resize(one.packet.size() + 4); }),
      forged(sound, [](Datagram& one) { one.header.number = ~std::uint64_t{0}; }),
      forged(end, [](Datagram& one) { one.header.mark = DatagramHeader::Mark::kHello; }),
      forged(end, [](Datagram& one) { one.header.messages = 1; }),
      forged(end, [](Datagram& one) { one.packet.resize(16); }),
  };
  for (std::size_t i = 0; i < unsound.size(); ++i) {
    EXPECT_EQ(judge(unsound[i]), Verdict::kDrop) << i;
  }
  EXPECT_EQ(order.counts().corrupt, unsound.size());
  EXPECT_EQ(judge(sound), Verdict::kTake);
  // The numbers of messages go back.
  EXPECT_EQ(judge(forged(sound, [](Datagram& one) { one.header.number = 50; })), Verdict::kDrop);
}

TEST_F(NumberedDatagrams, AnotherHeaderIsAMismatch) {
  Source other(9, 20);
  EXPECT_EQ(judge(other.next()), Verdict::kMismatch);
}

TEST_F(NumberedDatagrams, WhatWasNotSentIsNumberedAgain) {
  static_cast<void>(source.next());
  DatagramNumbers& numbers = source.numbers();
  const Datagram unsent = source.next(3);
  static_cast<void>(source.next());
  numbers.take_back(unsent.header);
  const DatagramHeader again = numbers.next(unsent.packet);
  EXPECT_EQ(again.number, unsent.header.number);
  EXPECT_EQ(again.first, unsent.header.first);
  EXPECT_EQ(again.crc, unsent.header.crc);
}

}  // namespace
}  // namespace rondo::testing
