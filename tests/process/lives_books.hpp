// Random lives on one channel, and the books about them: who came, when and how he went, and what
// became of each message. Everything lies in memory that the supervisor shares with the processes
// it kills, and is written in an order that stays true wherever one is killed: an intent before the
// call, what came of it after.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "rondo/rondo.hpp"

namespace rondo::testing::lives {

enum class Kind : std::uint8_t {
  kSingle,   // a record ring with one receiver
  kReaders,  // a record ring with several receivers, each of which gets every message
  kSlots,    // kind=mpmc
  kFrames,   // kind=frames
  kBytes     // a byte stream: what is on its way goes with either side
};

struct Channel {
  std::string_view name;
  std::string_view scheme;  // with its colon
  Kind kind;
  std::string_view made_with;  // a sender's options; a '#' becomes a random 4, 8, ... 64
  std::uint32_t senders;       // workers, who live one life after another
  std::uint32_t receivers;
  bool threads = false;  // within one process, where no life is killed
};

// Whether what one life left is there for the next one, whichever side died.
constexpr bool outlives_its_sender(const Channel& channel) noexcept {
  return channel.scheme == "shm:" || channel.scheme == "file:" || channel.threads;
}
// Whether each receiver gets every message, and is told how many it lost.
constexpr bool has_accounts(Kind kind) noexcept {
  return kind == Kind::kReaders || kind == Kind::kFrames;
}

enum class Fate : std::uint8_t {
  kNone,
  kBegun,    // the call has not returned: perhaps
  kRefused,  // it said that nothing was sent
  kTold,     // it said that no receiver will read this
  kCertain   // it said kOk
};

inline constexpr std::uint32_t kNobody = ~std::uint32_t{0};

// One message. Its number in the books is its id; ids are taken in the order of sending.
struct Entry {
  std::atomic<std::uint32_t> sender;  // its life
  std::atomic<Fate> fate;
  std::atomic<std::uint64_t> certain_at;
  std::atomic<std::uint64_t> received_at;  // for the first time; 0: never
  std::atomic<std::uint32_t> receiver;     // the life that got it last, + 1
  std::atomic<std::uint32_t> fresh;        // how often it came
  std::atomic<std::uint32_t> marked;       // and how often as redelivered

  [[nodiscard]] bool received() const { return fresh != 0 || marked != 0; }
};

// What a life found wrong by itself.
enum class Wrong : std::uint8_t {
  kNothing,
  kTorn,         // a message that was not sent like this
  kOrder,        // a message of one sender after a later one
  kRefusedCame,  // a message whose sender was told that it was not sent
  kAccount,      // lost() is not what was missed
  kNotIntact,    // a message not intact that was not counted, or a reliable one
  kFlushed,      // flush() said kOk, and something has not been read
  kThrown
};

// One handle, from before it is opened until it is closed. Times are ticks of World::clock; 0: not
// (yet). It died between `killing` and `killed`.
struct Life {
  std::atomic<std::uint32_t> worker;
  std::atomic<bool> sends, await_successor, keep, eager, lossy, drop, settles, broke_off;
  char how[64];            // its options, for people
  char refusal_text[160];  // why it was not let in
  std::atomic<std::uint64_t> begun, refused, opened, call, ended, closing, closed, killing, killed;
  std::atomic<ErrorCode> refusal;
  std::atomic<Status> status;        // the last one that was final, at `ended`
  std::atomic<Status> close_status;  // at `closed`
  std::atomic<std::uint32_t> ids_at_close;
  std::atomic<std::uint32_t> first, last, count;  // sent for certain, or received
  std::atomic<std::uint32_t> again, again_of;     // received though another life had them; + 1
  std::atomic<std::uint64_t> lost, tail_lost;     // in all; after the last message
  std::atomic<Wrong> wrong;
  std::atomic<std::uint64_t> wrong_id, wrong_a, wrong_b;

  void complain(Wrong what, std::uint64_t id, std::uint64_t a = 0, std::uint64_t b = 0) {
    if (wrong != Wrong::kNothing) return;  // the first one led to the others
    wrong_id = id, wrong_a = a, wrong_b = b;
    wrong = what;
  }
  [[nodiscard]] bool died() const { return killing != 0; }
  // Whether it was surely there from before `from` until after `until`.
  [[nodiscard]] bool there(std::uint64_t from, std::uint64_t until) const {
    return opened != 0 && opened < from && (closing == 0 || closing > until) &&
           (killing == 0 || killing > until);
  }
};

// What is done wrong on purpose, to see that the books show it.
enum class Careless : std::uint8_t { kNone, kReceiverForgets, kSenderClaims, kEndIsDenied };

struct World {
  static constexpr std::uint32_t kLives = 1 << 12;
  static constexpr std::uint32_t kMessages = 1 << 16;
  static constexpr std::uint32_t kWorkers = 16;

  std::uint64_t story;
  char url[128];  // without options
  char made_with[96];
  Careless careless;
  std::atomic<std::uint64_t> clock;
  std::atomic<std::uint64_t> events;
  std::atomic<bool> stop;
  std::atomic<std::uint32_t> lives, ids;
  int pipe[2];                                   // of fd:
  std::atomic<std::uint32_t> current[kWorkers];  // each worker's life
  Life life[kLives];
  Entry entry[kMessages];

  // Strictly after all that was ticked before.
  std::uint64_t tick() { return clock.fetch_add(1); }
  [[nodiscard]] std::uint64_t now() const { return clock; }
  [[nodiscard]] std::uint32_t known_lives() const { return std::min(lives.load(), kLives); }
  [[nodiscard]] std::uint32_t known_ids() const { return std::min(ids.load(), kMessages); }

  void begin(std::uint64_t number) {
    for (std::uint32_t i = 0; i < known_lives(); ++i)
      std::memset(static_cast<void*>(&life[i]), 0, sizeof life[i]);
    std::memset(static_cast<void*>(entry), 0, known_ids() * sizeof(Entry));
    story = number;
    careless = Careless::kNone;
    clock = 1;
    lives = 0, ids = 0;
    stop = false;
    for (auto& one : current) one = kNobody;
  }
};

// A message as it travels: who sent it, and bytes that follow from its id.
struct Letter {
  std::uint64_t id, sender, number, check;

  [[nodiscard]] std::uint64_t sum(std::uint64_t story, std::size_t size) const {
    return ((id * 31 + sender) * 0x9E37'79B9'7F4A'7C15u ^ number) + story * 127 + size;
  }
};

inline void write_letter(std::span<std::byte> bytes, Letter letter, std::uint64_t story) {
  letter.check = letter.sum(story, bytes.size());
  std::memcpy(bytes.data(), &letter, sizeof letter);
  for (std::size_t at = sizeof letter; at < bytes.size(); ++at) {
    bytes[at] = static_cast<std::byte>(letter.check + at * 7);
  }
}

// Empty if the bytes are none that was written.
inline std::optional<Letter> read_letter(std::span<const std::byte> bytes, std::uint64_t story) {
  Letter letter;
  if (bytes.size() < sizeof letter) return std::nullopt;
  std::memcpy(&letter, bytes.data(), sizeof letter);
  if (letter.check != letter.sum(story, bytes.size())) return std::nullopt;
  for (std::size_t at = sizeof letter; at < bytes.size(); ++at) {
    if (bytes[at] != static_cast<std::byte>(letter.check + at * 7)) return std::nullopt;
  }
  return letter;
}

}  // namespace rondo::testing::lives
