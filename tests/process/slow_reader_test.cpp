// Reliable receivers that hold the sender back: who is named, who is let go of, and what they are
// told. Each receiver is a process of its own; over shm: and shm+guarded:.
//
//   1. ASlowOneIsNamedWithItsPlaceAndItsTime
//   2. OneThatMovesIsNoLongerSlow
//   3. OneThatIsStoppedIsSlowAndNotDead
//   4. TheSlowestIsNamedAndThenTheNext
//   5. NoMoreAreLetGoOfThanHasToBe
//   6. OneLetGoOfIsToldExactlyWhatItLost
//   7. EvictLetsGoAfterItsTimeAndNotBefore
//   8. ADeadOneIsNotSlow
//   9. OneThatHasLeftIsNotSlow
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conformance/channel_fixture.hpp"

namespace rondo::testing {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kMessageBytes = 56;  // 64 with its header
constexpr std::uint64_t kFootprint = 64;

Deadline soon() { return Deadline::after(seconds(60)); }
std::string message(std::uint64_t i) { return numbered_message(i, kMessageBytes); }

// A process that receives as many messages as it is told to, and otherwise stands still.
class Reader {
 public:
  explicit Reader(const std::string& url) : child_([this, url] { return live(url); }) {}

  // Returns when it has read so many more.
  void read(std::uint64_t count) {
    const std::uint64_t wanted = state_->allowed.load() + count;
    state_->allowed = wanted;
    while (state_->read < wanted) usleep(100);  // the watchdog bounds it
  }
  // Lets it read to the end; its exit status.
  int read_to_the_end() {
    state_->allowed = ~std::uint64_t{0};
    return child_.join();
  }
  void leave() {
    state_->leave = true;
    ASSERT_EQ(child_.join(), 0);
  }
  void kill() {
    child_.signal(SIGKILL);
    ASSERT_EQ(child_.join(), -SIGKILL);
  }
  [[nodiscard]] Child& process() { return child_; }
  [[nodiscard]] std::uint64_t has_read() const { return state_->read; }
  [[nodiscard]] std::uint64_t lost() const { return state_->lost; }
  [[nodiscard]] bool evicted() const { return state_->evicted; }

 private:
  struct State {
    std::atomic<std::uint64_t> allowed;
    std::atomic<std::uint64_t> read;
    std::atomic<std::uint64_t> lost;
    std::atomic<bool> evicted;
    std::atomic<bool> leave;
  };

  int live(const std::string& url) {
    auto receiver = Receiver::open(url, {.wait = soon()});
    if (!receiver) return 1;
    for (;;) {
      while (state_->read >= state_->allowed) {
        if (state_->leave) return 0;
        usleep(100);
      }
      auto got = receiver->next(soon());
      if (got.status() == Status::kEnded) return 0;
      if (!got) return 2;
      const std::uint64_t number = state_->read + receiver->lost();
      if (got->text() != message(number) && got->intact()) return 3;
      { const Message given_back = std::move(*got); }
      state_->lost = receiver->lost();
      state_->evicted = receiver->evicted();
      ++state_->read;
    }
  }

  Shared<State> state_;
  Child child_;
};

class SlowReaders : public ::testing::TestWithParam<std::string_view> {
 protected:
  SlowReaders() { alarm(240); }
  ~SlowReaders() override { alarm(0); }

  [[nodiscard]] bool guarded() const { return GetParam() == "Guarded"; }
  [[nodiscard]] std::string url(const std::string& options) const {
    return (guarded() ? "shm+guarded:" + directory_.path() + "/ring" : "shm:" + name_) + "?" +
           options;
  }
  // Of a receiver. In a guarded ring none has a name.
  [[nodiscard]] std::string reliable(const std::string& name) const {
    return url(guarded() ? "ack=eager" : "ack=eager&name=" + name);
  }

  void open(const std::string& options = "") {
    OpenOptions wishes;
    wishes.on_slow_reader = [this](const SlowReader& slow) {
      seen_.push_back(slow);
      return judge_(slow);
    };
    auto sender = Sender::open(url("capacity=4KiB&readers=3" + options), wishes);
    ASSERT_TRUE(sender) << sender.error().message;
    sender_.emplace(std::move(sender).value());
  }
  void await_readers(std::uint32_t count) {
    ASSERT_EQ(sender_->wait_for_receivers(count, soon()), Status::kOk);
  }
  // Sends until there is no room, without waiting for any.
  void fill() {
    while (sender_->try_send(bytes_of(message(sent_))) == Status::kOk) ++sent_;
    seen_.clear();
  }
  Status send(Deadline deadline = soon()) {
    const Status status = sender_->send(bytes_of(message(sent_)), deadline);
    if (status == Status::kOk) ++sent_;
    return status;
  }
  void send_many(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) ASSERT_EQ(send(), Status::kOk);
  }

  ScratchDirectory directory_;
  std::string name_ = unique_word();
  std::optional<Sender> sender_;
  std::uint64_t sent_ = 0;
  std::vector<SlowReader> seen_;
  std::function<bool(const SlowReader&)> judge_ = [](const SlowReader&) { return false; };
};

INSTANTIATE_TEST_SUITE_P(Over, SlowReaders, ::testing::Values("Shm", "Guarded"),
                         [](const auto& kind) { return std::string(kind.param); });

TEST_P(SlowReaders, ASlowOneIsNamedWithItsPlaceAndItsTime) {
  open();
  Reader slow(reliable("slow"));
  await_readers(1);
  ASSERT_EQ(send(), Status::kOk);
  slow.read(1);
  const auto stands_since = Clock::now();
  fill();
  judge_ = [&](const SlowReader& one) {
    EXPECT_EQ(one.reader, 0u);
    EXPECT_EQ(one.name, guarded() ? "" : "slow");
    // All that was sent but the one that it has read, and perhaps padding at the ring's end.
    EXPECT_GE(one.behind_bytes, (sent_ - 1) * kFootprint);
    EXPECT_LE(one.behind_bytes, 4096u);
    EXPECT_LE(one.standing, Clock::now() - stands_since);
    return false;
  };
  const auto start = Clock::now();
  while (seen_.size() < 3 && !HasFailure()) {
    EXPECT_EQ(send(Deadline::after(milliseconds(50))), Status::kTimedOut);
  }
  const auto waited = Clock::now() - start;
  for (std::size_t i = 1; i < seen_.size(); ++i) {
    EXPECT_GT(seen_[i].standing, seen_[i - 1].standing) << "look " << i;
  }
  EXPECT_LE(seen_.back().standing - seen_.front().standing, waited);
  EXPECT_GT(seen_.back().standing, milliseconds(0));

  const ChannelInfo info = sender_->info();
  ASSERT_EQ(info.readers().size(), 1u);
  EXPECT_EQ(info.readers()[0].behind_bytes, seen_.back().behind_bytes);
  EXPECT_FALSE(info.readers()[0].evicted);
  slow.kill();
}

TEST_P(SlowReaders, OneThatMovesIsNoLongerSlow) {
  open();
  Reader slow(reliable("slow"));
  await_readers(1);
  fill();
  // A message that needs more room than one read makes: so the sender goes on waiting, while the
  // receiver moves.
  std::optional<Clock::time_point> moved;
  std::uint64_t behind = 0;
  bool seen_after = false;
  judge_ = [&](const SlowReader& one) {
    if (!moved) {
      if (one.standing < milliseconds(100)) return false;
      behind = one.behind_bytes;
      const auto before = Clock::now();
      slow.read(1);
      moved = before;
      return false;
    }
    EXPECT_EQ(one.behind_bytes, behind - kFootprint);
    EXPECT_LE(one.standing, Clock::now() - *moved);
    seen_after = true;
    return true;
  };
  const std::string large(sender_->max_message_bytes(), 'x');
  EXPECT_EQ(sender_->send(bytes_of(large), soon()), Status::kOk);
  EXPECT_TRUE(seen_after);
  slow.kill();
}

TEST_P(SlowReaders, OneThatIsStoppedIsSlowAndNotDead) {
  open();
  Reader stopped(reliable("stopped"));
  await_readers(1);
  stopped.process().signal(SIGSTOP);
  stopped.process().join_stop();
  fill();
  EXPECT_EQ(send(Deadline::after(milliseconds(300))), Status::kTimedOut);
  EXPECT_GE(seen_.size(), 1u);
  stopped.process().signal(SIGCONT);
  stopped.read(1);
  EXPECT_EQ(send(), Status::kOk);
  EXPECT_FALSE(stopped.evicted());
  sender_->close(soon());
  EXPECT_EQ(stopped.read_to_the_end(), 0);
  EXPECT_EQ(stopped.lost(), 0u);
}

TEST_P(SlowReaders, TheSlowestIsNamedAndThenTheNext) {
  open();
  std::vector<std::unique_ptr<Reader>> readers;
  for (const char* name : {"a", "b", "c"}) {
    readers.push_back(std::make_unique<Reader>(reliable(name)));
    await_readers(static_cast<std::uint32_t>(readers.size()));
  }
  send_many(3);
  readers[0]->read(2);
  readers[1]->read(1);
  readers[2]->read(3);
  fill();
  judge_ = [](const SlowReader&) { return true; };
  const std::string large(sender_->max_message_bytes(), 'x');
  EXPECT_EQ(sender_->send(bytes_of(large), soon()), Status::kOk);
  ASSERT_EQ(seen_.size(), 3u);
  EXPECT_EQ(seen_[0].reader, 1u);
  EXPECT_EQ(seen_[1].reader, 0u);
  EXPECT_EQ(seen_[2].reader, 2u);
  EXPECT_EQ(seen_[0].behind_bytes, seen_[1].behind_bytes + kFootprint);
  EXPECT_EQ(seen_[1].behind_bytes, seen_[2].behind_bytes + kFootprint);
  for (auto& reader : readers) reader->kill();
}

// Even a callback that always says yes is asked only about receivers that hold the sender back.
TEST_P(SlowReaders, NoMoreAreLetGoOfThanHasToBe) {
  open();
  Reader slow(reliable("slow"));
  await_readers(1);
  Reader good(reliable("good"));
  await_readers(2);
  fill();
  good.read(sent_);
  judge_ = [](const SlowReader&) { return true; };
  ASSERT_EQ(send(), Status::kOk);
  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].reader, 0u);
  sender_->close(soon());
  EXPECT_EQ(slow.read_to_the_end(), 0);
  EXPECT_EQ(good.read_to_the_end(), 0);
  EXPECT_TRUE(slow.evicted());
  EXPECT_FALSE(good.evicted());
  EXPECT_EQ(good.lost(), 0u);
}

TEST_P(SlowReaders, OneLetGoOfIsToldExactlyWhatItLost) {
  open();
  Reader slow(reliable("slow"));
  await_readers(1);
  Reader good(reliable("good"));
  await_readers(2);
  send_many(5);
  slow.read(3);
  good.read(5);
  fill();
  judge_ = [](const SlowReader& one) { return one.standing >= milliseconds(100); };
  good.read(sent_ - good.has_read());
  ASSERT_EQ(send(), Status::kOk);
  EXPECT_GE(seen_.back().standing, milliseconds(100));
  for (const SlowReader& one : seen_) EXPECT_EQ(one.reader, 0u);
  bool told = false;
  const ChannelInfo channel = sender_->info();
  for (const ReaderInfo& reader : channel.readers()) told |= reader.evicted;
  EXPECT_TRUE(told);
  // It does not hold the sender back any more; the other one does.
  seen_.clear();
  for (int laps = 0; laps < 5; ++laps) {
    good.read(sent_ - good.has_read());
    send_many(30);
  }
  for (const SlowReader& one : seen_) EXPECT_NE(one.reader, 0u);

  sender_->close(soon());
  EXPECT_EQ(slow.read_to_the_end(), 0);
  EXPECT_EQ(good.read_to_the_end(), 0);
  EXPECT_TRUE(slow.evicted());
  EXPECT_FALSE(good.evicted());
  EXPECT_GT(slow.lost(), 0u);
  EXPECT_EQ(slow.has_read() + slow.lost(), sent_);
  EXPECT_EQ(good.has_read(), sent_);
  EXPECT_EQ(good.lost(), 0u);
}

TEST_P(SlowReaders, EvictLetsGoAfterItsTimeAndNotBefore) {
  open("&evict=1");
  Reader slow(reliable("slow"));
  await_readers(1);
  const auto start = Clock::now();
  fill();
  EXPECT_EQ(send(), Status::kOk);
  EXPECT_GE(Clock::now() - start, seconds(1));
  for (const SlowReader& one : seen_) EXPECT_LT(one.standing, seconds(1));
  sender_->close(soon());
  EXPECT_EQ(slow.read_to_the_end(), 0);
  EXPECT_TRUE(slow.evicted());
  EXPECT_EQ(slow.has_read() + slow.lost(), sent_);
}

TEST_P(SlowReaders, ADeadOneIsNotSlow) {
  open();
  Reader victim(reliable("victim"));
  await_readers(1);
  ASSERT_EQ(send(), Status::kOk);
  victim.read(1);
  victim.kill();
  send_many(300);
  EXPECT_TRUE(seen_.empty());
}

TEST_P(SlowReaders, OneThatHasLeftIsNotSlow) {
  open();
  Reader first(reliable("books"));
  await_readers(1);
  ASSERT_EQ(send(), Status::kOk);
  first.read(1);
  first.leave();
  send_many(300);
  EXPECT_TRUE(seen_.empty());
  if (guarded()) return;  // without a name no receiver can come back
  auto again = Receiver::open(url("name=books"), {.wait = soon()});
  ASSERT_TRUE(again) << again.error().message;
  auto oldest = again->next(soon());
  ASSERT_TRUE(oldest);
  EXPECT_EQ(oldest->text(), message(1 + again->lost()));
  EXPECT_GT(again->lost(), 200u);
}

}  // namespace
}  // namespace rondo::testing
