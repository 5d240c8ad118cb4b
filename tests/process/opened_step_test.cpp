// The one who opens a ring by its name dies: after each of its instructions, and at each of its
// system calls. Whatever it leaves, the next ones open, pass messages and leave nothing behind.
//
// After each instruction: the victim is single-stepped once through opening (from where there is a
// name on), a message and leaving.
// What stands at the name after an instruction is what a kill there would leave, but for the
// victim's locks, which a copy under another name lacks: whenever it has changed, successors open
// the copy. At each system call: the victim is killed there, with its locks and names, and
// successors open what it left itself. A careless one, which makes its ring under the name and
// fills it then, shows that the judgement notices.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>

#include "process/each_system_call.hpp"
#include "process/stepper.hpp"
#include "rondo/core/latest_open.hpp"
#include "rondo/core/spsc_open.hpp"
#include "rondo/transports/typed.hpp"
#include "rondo/transports/typed_latest.hpp"
#include "support/processes.hpp"
#include "support/segment_fixture.hpp"

namespace rondo::testing {
namespace {

using Ring = spsc_ring<std::uint64_t>;
using Cell = latest<std::uint64_t>;
using Act = std::function<void(const std::string& url)>;
// What is wrong with what is left at a name; empty if nothing.
using Verdict = std::function<std::string(const std::string& url)>;

constexpr SpscParams kFour{.capacity = 4};
// For what comes, and for what may come by a probe of the peer's life.
constexpr std::chrono::seconds kLong{60};
constexpr std::chrono::milliseconds kMoment{1};

void produce(const std::string& url) {
  auto producer = Ring::open_producer(url, kFour);
  if (producer) static_cast<void>(producer->try_push(1));
}
void consume(const std::string& url) {
  auto consumer = Ring::open_consumer(url, kFour);
  if (consumer) static_cast<void>(consumer->try_pop());
}
// The same through the typed handles, three values and the end.
constexpr std::uint64_t kValues = 3;
void send(const std::string& url) {
  auto sender = TypedSender<std::uint64_t>::open(url, {.slots = 4, .timeout = {}});
  if (!sender) return;
  for (std::uint64_t i = 0; i < kValues; ++i) static_cast<void>(sender->try_send(i));
  static_cast<void>(sender->close());
}
void receive(const std::string& url) {
  auto receiver = TypedReceiver<std::uint64_t>::open(url, {.slots = 4});
  if (!receiver) return;
  while (receiver->try_next()) {
  }
}
// Says that it has come to its end before it has.
void send_carelessly(const std::string& url) {
  {
    auto sender = TypedSender<std::uint64_t>::open(url, {.slots = 4, .timeout = {}});
    if (!sender || sender->try_send(0) != Status::kOk) return;
  }
  send(url);
}
void store(const std::string& url) {
  auto writer = LatestWriter<std::uint64_t>::open(url, {.readers = 1});
  if (writer) writer->store(1);
}
// What readers find that come after the writer.
void store_and_leave(const std::string& url) {
  auto writer = LatestWriter<std::uint64_t>::open(url, {.readers = 1, .keep = true});
  if (writer) writer->store(1);
}
std::uint64_t value_of(const Polled<std::uint64_t>& polled) { return polled ? *polled : 0; }
void read_latest(const std::string& url) {
  auto reader = LatestReader<std::uint64_t>::open(url, {.wait = WaitMode::kPark, .timeout = {}});
  if (!reader) return;
  while (reader->try_next()) {
  }
  static_cast<void>(reader->next(Deadline::after(kMoment)));
}
void write(const std::string& url) {
  auto writer = Cell::open_writer(url);
  if (writer) writer->store(1);
}
// A ring that grows under its name.
void produce_carelessly(const std::string& url) {
  const std::string path = url.substr(std::strlen("file:"));
  SpscParams params = kFour;
  params.participants = 2;
  std::ofstream(path).close();
  std::filesystem::permissions(path, std::filesystem::perms(0600));
  std::filesystem::resize_file(path, Ring::layout_for(params)->total_bytes);
  const auto segment = Segment::attach({Backing::kFile, path});
  if (segment) static_cast<void>(Ring::create(segment->bytes(), params));
  static_cast<void>(Segment::remove({Backing::kFile, path}));
}

std::string judge_ring(const std::string& url) {
  {
    auto producer = Ring::open_producer(url, kFour);
    if (!producer) return "no successor of the producer: " + producer.error().message;
    auto consumer = Ring::open_consumer(url, kFour);
    if (!consumer) return "no successor of the consumer: " + consumer.error().message;
    std::optional<std::uint64_t> got = consumer->try_pop();
    if (got && *got != 1) return "a message that nobody sent";
    for (std::uint64_t i = 0; i < 8; ++i) {
      if (!producer->try_push(i)) return "no room";
      while (got = consumer->try_pop(), !got) {
        if (consumer->outcome() == ReadOutcome::kCorrupt) return "no message";
      }
      if (*got != i) return "another message";
    }
  }
  return std::filesystem::exists(url.substr(std::strlen("file:"))) ? "the name is left" : "";
}
std::string judge_cell(const std::string& url) {
  {
    auto writer = Cell::open_writer(url);
    if (!writer) return "no successor of the writer: " + writer.error().message;
    auto reader = Cell::open_reader(url);
    if (!reader) return "no reader: " + reader.error().message;
    std::uint64_t value = 1;
    if (reader->try_load(value) == LatestRead::kBusy || value != 1) return "no last value";
    writer->store(2);
    if (reader->try_load(value) != LatestRead::kValue || value != 2) return "no next value";
  }
  return std::filesystem::exists(url.substr(std::strlen("file:"))) ? "the name is left" : "";
}

// The values up to somewhere, and their end only behind the last; then another stream.
std::string judge_stream(const std::string& url) {
  {
    auto receiver = TypedReceiver<std::uint64_t>::open(url, {.slots = 4});
    if (!receiver) return "no successor of the receiver: " + receiver.error().message;
    std::optional<std::uint64_t> last;
    auto value = receiver->try_next();
    // Whoever dies may leave a few to be read again, or all read.
    for (; value; value = receiver->try_next()) {
      if (*value >= kValues || (last && *value != *last + 1)) return "another value";
      last = *value;
    }
    Status told = value.status();
    if (told == Status::kWouldBlock) told = receiver->next(Deadline::after(kMoment)).status();
    const bool whole = last && *last == kValues - 1;
    if (told == Status::kEnded && last && !whole) return "an end before the last value";
    if (told == Status::kTimedOut && last) return "neither an end nor a death";
    if (told == Status::kCorrupt) return "corrupt";
    receiver->close();
    auto sender = TypedSender<std::uint64_t>::open(url, {.slots = 4, .timeout = {}});
    if (!sender) return "no successor of the sender: " + sender.error().message;
    *receiver = std::move(TypedReceiver<std::uint64_t>::open(url)).value();
    for (std::uint64_t i = 0; i < 8; ++i) {
      if (sender->send(i, Deadline::after(kLong)) != Status::kOk) return "no room";
      value = receiver->next(Deadline::after(kLong));
      if (!value || *value != i) return "not the next stream";
    }
    if (sender->close() != Status::kOk) return "not closed";
    if (receiver->next(Deadline::after(kLong)).status() != Status::kEnded) return "no end";
  }
  return std::filesystem::exists(url.substr(std::strlen("file:"))) ? "the name is left" : "";
}
// Whether the table says of the first slot that its owner came and left in order.
bool first_one_left(const std::string& url) {
  std::ifstream file(url.substr(std::strlen("file:")), std::ios::binary);
  std::uint32_t words[2] = {};  // generation, pid
  file.seekg(static_cast<std::streamoff>(kParticipantTable));
  file.read(reinterpret_cast<char*>(words), sizeof words);
  return file && words[0] != 0 && words[1] == 0;
}
std::string judge_latest(const std::string& url) {
  {
    const bool left = first_one_left(url);
    auto writer = LatestWriter<std::uint64_t>::open(url, {.readers = 1});
    if (!writer) return "no successor of the writer: " + writer.error().message;
    auto reader = LatestReader<std::uint64_t>::open(url);
    if (!reader) return "no reader: " + reader.error().message;
    const auto before = reader->try_next();
    if (before ? *before != 1 : before.status() != Status::kWouldBlock) return "another value";
    if (left && !before) return "left in order before the first value";
    writer->store(2);
    const auto value = reader->next(Deadline::after(kLong));
    if (!value || *value != 2) return "no next value";
  }
  return std::filesystem::exists(url.substr(std::strlen("file:"))) ? "the name is left" : "";
}

// What stands at `path`; false, and a word, if nothing does. Called at each step: so by two calls.
bool read_all(const std::string& path, std::string& bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    bytes = "nothing";
    return false;
  }
  bytes.resize(1 << 16);
  const ssize_t size = read(fd, bytes.data(), bytes.size());
  close(fd);
  bytes.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return true;
}

struct Outcome {
  std::uint64_t states = 0;
  std::uint64_t failures = 0;
  std::string first_failure;
};

class OpeningDies : public Watchdog {
 protected:
  // `before`: what is there when the victim comes.
  Outcome after_each_instruction(const Act& act, const Verdict& verdict, const Act& before = {}) {
    Outcome outcome;
    if (before) before(url_);
    Stepper victim([&] {
      Stepper::begin();
      act(url_);
      Stepper::end();
    });
    // What it does before there is a name, nobody sees.
    while (!std::filesystem::exists(path_) && victim.run_to_system_call()) {
    }
    std::string now;
    std::string last = "not looked at yet";
    do {
      const bool there = read_all(path_, now);
      if (now == last) continue;
      last = now;
      if (there) std::filesystem::copy_file(path_, copy_);
      ++outcome.states;
      const std::string wrong = verdict("file:" + copy_);
      std::filesystem::remove(copy_);
      if (!wrong.empty() && outcome.failures++ == 0) {
        outcome.first_failure = wrong + " after instruction " + std::to_string(victim.steps());
      }
    } while (victim.step());
    EXPECT_TRUE(victim.finished()) << "the victim did not come to its end";
    std::printf("died after each of %llu instructions, %llu states: %llu failures\n",
                static_cast<unsigned long long>(victim.steps()),
                static_cast<unsigned long long>(outcome.states),
                static_cast<unsigned long long>(outcome.failures));
    return outcome;
  }

  void at_system_calls(const Act& act, const Verdict& verdict) {
    const int moments = at_each_system_call([&] { act(url_); },
                                            [&] {
                                              ASSERT_EQ(verdict(url_), "");
                                              ASSERT_TRUE(directory_.empty());
                                            });
    std::printf("%d moments\n", moments);
    EXPECT_GT(moments, 20);
  }

  Directory directory_;
  std::string path_ = directory_.path("ring");
  std::string copy_ = directory_.path("copy");
  std::string url_ = "file:" + path_;
};

TEST_F(OpeningDies, AfterAnyInstructionOfAProducerThatMakesTheRing) {
  const Outcome outcome = after_each_instruction(produce, judge_ring);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 5u);
}
TEST_F(OpeningDies, AfterAnyInstructionOfAConsumerThatTakesUpARing) {
  const Outcome outcome = after_each_instruction(consume, judge_ring, produce);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 5u);
}
TEST_F(OpeningDies, AfterAnyInstructionOfAWriter) {
  const Outcome outcome = after_each_instruction(write, judge_cell);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 5u);
}
TEST_F(OpeningDies, AfterAnyInstructionOfATypedSender) {
  const Outcome outcome = after_each_instruction(send, judge_stream);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 8u);
}
TEST_F(OpeningDies, AfterAnyInstructionOfATypedReceiver) {
  const Outcome outcome = after_each_instruction(receive, judge_stream, send);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 5u);
}
TEST_F(OpeningDies, AfterAnyInstructionOfALatestWriter) {
  const Outcome outcome = after_each_instruction(store, judge_latest);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 5u);
}
TEST_F(OpeningDies, AfterAnyInstructionOfALatestReader) {
  const Outcome outcome = after_each_instruction(read_latest, judge_latest, store_and_leave);
  EXPECT_EQ(outcome.failures, 0u) << outcome.first_failure;
  EXPECT_GT(outcome.states, 5u);
}
TEST_F(OpeningDies, OneThatSaysTheEndTooEarlyIsCaught) {
  EXPECT_GT(after_each_instruction(send_carelessly, judge_stream).failures, 0u);
}
TEST_F(OpeningDies, AtAnySystemCallOfATypedSender) { at_system_calls(send, judge_stream); }
TEST_F(OpeningDies, ALiveReceiverIsToldHowItsSenderWent) {
  std::optional<TypedReceiver<std::uint64_t>> live;
  const auto open = [&] {
    live.reset();
    auto receiver = TypedReceiver<std::uint64_t>::open(url_, {.slots = 4});
    ASSERT_TRUE(receiver) << receiver.error().message;
    live = std::move(receiver).value();
  };
  open();
  int ends = 0;
  int deaths = 0;
  at_each_system_call([&] { send(url_); },
                      [&] {
                        std::uint64_t read = 0;
                        Status told = Status::kOk;
                        while (told == Status::kOk) {
                          // One that died before it was there is nobody.
                          const auto value = live->next(Deadline::after(read ? kLong : kMoment));
                          told = value.status();
                          if (!value) break;
                          ASSERT_EQ(*value, read++);
                        }
                        if (told == Status::kEnded) {
                          ASSERT_EQ(read, kValues);
                          ++ends;
                        } else if (told == Status::kPeerDied) {
                          ++deaths;
                        } else {
                          ASSERT_EQ(told, Status::kTimedOut) << to_string(told);
                          ASSERT_EQ(read, 0u);
                        }
                        open();
                      });
  EXPECT_GT(ends, 0);
  EXPECT_GT(deaths, 0);
  live.reset();
  EXPECT_TRUE(directory_.empty());
}
TEST_F(OpeningDies, AtAnySystemCallOfATypedReceiver) {
  at_system_calls([](const std::string& url) { send(url), receive(url); }, judge_stream);
}
TEST_F(OpeningDies, AtAnySystemCallOfALatestWriter) { at_system_calls(store, judge_latest); }
TEST_F(OpeningDies, AtAnySystemCallOfALatestReader) {
  at_system_calls([](const std::string& url) { store_and_leave(url), read_latest(url); },
                  judge_latest);
}
TEST_F(OpeningDies, ALiveWriterGoesOnWhateverBecomesOfItsReader) {
  auto writer = LatestWriter<std::uint64_t>::open(url_, {.readers = 1});
  ASSERT_TRUE(writer) << writer.error().message;
  std::uint64_t stored = 0;
  const int moments = at_each_system_call([&] { read_latest(url_); },
                                          [&] {
                                            writer->store(++stored);
                                            auto next = LatestReader<std::uint64_t>::open(url_);
                                            ASSERT_TRUE(next) << next.error().message;
                                            ASSERT_EQ(value_of(next->try_next()), stored);
                                            writer->store(++stored);
                                            const auto value = next->next(Deadline::after(kLong));
                                            ASSERT_EQ(value_of(value), stored);
                                          });
  EXPECT_GT(moments, 20);
}
TEST_F(OpeningDies, AtAnySystemCallOfAProducer) { at_system_calls(produce, judge_ring); }
TEST_F(OpeningDies, AtAnySystemCallOfAConsumer) { at_system_calls(consume, judge_ring); }
TEST_F(OpeningDies, AtAnySystemCallOfAWriter) { at_system_calls(write, judge_cell); }
TEST_F(OpeningDies, OneThatFillsItsRingUnderTheNameIsCaught) {
  EXPECT_GT(after_each_instruction(produce_carelessly, judge_ring).failures, 0u);
}

}  // namespace
}  // namespace rondo::testing
