// The life of a ring with a name, exhaustively: every order of lives up to a length, of one sender
// and one receiver at a time who open, send, read, close, break off, leave and die, is played on
// real handles and on a model that fits on a page; after each step both have to say the same. The
// model is the specification (docs/transports.md, who takes the name away):
//
//   - An end mark is written by a sender that closes and has not failed, a broken-off mark by one
//     that gives up. One that dies writes nothing.
//   - The last to leave takes the name away if nothing is unread; a sender also if all that is
//     unread is its own and its receiver has left in order, which it is told; nobody who keeps it,
//     or awaits a successor of that receiver.
//   - A receiver reads what is there, in order, and learns of the end what is true: a mark, or that
//     the sender is dead.
//
// A handle dies by losing its lock as the kernel would take it from a killed process, and being
// forgotten. That is cheap, so that thousands of orders of lives can be played; other tests kill.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "support/soak.hpp"

namespace rondo::testing {
namespace {

enum class Event : char {
  kSenderOpens = 'S',
  kSends = 's',
  kCloses = 'c',
  kBreaksOff = 'b',
  kSenderDies = 'x',
  kReceiverOpens = 'R',
  kReads = 'r',
  kLeaves = 'l',
  kReceiverDies = 'y'
};
constexpr std::array kEvents{Event::kSenderOpens, Event::kSends,      Event::kCloses,
                             Event::kBreaksOff,   Event::kSenderDies, Event::kReceiverOpens,
                             Event::kReads,       Event::kLeaves,     Event::kReceiverDies};

struct Wishes {
  bool sender_keeps = false;
  bool sender_awaits_successor = false;
  bool receiver_keeps = false;
  bool receiver_awaits_successor = false;
};

std::string text_of(Status status) { return "<" + std::string(to_string(status)) + ">"; }

// What a step tells: a message's text or a status; empty if there is nothing to tell.
class Model {
 public:
  explicit Model(Wishes wishes) : wishes_(wishes) {}

  [[nodiscard]] bool name_exists() const { return exists_; }

  // Whether the event can be played here without waiting for the other side.
  [[nodiscard]] bool possible(Event event) const {
    switch (event) {
      case Event::kSenderOpens: return !sender_;
      case Event::kSends: return sender_ && !sender_->told;
      case Event::kCloses:
      case Event::kBreaksOff:
      case Event::kSenderDies: return sender_.has_value();
      case Event::kReceiverOpens:
        return exists_ && !receiver_ && (sender_ || head_ < items_.size());
      case Event::kReads: return receiver_ && !receiver_->over && !next_read().empty();
      case Event::kLeaves:
      case Event::kReceiverDies: return receiver_.has_value();
    }
    return false;
  }

  std::string play(Event event) {
    switch (event) {
      case Event::kSenderOpens:
        if (!exists_) *this = Model(wishes_, next_message_);
        sender_ = Sending{items_.size(), ends_with_mark() || peer_closed_, false};
        return {};
      case Event::kSends:
        items_.push_back(std::to_string(next_message_++));
        sender_->told = !wishes_.sender_awaits_successor && ours_has_left();
        return text_of(sender_->told ? Status::kPeerGone : Status::kOk);
      case Event::kCloses: return text_of(sender_leaves(kEnd));
      case Event::kBreaksOff: sender_leaves(kBroken); return {};
      case Event::kSenderDies: sender_.reset(); return {};
      case Event::kReceiverOpens:
        receiver_ = Receiving{};
        peer_closed_ = false;
        return {};
      case Event::kReads: return read();
      case Event::kLeaves:
        if (receiver_->over && head_ < items_.size() && is_mark(items_[head_])) ++head_;
        receiver_.reset();
        peer_closed_ = true;
        if (!sender_ && !wishes_.receiver_keeps && unread() == 0) exists_ = false;
        return {};
      case Event::kReceiverDies: receiver_.reset(); return {};
    }
    return {};
  }

 private:
  static constexpr const char* kEnd = "END";
  static constexpr const char* kBroken = "BROKEN";
  struct Sending {
    std::size_t start;  // where its own messages begin
    bool not_the_first;
    bool told;  // that its receiver has left
  };
  struct Receiving {
    bool over = false;
  };

  Model(Wishes wishes, int next_message)
      : wishes_(wishes), exists_(true), next_message_(next_message) {}

  static bool is_mark(const std::string& item) { return item == kEnd || item == kBroken; }
  [[nodiscard]] bool ends_with_mark() const { return !items_.empty() && is_mark(items_.back()); }
  [[nodiscard]] std::size_t unread() const {
    std::size_t count = 0;
    for (std::size_t i = head_; i < items_.size(); ++i) count += is_mark(items_[i]) ? 0 : 1;
    return count;
  }
  [[nodiscard]] bool ours_has_left() const {
    return peer_closed_ && (!sender_->not_the_first || head_ > sender_->start);
  }

  Status sender_leaves(const char* mark) {
    const bool well = std::string(mark) == kEnd && !sender_->told;
    items_.emplace_back(well ? kEnd : kBroken);
    const bool refused = !wishes_.sender_awaits_successor && ours_has_left() && unread() != 0 &&
                         head_ >= sender_->start;
    const Status status = sender_->told || refused ? Status::kPeerGone : Status::kOk;
    // A sender that breaks off is told nothing, unless it was told before.
    const bool tells = std::string(mark) == kEnd || sender_->told;
    const bool goes = unread() == 0 || (refused && tells);
    if (!receiver_ && !wishes_.sender_keeps && goes) exists_ = false;
    sender_.reset();
    return status;
  }

  // What the receiver would read now; empty if it would wait.
  [[nodiscard]] std::string next_read() const {
    std::size_t at = head_;
    while (at < items_.size() && items_[at] == kBroken && wishes_.receiver_awaits_successor) ++at;
    if (at < items_.size()) return items_[at];
    if (sender_ || wishes_.receiver_awaits_successor) return {};
    return text_of(Status::kPeerDied);
  }
  std::string read() {
    const std::string found = next_read();
    while (head_ < items_.size() && items_[head_] == kBroken && wishes_.receiver_awaits_successor)
      ++head_;
    receiver_->over = is_mark(found) || found.front() == '<';
    if (!receiver_->over) ++head_;
    if (found == kEnd) return text_of(Status::kEnded);
    return found == kBroken ? text_of(Status::kPeerGone) : found;
  }

  Wishes wishes_;
  bool exists_ = false;
  int next_message_ = 0;
  std::vector<std::string> items_;
  std::size_t head_ = 0;
  bool peer_closed_ = false;  // the last receiver left in order
  std::optional<Sending> sender_;
  std::optional<Receiving> receiver_;
};

// The same on real handles.
class Real {
 public:
  Real(std::string url, std::string file, Wishes wishes)
      : url_(std::move(url)), file_(std::move(file)), wishes_(wishes) {}
  ~Real() {
    if (sender_) die(std::move(sender_), sender_locks_);
    if (receiver_) die(std::move(receiver_), receiver_locks_);
    unlink(file_.c_str());
  }

  [[nodiscard]] bool name_exists() const { return access(file_.c_str(), F_OK) == 0; }

  std::string play(Event event) {
    const auto flag = [](const char* name, bool value) {
      return std::string("&") + name + (value ? "=1" : "=0");
    };
    const std::string url = url_ + "?capacity=4KiB";
    switch (event) {
      case Event::kSenderOpens:
        sender_ = opened<Sender>(url + flag("keep", wishes_.sender_keeps) +
                                     flag("await_successor", wishes_.sender_awaits_successor),
                                 sender_locks_);
        return {};
      case Event::kSends: return text_of(sender_->send(std::to_string(next_message_++)));
      case Event::kCloses: {
        const Status status = sender_->close();
        sender_.reset();
        return text_of(status);
      }
      case Event::kBreaksOff:
        sender_->break_off();
        sender_.reset();
        return {};
      case Event::kSenderDies: die(std::move(sender_), sender_locks_); return {};
      case Event::kReceiverOpens:
        receiver_ = opened<Receiver>(url + "&ack=eager" + flag("keep", wishes_.receiver_keeps) +
                                         flag("await_successor", wishes_.receiver_awaits_successor),
                                     receiver_locks_);
        return {};
      case Event::kReads: return receive(*receiver_);
      case Event::kLeaves: receiver_.reset(); return {};
      case Event::kReceiverDies: die(std::move(receiver_), receiver_locks_); return {};
    }
    return {};
  }

 private:
  static std::set<int> descriptors() {
    std::set<int> numbers;
    for (int fd = 0; fd < 256; ++fd) {
      if (fcntl(fd, F_GETFD) >= 0) numbers.insert(fd);
    }
    return numbers;
  }
  template <class Handle>
  std::unique_ptr<Handle> opened(const std::string& url, std::set<int>& mine) {
    const std::set<int> before = descriptors();
    auto handle = Handle::open(url, {.wait = Deadline::after(std::chrono::seconds(5))});
    if (!handle) throw std::runtime_error(handle.error().message);
    mine.clear();
    for (const int fd : descriptors()) {
      if (!before.contains(fd)) mine.insert(fd);
    }
    return std::make_unique<Handle>(std::move(handle).value());
  }
  template <class Handle>
  static void die(std::unique_ptr<Handle> handle, const std::set<int>& locks) {
    static_cast<void>(handle.release());
    for (const int fd : locks) close(fd);
  }

  std::string url_;
  std::string file_;
  Wishes wishes_;
  int next_message_ = 0;
  std::unique_ptr<Sender> sender_;
  std::unique_ptr<Receiver> receiver_;
  std::set<int> sender_locks_;
  std::set<int> receiver_locks_;
};

// All orders of `length` events, each the shortest way to something new.
void for_each_story(Wishes wishes, std::size_t length,
                    const std::function<void(const std::string&)>& tell) {
  const std::function<void(const Model&, std::string)> go_on = [&](const Model& model,
                                                                   std::string story) {
    if (story.size() == length) return tell(story);
    for (const Event event : kEvents) {
      if (!model.possible(event)) continue;
      Model next = model;
      next.play(event);
      go_on(next, story + static_cast<char>(event));
    }
  };
  go_on(Model(wishes), "");
}

// Empty, or where model and handles part.
std::string difference(const std::string& story, Wishes wishes, const std::string& url,
                       const std::string& file) {
  Model model(wishes);
  Real real(url, file, wishes);
  for (std::size_t i = 0; i < story.size(); ++i) {
    const auto event = static_cast<Event>(story[i]);
    const std::string expected = model.play(event);
    std::string got;
    try {
      got = real.play(event);
    } catch (const std::exception& error) {
      got = error.what();
    }
    if (got != expected) {
      return story.substr(0, i + 1) + ": got " + got + ", not " + expected;
    }
    if (real.name_exists() != model.name_exists()) {
      return story.substr(0, i + 1) + ": the name is " + (real.name_exists() ? "there" : "gone");
    }
  }
  return {};
}

class ChannelLivesTest : public ::testing::TestWithParam<int> {
 protected:
  [[nodiscard]] static Wishes wishes() {
    const int bits = GetParam();
    return {(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0};
  }
};

// Handles that die leave their mappings behind, so a process plays so many stories and ends.
constexpr std::size_t kStoriesPerProcess = 150;

TEST_P(ChannelLivesTest, EveryOrderOfLivesIsAsTheModelSays) {
  // RONDO_LIVES_LENGTH for longer ones: each event more takes about four times as long.
  const char* const asked = std::getenv("RONDO_LIVES_LENGTH");
  const std::size_t length = asked != nullptr ? std::strtoul(asked, nullptr, 10) : 7;
  std::vector<std::string> stories;
  for_each_story(wishes(), length, [&](const std::string& story) { stories.push_back(story); });
  ASSERT_GT(stories.size(), 500u);
  std::printf("%zu orders of %zu events\n", stories.size(), length);
  for (std::size_t first = 0; first < stories.size(); first += kStoriesPerProcess) {
    Child child([&] {
      const std::size_t last = std::min(first + kStoriesPerProcess, stories.size());
      for (std::size_t i = first; i < last; ++i) {
        const std::string name = unique_word();
        const std::string found =
            difference(stories[i], wishes(), "shm:" + name, "/dev/shm/rondo-" + name);
        if (found.empty()) continue;
        std::printf("wishes %d: %s\n", GetParam(), found.c_str());
        std::fflush(stdout);
        return 1;
      }
      return 0;
    });
    ASSERT_EQ(child.join(), 0);
  }
}

// Bit by bit: the sender keeps, awaits a successor, the receiver keeps, awaits a successor.
INSTANTIATE_TEST_SUITE_P(Wishes, ChannelLivesTest, ::testing::Values(0, 1, 2, 4, 8, 10),
                         [](const auto& bits) { return std::to_string(bits.param); });

}  // namespace
}  // namespace rondo::testing
