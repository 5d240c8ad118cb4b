// Merges feeds in the order of their times, whichever comes first: one wait over all of them.
//
//   merged_feeds shm:a shm:b shm:c shm:d      and in other terminals:  rondo send shm:a
//   1700 bid 99.5                             ("TIME TEXT" on each line)
//
// The oldest message goes out when each feed has one to compare, and after kPatience in any case:
// a feed that is silent must not hold the others up.
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <rondo/rondo.hpp>
#include <vector>

namespace {

constexpr std::chrono::milliseconds kPatience{20};

struct Feed {
  rondo::Receiver receiver;
  std::optional<rondo::Message> head{};  // where it lies, not copied
  std::uint64_t time = 0;
  rondo::Deadline goes{};
};

std::uint64_t time_of(const rondo::Message& message) {
  std::uint64_t time = 0;
  std::from_chars(message.text().data(), message.text().data() + message.size(), time);
  return time;
}

}  // namespace

int main(int argc, char** argv) {
  auto set = rondo::WaitSet::make();
  std::vector<Feed> feeds;
  feeds.reserve(static_cast<std::size_t>(argc));  // members of a set stay where they are
  for (int i = 1; i < argc; ++i) {
    auto receiver = rondo::Receiver::open(argv[i]);
    if (!receiver) return std::fprintf(stderr, "%s\n", receiver.error().message.c_str()), 1;
    feeds.push_back({.receiver = std::move(*receiver)});
    if (!set->add(feeds.back().receiver, feeds.size() - 1)) return 1;
  }
  std::size_t open = feeds.size();
  std::size_t heads = 0;
  while (open + heads > 0) {
    Feed* oldest = nullptr;
    rondo::Deadline goes;
    for (Feed& feed : feeds) {
      if (!feed.head) continue;
      if (oldest == nullptr || feed.time < oldest->time) oldest = &feed;
      goes = earlier(goes, feed.goes);
    }
    // Only feeds without a head are waited for: those with one have something all the time.
    if (oldest == nullptr || (open > 0 && !goes.passed())) {
      std::array<rondo::WaitSet::Key, 4> room{};
      const auto ready = set->wait(room, goes);
      if (!ready) continue;
      for (const auto key : *ready) {
        Feed& feed = feeds[key];
        if (auto message = feed.receiver.try_next()) {
          feed.head.emplace(std::move(*message));
          feed.time = time_of(*feed.head);
          feed.goes = rondo::Deadline::after(kPatience);
          ++heads;
        } else if (feed.receiver.status() == rondo::Status::kOk) {
          continue;
        }
        set->remove(key);
        --open;
      }
      continue;
    }
    std::printf("%.*s\n", static_cast<int>(oldest->head->size()), oldest->head->text().data());
    std::fflush(stdout);
    oldest->head.reset();
    --heads;
    if (oldest->receiver.status() == rondo::Status::kOk &&
        set->add(oldest->receiver, static_cast<std::size_t>(oldest - feeds.data()))) {
      ++open;
    }
  }
  return 0;
}
