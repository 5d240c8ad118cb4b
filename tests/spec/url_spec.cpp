// Contract of Url. Each line has a test of the same name, in this order.
//   1. ASchemeAndATarget
//   2. OptionsAreTakenIn
//   3. DefaultsWithoutOptions
//   4. EveryOptionOfEverySchemeIsRefusedByTheOthers
//      TimesHaveAUnit, WatermarksAreAnyNumbersButNone
//   5. UnknownSchemesNameTheKnownOnes
//   6. UnknownOptionsNameTheValidOnes
//   7. ImpossibleCapacitiesNameTheNearest
//   8. ImpossibleValuesSayWhatWouldBeRight
//   9. ACapacityTooSmallForTheLargestMessageIsRefused
//  10. NamesAreChecked
//  11. PathsAreChecked
//  12. HostsAndPortsAreChecked
//  13. DescriptorsAreNumbers
//  14. APipeHasNoName
//  15. PercentSignsEscape
//  16. Sizes
//  17. HostileTextIsShownHarmless
//  18. WhatAGuardedRingCannotDoIsRefusedWithTheReason
//  19. ARingOfSlotsHasOptionsOfItsOwn
//  20. APoolOfFramesHasOptionsOfItsOwn
//  21. AHeaderNeedsRoomAndFramesOfOurs
//  22. AnAlignmentNeedsARingWithRoom
//  23. OnlyWhatLiesInASegmentOfThatNameHasOne
#include "rondo/transports/url.hpp"

#include <gmock/gmock.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace rondo {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Url parsed(std::string_view text) {
  auto url = Url::parse(text);
  EXPECT_TRUE(url) << text << ": " << url.error().message;
  return url ? *url : Url{};
}

// The error of a URL that has to be refused, as "code: message".
std::string refusal(std::string_view text) {
  const auto url = Url::parse(text);
  if (url) return "not refused";
  return std::string(to_string(url.error().code)) + ": " + url.error().message;
}
std::string code(ErrorCode code) { return std::string(to_string(code)) + ": "; }

TEST(Url, ASchemeAndATarget) {
  EXPECT_EQ(parsed("shm:ticks").scheme, Scheme::kShm);
  EXPECT_EQ(parsed("shm:ticks").target, "ticks");
  EXPECT_EQ(parsed("file:/tmp/a b:c").target, "/tmp/a b:c");
  EXPECT_EQ(parsed("file:/tmp/ring").scheme, Scheme::kFile);
  EXPECT_EQ(parsed("inproc:x").scheme, Scheme::kInproc);
  EXPECT_EQ(parsed("inproc:").target, "");
  EXPECT_EQ(parsed("pipe:").scheme, Scheme::kPipe);
  EXPECT_EQ(parsed("fd:7").scheme, Scheme::kFd);
  EXPECT_EQ(parsed("fifo:/tmp/f").scheme, Scheme::kFifo);
  EXPECT_EQ(parsed("unix:/tmp/s").scheme, Scheme::kUnix);
  EXPECT_EQ(parsed("unix:/tmp/s?wait=park").name(), "unix:/tmp/s");
}

TEST(Url, OptionsAreTakenIn) {
  const ChannelOptions ring = parsed(
                                  "shm:x?capacity=4MiB&wait=park&ack=eager&await_successor=1&keep="
                                  "1&mode=0640&huge=try&lock=1"
                                  "&numa=2")
                                  .options;
  EXPECT_EQ(ring.capacity, std::uint64_t{4} << 20);
  EXPECT_EQ(ring.wait, WaitMode::kPark);
  EXPECT_EQ(ring.acknowledge, Acknowledge::kEagerly);
  EXPECT_TRUE(ring.await_successor);
  EXPECT_TRUE(ring.keep);
  EXPECT_EQ(ring.segment.mode, 0640u);
  EXPECT_EQ(ring.segment.huge_pages, HugePages::kTry);
  EXPECT_TRUE(ring.segment.lock);
  EXPECT_EQ(ring.segment.numa_node, 2);

  const ChannelOptions stream = parsed("unix:/tmp/s?max=100KiB&mode=0660").options;
  EXPECT_EQ(stream.max_bytes, 100u << 10);
  EXPECT_EQ(stream.segment.mode, 0660u);
  EXPECT_EQ(parsed("shm:x?").options.capacity, std::nullopt);
}

TEST(Url, DefaultsWithoutOptions) {
  const ChannelOptions options = parsed("shm:x").options;
  EXPECT_EQ(options.capacity, std::nullopt);
  EXPECT_EQ(options.max_bytes, std::nullopt);
  EXPECT_EQ(options.wait, WaitMode::kAdaptive);
  EXPECT_EQ(options.acknowledge, Acknowledge::kLazily);
  EXPECT_FALSE(options.await_successor);
  EXPECT_FALSE(options.keep);
  EXPECT_EQ(options.segment.mode, 0600u);
  EXPECT_EQ(options.segment.huge_pages, HugePages::kNo);
  EXPECT_FALSE(options.segment.lock);
  EXPECT_EQ(options.segment.numa_node, -1);
}

TEST(Url, EveryOptionOfEverySchemeIsRefusedByTheOthers) {
  struct Row {
    std::string option;
    std::string valid_for;  // one letter per scheme: s f i p d o u
  };
  const std::array<Row, 14> rows{{{"capacity=64KiB", "sfipdou"},
                                  {"wake_every=32", "sfipdou"},
                                  {"wake_bytes=1KiB", "sfipdou"},
                                  {"wake_after=1ms", "sfipdou"},
                                  {"max=1KiB", "pdou"},
                                  {"wait=spin", "sfipdou"},
                                  {"ack=lazy", "sfi"},
                                  {"await_successor=1", "sfi"},
                                  {"keep=1", "sfo"},
                                  {"mode=0600", "sfou"},
                                  {"group=5&mode=0660", "sf"},
                                  {"huge=try", "sf"},
                                  {"lock=1", "sf"},
                                  {"numa=0", "sf"}}};
  const std::array<std::pair<char, std::string>, 7> schemes{{{'s', "shm:x"},
                                                             {'f', "file:/x"},
                                                             {'i', "inproc:x"},
                                                             {'p', "pipe:"},
                                                             {'d', "fd:0"},
                                                             {'o', "fifo:/x"},
                                                             {'u', "unix:/x"}}};
  for (const Row& row : rows) {
    for (const auto& [letter, url] : schemes) {
      const std::string text = url + "?" + row.option;
      const bool valid = row.valid_for.find(letter) != std::string::npos;
      EXPECT_EQ(Url::parse(text).has_value(), valid) << text;
    }
  }
}

TEST(Url, TimesHaveAUnit) {
  using std::chrono::nanoseconds;
  const std::pair<const char*, std::int64_t> times[] = {
      {"1ns", 1},         {"100us", 100'000},
      {"5ms", 5'000'000}, {"2s", 2'000'000'000},
      {"007us", 7'000},   {"1152921504s", 1'152'921'504'000'000'000}};
  for (const auto& [text, expected] : times) {
    const std::string url = std::string("shm:x?wake_after=") + text;
    EXPECT_EQ(parsed(url).options.wake_after, nanoseconds(expected)) << text;
  }
  for (const char* text : {"", "0ms", "100", "ms", "-1ms", "+1ms", "1.5ms", "1 ms", "1m", "1msx",
                           "1152921505s", "99999999999999999999ns"}) {
    EXPECT_THAT(refusal(std::string("shm:x?wake_after=") + text),
                AllOf(HasSubstr(code(ErrorCode::kInvalidOption)), HasSubstr("100us")))
        << text;
  }
}

TEST(Url, WatermarksAreAnyNumbersButNone) {
  EXPECT_EQ(parsed("shm:x?wake_every=32&wake_bytes=64KiB").options.wake_every, 32u);
  EXPECT_EQ(parsed("shm:x?wake_every=32&wake_bytes=64KiB").options.wake_bytes, 64u << 10);
  EXPECT_EQ(parsed("shm:x").options.wake_every, std::nullopt);
  for (const char* text : {"wake_every=0", "wake_every=1k", "wake_bytes=0", "wake_every=-1"}) {
    EXPECT_THAT(refusal(std::string("shm:x?") + text), HasSubstr("from 1 up")) << text;
  }
  EXPECT_TRUE(Url::parse("shm:x?kind=mpmc&wake_every=2&wake_after=1s"));
  EXPECT_TRUE(Url::parse("shm:x?kind=frames&wake_every=2&wake_after=1s"));
  EXPECT_THAT(refusal("shm:x?kind=mpmc&wake_bytes=1KiB"), HasSubstr("kind=record"));
}

TEST(Url, UnknownSchemesNameTheKnownOnes) {
  for (const char* text : {"shmem:x", "x", "", ":", "SHM:x", "/tmp/x", "http://x"}) {
    EXPECT_THAT(refusal(text), AllOf(HasSubstr(code(ErrorCode::kInvalidUrl)), HasSubstr("shm:"),
                                     HasSubstr("inproc:"), HasSubstr("unix:")))
        << text;
  }
}

TEST(Url, UnknownOptionsNameTheValidOnes) {
  EXPECT_THAT(refusal("shm:x?capcity=1MiB"),
              AllOf(HasSubstr(code(ErrorCode::kInvalidOption)), HasSubstr("'capcity'"),
                    HasSubstr("capacity, slots"), Not(HasSubstr("max"))));
  EXPECT_THAT(refusal("pipe:?lock=1"), AllOf(HasSubstr("'lock'"), HasSubstr("max")));
  EXPECT_THAT(refusal("shm:x?wait"), HasSubstr("needs a value"));
  EXPECT_THAT(refusal("shm:x?&wait=spin"), HasSubstr(code(ErrorCode::kInvalidOption)));
}

TEST(Url, ImpossibleCapacitiesNameTheNearest) {
  EXPECT_THAT(refusal("shm:x?capacity=1000"), AllOf(HasSubstr(code(ErrorCode::kInvalidCapacity)),
                                                    HasSubstr("512"), HasSubstr("1KiB")));
  for (const char* bytes :
       {"0", "1", "32", "128TiB", "1GB", "-1", "", "x", "99999999999999999999"}) {
    EXPECT_THAT(refusal(std::string("shm:x?capacity=") + bytes),
                HasSubstr(code(ErrorCode::kInvalidCapacity)))
        << bytes;
  }
}

TEST(Url, ImpossibleValuesSayWhatWouldBeRight) {
  EXPECT_THAT(refusal("shm:x?wait=sleep"), HasSubstr("spin, pause, yield, adaptive, park"));
  EXPECT_THAT(refusal("shm:x?ack=never"), HasSubstr("lazy, eager or explicit"));
  EXPECT_THAT(refusal("shm:x?keep=yes"), HasSubstr("0 or 1"));
  EXPECT_THAT(refusal("shm:x?await_successor="), HasSubstr("0 or 1"));
  EXPECT_THAT(refusal("shm:x?linger=0"), HasSubstr("await_successor"));
  EXPECT_THAT(refusal("shm:x?huge=1"), HasSubstr("no, try or require"));
  for (const char* mode : {"", "8", "0400", "01777", "rw", "77777777777777"}) {
    EXPECT_THAT(refusal(std::string("shm:x?mode=") + mode), HasSubstr("0600")) << mode;
  }
  for (const char* group : {"", "a:b", "4294967295", "99999999999"}) {
    EXPECT_THAT(refusal(std::string("shm:x?mode=0660&group=") + group), HasSubstr("number"))
        << group;
  }
  for (const char* mode : {"", "&mode=0600", "&mode=0640", "&mode=0606"}) {
    EXPECT_THAT(refusal(std::string("shm:x?group=audio") + mode), HasSubstr("say mode=0660"))
        << mode;
  }
  EXPECT_EQ(parsed("file:/x?group=audio&mode=0660").options.segment.group, "audio");
  EXPECT_THAT(refusal("shm:x?numa=-1"), HasSubstr("node"));
  EXPECT_THAT(refusal("pipe:?max=5GiB"), HasSubstr("at most"));
}

TEST(Url, ACapacityTooSmallForTheLargestMessageIsRefused) {
  EXPECT_THAT(refusal("pipe:?capacity=4KiB&max=4KiB"),
              AllOf(HasSubstr(code(ErrorCode::kInvalidCapacity)), HasSubstr("16KiB")));
  EXPECT_TRUE(Url::parse("pipe:?capacity=16KiB&max=4KiB"));
}

TEST(Url, NamesAreChecked) {
  for (const std::string& name :
       {std::string(), std::string("a/b"), std::string(".."), std::string(".hidden"),
        std::string("a b"), std::string("a\0b", 3), std::string("%00"), std::string(201, 'a')}) {
    EXPECT_THAT(refusal("shm:" + name), HasSubstr(code(ErrorCode::kInvalidName))) << name;
  }
  EXPECT_TRUE(Url::parse("shm:" + std::string(200, 'a')));
  EXPECT_TRUE(Url::parse("shm:Ticks_1.0-x"));
  EXPECT_THAT(refusal("inproc:a/b"), HasSubstr(code(ErrorCode::kInvalidName)));
}

TEST(Url, PathsAreChecked) {
  for (const std::string scheme : {"file:", "fifo:", "unix:"}) {
    EXPECT_THAT(refusal(scheme), HasSubstr("needs a path")) << scheme;
    EXPECT_THAT(refusal(scheme + "/a%00b"), HasSubstr("zero byte")) << scheme;
    EXPECT_THAT(refusal(scheme + "/" + std::string(5000, 'a')), HasSubstr("5001")) << scheme;
  }
  EXPECT_TRUE(Url::parse("unix:/" + std::string(106, 'a')));
  EXPECT_THAT(refusal("unix:/" + std::string(107, 'a')), HasSubstr("can take 107"));
  EXPECT_EQ(parsed("unix:@ticks").target, "@ticks");
  EXPECT_TRUE(Url::parse("unix:@" + std::string(107, 'a')));
  EXPECT_THAT(refusal("unix:@" + std::string(108, 'a')), HasSubstr("can take 108"));
  EXPECT_THAT(refusal("unix:@"), HasSubstr("unix:@ticks"));
  EXPECT_THAT(refusal("unix:@a%00"), HasSubstr("zero byte"));
}

TEST(Url, HostsAndPortsAreChecked) {
  for (const char* target : {"//localhost:7000", "//:0", "//[::1]:65535", "//0.0.0.0:1",
                             "//[fe80::1%25eth0]:80", "//a-b.example.com:7000"}) {
    EXPECT_TRUE(Url::parse(std::string("tcp:") + target)) << target;
  }
  EXPECT_EQ(parsed("tcp://localhost:7000?keepalive=20&listen=1").name(), "tcp://localhost:7000");
  EXPECT_EQ(parsed("tcp://:1?keepalive=15").options.keepalive, std::chrono::seconds(15));
  EXPECT_EQ(parsed("tcp://:1?keepalive=0").options.keepalive, std::chrono::seconds(0));
  // The system would not keep to it.
  EXPECT_THAT(refusal("tcp://:1?keepalive=14"), HasSubstr("15 to 32767, or 0"));
  EXPECT_EQ(parsed("tcp://:1?listen=1").options.listen, true);
  EXPECT_EQ(parsed("tcp://:1").options.listen, std::nullopt);
  for (const char* target :
       {"", "localhost:7000", "//", "//localhost", "//localhost:", "//localhost:x",
        "//localhost:65536", "//localhost:-1", "//::1:7000", "//[::1]", "//[::1]7000", "//[]:1",
        "//[localhost]:1", "//a/b:7000", "//a b:1", "//a:1/"}) {
    EXPECT_THAT(refusal(std::string("tcp:") + target), HasSubstr("tcp://localhost:7000")) << target;
  }
  EXPECT_THAT(refusal("tcp://" + std::string(254, 'a') + ":1"), HasSubstr("tcp://"));
}

TEST(Url, DescriptorsAreNumbers) {
  for (const char* number : {"", "-1", "x", "1x", "99999999999", "0x1"}) {
    EXPECT_THAT(refusal(std::string("fd:") + number), HasSubstr("fd:3")) << number;
  }
}

TEST(Url, APipeHasNoName) { EXPECT_THAT(refusal("pipe:x"), HasSubstr("fifo:PATH")); }

TEST(Url, PercentSignsEscape) {
  EXPECT_EQ(parsed("file:/tmp/a%3Fb%25c%26?keep=1").target, "/tmp/a?b%c&");
  for (const char* text : {"file:/%", "file:/%1", "file:/%zz", "file:/%+1"}) {
    EXPECT_THAT(refusal(text), HasSubstr("%25")) << text;
  }
}

TEST(Url, Sizes) {
  EXPECT_EQ(parse_size("0"), 0u);
  EXPECT_EQ(parse_size("123"), 123u);
  EXPECT_EQ(parse_size("123B"), 123u);
  EXPECT_EQ(parse_size("64KiB"), 65536u);
  EXPECT_EQ(parse_size("64K"), 65536u);
  EXPECT_EQ(parse_size("1MiB"), 1u << 20);
  EXPECT_EQ(parse_size("4GiB"), std::uint64_t{4} << 30);
  for (const char* text :
       {"", "KiB", "1kb", "1 KiB", "-1", "1.5MiB", "18446744073709551616", "17179869184GiB"}) {
    EXPECT_EQ(parse_size(text), std::nullopt) << text;
  }
  for (std::uint64_t bytes : {0ull, 1ull, 1000ull, 1024ull, 65536ull, 3ull << 20, 1ull << 40}) {
    EXPECT_EQ(parse_size(format_size(bytes)), bytes);
  }
  EXPECT_EQ(format_size(65536), "64KiB");
  EXPECT_EQ(format_size(65537), "65537");
}

TEST(Url, HostileTextIsShownHarmless) {
  const std::string message = refusal("\x1b[2Jevil\n" + std::string(100'000, 'x'));
  EXPECT_LT(message.size(), 500u);
  for (const char c : message) EXPECT_GE(c, ' ');
}

TEST(Url, WhatAGuardedRingCannotDoIsRefusedWithTheReason) {
  EXPECT_THAT(refusal("shm+guarded:/x?huge=try"), HasSubstr("one small page"));
  EXPECT_THAT(refusal("shm+guarded:/x?name=desk"), HasSubstr("say from=SEQ"));
  EXPECT_THAT(refusal("shm+guarded:/x?keep=1"), HasSubstr("the ring goes with its sender"));
  EXPECT_THAT(refusal("shm+guarded:/x?colour=red"), HasSubstr("has no option 'colour'; it has"));
}

TEST(Url, ARingOfSlotsHasOptionsOfItsOwn) {
  const auto url = Url::parse(
      "shm:x?slots=1024&slot_size=4KiB&on_consumer_death=drop&kind=mpmc&await_successor=1");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->options.kind, RingKind::kMpmc);
  EXPECT_EQ(url->options.slots, 1024u);
  EXPECT_EQ(url->options.slot_bytes, 4096u);
  EXPECT_EQ(url->options.on_consumer_death, OnConsumerDeath::kDrop);
  EXPECT_EQ(Url::parse("shm:x")->options.kind, std::nullopt);
  EXPECT_EQ(Url::parse("inproc:x?kind=record&capacity=4KiB")->options.kind, RingKind::kRecord);

  EXPECT_THAT(refusal("shm:x?kind=spsc"), HasSubstr("record, mpmc or frames"));
  EXPECT_THAT(refusal("pipe:?kind=mpmc"), HasSubstr("has no option 'kind'"));
  EXPECT_THAT(refusal("shm:x?slots=64"), HasSubstr("say kind=mpmc"));
  EXPECT_THAT(refusal("shm:x?kind=record&slot_size=64"), HasSubstr("say kind=mpmc"));
  EXPECT_THAT(refusal("shm:x?kind=mpmc&capacity=1MiB"), HasSubstr("slots and slot_size"));
  EXPECT_THAT(refusal("shm:x?kind=mpmc&ack=lazy"), HasSubstr("is for kind=record"));
  EXPECT_THAT(refusal("shm:x?kind=mpmc&slots=1000"),
              AllOf(HasSubstr(code(ErrorCode::kInvalidCapacity)), HasSubstr("512 and 1024")));
  for (const char* slots : {"0", "1", "-2", "8GiB", "many"}) {
    EXPECT_THAT(refusal(std::string("shm:x?kind=mpmc&slots=") + slots), HasSubstr("such as 1024"));
  }
  for (const char* size : {"0", "2GiB", "-1", ""}) {
    EXPECT_THAT(refusal(std::string("shm:x?kind=mpmc&slot_size=") + size), HasSubstr("1 to 1GiB"));
  }
  EXPECT_THAT(refusal("shm:x?kind=mpmc&on_consumer_death=keep"), HasSubstr("redeliver or drop"));
}

TEST(Url, APoolOfFramesHasOptionsOfItsOwn) {
  const auto url = Url::parse(
      "file:/x?frames=8&frame_size=12MiB&kind=frames&readers=4&policy=latest&from=newest");
  ASSERT_TRUE(url) << url.error().message;
  EXPECT_EQ(url->options.kind, RingKind::kFramePool);
  EXPECT_EQ(url->options.frames, 8u);
  EXPECT_EQ(url->options.frame_bytes, 12u << 20);
  EXPECT_EQ(url->options.readers, 4u);
  EXPECT_EQ(url->options.reader.policy, ReaderPolicy::kLatest);
  EXPECT_EQ(Url::parse("shm:x?kind=frames")->options.frames, std::nullopt);

  EXPECT_THAT(refusal("shm:x?frames=8"), HasSubstr("say kind=frames"));
  EXPECT_THAT(refusal("shm:x?kind=mpmc&frame_size=8"), HasSubstr("is for kind=frames"));
  EXPECT_THAT(refusal("shm:x?kind=frames&slots=8"), HasSubstr("frames and frame_size"));
  EXPECT_THAT(refusal("shm:x?kind=frames&policy=reliable"), HasSubstr("policy=lossy"));
  EXPECT_EQ(Url::parse("inproc:x?kind=frames&frame_size=8")->options.frame_bytes, 8u);
  EXPECT_EQ(Url::parse("inproc:x?readers=3&name=a&evict=1")->options.reader_name, "a");
  for (const char* frames : {"0", "1", "1025", "many"}) {
    EXPECT_THAT(refusal(std::string("shm:x?kind=frames&frames=") + frames),
                AllOf(HasSubstr(code(ErrorCode::kInvalidCapacity)), HasSubstr("2 to 1024")));
  }
  for (const char* size : {"0", "4GiB", "-1", ""}) {
    EXPECT_THAT(refusal(std::string("shm:x?kind=frames&frame_size=") + size),
                HasSubstr("such as 12MiB"));
  }
}

TEST(Url, AHeaderNeedsRoomAndFramesOfOurs) {
  EXPECT_EQ(parsed("shm:x?header=16").options.header, 16u);
  EXPECT_EQ(parsed("tcp://h:1?header=256&crc=1").options.header, 256u);
  EXPECT_EQ(parsed("shm:x").options.header, std::nullopt);
  for (const char* bytes : {"0", "257", "-1", "many", ""}) {
    EXPECT_THAT(refusal(std::string("shm:x?header=") + bytes), HasSubstr("from 1 to 256"));
  }
  for (const char* framing : {"lines", "raw", "length32", "length32be", "varint"}) {
    EXPECT_THAT(refusal(std::string("fifo:/x?header=8&framing=") + framing),
                HasSubstr("what other programs send has no place for it"));
  }
  EXPECT_THAT(refusal("mq:/x?header=8&framing=raw"), HasSubstr("no place for it"));
  EXPECT_THAT(refusal("shm:x?kind=mpmc&header=250&slot_size=256"), HasSubstr("slot_size=256"));
  EXPECT_EQ(parsed("shm:x?kind=mpmc&header=256").options.header, 256u) << "the ring may have room";
  EXPECT_THAT(refusal("shm:x?kind=frames&header=17&frame_size=24"), HasSubstr("frame_size=24"));
  EXPECT_THAT(refusal("fifo:/x?header=16&max=4294967280"), HasSubstr("no room for header=16"));
  EXPECT_THAT(refusal("fifo:/x?header=256&capacity=64KiB&max=32760"), HasSubstr("it takes 128KiB"));
  EXPECT_THAT(refusal("shm:x?header=256&capacity=256"), HasSubstr("capacity=256"));
}

TEST(Url, AnAlignmentNeedsARingWithRoom) {
  EXPECT_EQ(parsed("shm:x?align=64").options.align, 64u);
  EXPECT_EQ(parsed("inproc:x?align=4096&kind=frames").options.align, 4096u);
  EXPECT_EQ(parsed("shm:x").options.align, std::nullopt);
  for (const char* bytes : {"0", "8", "63", "128", "8192", "64KiB", "-64", ""}) {
    EXPECT_THAT(refusal(std::string("shm:x?align=") + bytes), HasSubstr("64 or 4096"));
  }
  for (const char* url :
       {"fifo:/x", "pipe:", "tcp://h:1", "mq:/x", "auto://h:1", "unix-dgram:/x"}) {
    EXPECT_THAT(refusal(std::string(url) + "?align=64"), HasSubstr("the rings have it"));
  }
  EXPECT_THAT(refusal("shm:x?align=4096&capacity=4KiB"), HasSubstr("capacity=4KiB"));
  EXPECT_THAT(refusal("shm:x?kind=mpmc&header=20&align=64&slot_size=80"),
              HasSubstr("header=20 with align=64 takes 80 bytes"));
  EXPECT_THAT(refusal("shm:x?kind=frames&align=4096&frame_size=4KiB&header=1"),
              HasSubstr("frame_size=4KiB"));
  EXPECT_EQ(parsed("shm:x?kind=mpmc&align=4096").options.align, 4096u) << "the ring may have room";
}

TEST(Url, OnlyWhatLiesInASegmentOfThatNameHasOne) {
  EXPECT_EQ(parsed("shm:x?readers=2").segment()->backing, Backing::kSharedMemory);
  EXPECT_EQ(parsed("shm:x?readers=2").segment()->name, "x");
  EXPECT_EQ(parsed("file:/x").segment()->backing, Backing::kFile);
  for (const char* text : {"shm+guarded:/x", "inproc:x", "pipe:", "fd:3", "fifo:/x", "unix:/x"}) {
    EXPECT_FALSE(parsed(text).segment()) << text;
  }
}

}  // namespace
}  // namespace rondo
