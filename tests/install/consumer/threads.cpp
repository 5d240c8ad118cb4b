// threads [--race] URL...: two threads over each channel, as a user's first test has them, for
// ThreadSanitizer and valgrind to watch. Both sides touch messages in place, and what the sender
// wrote elsewhere before it sent a message is read by the thread that got it, and the other way
// round after a flush. Room that one sender wrote to and did not send is another one's afterwards.
// With --race both sides begin with counting in one variable, which
// has to be noticed.
#include <atomic>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <rondo/rondo.hpp>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr int kMessages = 3000;
constexpr std::size_t kBytes = 200;

// What goes beside the channel, not atomic on purpose.
struct Beside {
  std::vector<int> told = std::vector<int>(kMessages);
  std::vector<int> heard = std::vector<int>(kMessages);
  bool race = false;
  int counted = 0;  // by both before any message, if `race`
};

void fill(std::span<std::byte> bytes, int number) {
  std::memset(bytes.data(), number, bytes.size());
  std::memcpy(bytes.data(), &number, sizeof number);
}

bool send_all(rondo::Sender& sender, Beside& beside) {
  std::vector<std::byte> message(kBytes);
  if (beside.race) ++beside.counted;
  for (int i = 0; i < kMessages; ++i) {
    beside.told[i] = i + 1;
    if (i % 3 == 0) {
      fill(message, i);
      if (sender.send(message) != rondo::Status::kOk) return false;
    } else if (i % 3 == 1) {
      auto claim = sender.claim(kBytes);
      if (!claim) return false;
      fill(claim->bytes(), i);
      std::move(*claim).commit();
    } else {
      rondo::Sender::Batch batch(sender);
      std::byte* bytes = nullptr;
      while ((bytes = batch.try_add(kBytes)) == nullptr) std::this_thread::yield();
      fill({bytes, kBytes}, i);
      if (std::move(batch).commit() != rondo::Status::kOk) return false;
    }
  }
  return true;
}

bool receive_all(rondo::Receiver& receiver, Beside& beside) {
  int received = 0;
  if (beside.race) ++beside.counted;
  for (const rondo::Message& message : receiver) {
    int number = -1;
    std::memcpy(&number, message.bytes().data(), sizeof number);
    if (!message.intact()) continue;
    for (const std::byte byte : message.bytes().subspan(sizeof number)) {
      if (byte != std::byte(number)) return false;
    }
    if (beside.told[number] != number + 1) return false;
    beside.heard[number] = ++received;
  }
  std::printf("%d messages, %d lost\n", received, static_cast<int>(receiver.lost()));
  return receiver.status() == rondo::Status::kEnded && received > 0;
}

bool run(const std::string& url, bool race) {
  std::printf("%s: ", url.c_str());
  Beside beside;
  beside.race = race;
  auto pair = rondo::open_pair(url);
  if (!pair) return std::printf("%s\n", pair.error().message.c_str()), false;
  bool received = false;
  std::thread receiving([&, receiver = std::move(pair->second)]() mutable {
    received = receive_all(receiver, beside);
  });
  const bool sent = send_all(pair->first, beside);
  bool flushed = pair->first.flush() == rondo::Status::kOk;
  // A byte stream's flush says nothing of the receiver.
  const bool stream = url.starts_with("pipe:") || url.starts_with("unix:");
  if (!stream) flushed = std::reduce(beside.heard.begin(), beside.heard.end()) > 0 && flushed;
  static_cast<void>(pair->first.close());
  receiving.join();
  return sent && flushed && received;
}

// The two threads have nothing in common but a channel with as few slots as there can be, and a
// flag that orders nothing.
bool discard(const std::string& url) {
  std::atomic<bool> discarded{false};
  auto first = rondo::Sender::open(url);
  if (!first) return false;
  bool sound = true;
  std::thread other([&] {
    auto second = rondo::Sender::open(url);
    auto receiver = rondo::Receiver::open(url);
    while (!discarded.load(std::memory_order_relaxed)) std::this_thread::yield();
    for (int i = 0; i < 4 && sound; ++i) {
      auto claim = second->claim(kBytes);
      sound = claim.has_value();
      if (!sound) break;
      fill(claim->bytes(), i);
      std::move(*claim).commit();
      sound = receiver->next().has_value();
    }
  });
  if (auto claim = first->claim(kBytes)) fill(claim->bytes(), 77);
  discarded.store(true, std::memory_order_relaxed);
  other.join();
  std::printf("%s: a claim discarded\n", url.c_str());
  return sound;
}

}  // namespace

int main(int argc, char** argv) {
  const bool race = argc > 1 && std::strcmp(argv[1], "--race") == 0;
  for (int i = race ? 2 : 1; i < argc; ++i) {
    if (!run(argv[i], race)) return std::printf("failed\n"), i;
  }
  if (!discard("inproc:discards?kind=mpmc&slots=2")) return std::printf("failed\n"), argc;
  return 0;
}
