// One worker of random_lives: opens a handle, sends or receives for a while, closes it or is killed
// meanwhile, and lives again as another one.
#pragma once

#include <sched.h>
#include <unistd.h>

#include <chrono>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "process/lives_books.hpp"
#include "support/processes.hpp"

namespace rondo::testing::lives {

class Worker {
 public:
  Worker(World& world, const Channel& channel, std::uint32_t index, bool sends, std::uint64_t seed)
      : world_(world), channel_(channel), index_(index), sends_(sends), random_(seed) {}

  // Until it is told to stop, or there is no more room in the books. A pipe's ends live once.
  void live_on() {
    if (channel_.scheme == "fd:") {
      close(world_.pipe[sends_ ? 0 : 1]);
      return live();
    }
    while (!world_.stop) {
      live();
      pause(4);
    }
  }
  // Reads all that is left at the name, as a receiver that does not wait; true if there was one.
  bool settle() {
    settles_ = true;
    const std::uint32_t before = world_.lives;
    live();
    return world_.lives == before + 1 && world_.life[before].opened != 0;
  }

 private:
  using Bytes = std::span<const std::byte>;

  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  // Now and then, so that death finds everybody everywhere.
  void pause(std::uint64_t one_in_so_many) {
    if (!one_in(one_in_so_many)) return;
    if (one_in(3)) usleep(static_cast<useconds_t>(below(300)));
    for (std::uint64_t i = below(10); i > 0; --i) sched_yield();
  }
  Deadline soon() {
    if (settles_) return Deadline::after(std::chrono::milliseconds(200));
    until_ =
        one_in(3) ? Deadline::now() : Deadline::after(std::chrono::microseconds(1 + below(20'000)));
    return until_;
  }

  void live() {
    const std::uint32_t id = world_.lives.fetch_add(1);
    if (id >= World::kLives) return static_cast<void>(usleep(1000));
    Life& life = world_.life[id];
    life.worker = index_;
    life.sends = sends_;
    life.settles = settles_;
    life.drop = std::string_view(world_.made_with).find("drop") != std::string_view::npos;
    life.first = life.last = kNobody;
    OpenOptions wishes;
    const std::string url = draw(life, wishes);
    life.begun = world_.tick();
    world_.current[index_] = id;
    if (sends_) {
      send_life(id, life, url, wishes);
    } else {
      receive_life(id, life, url, wishes);
    }
  }

  // Draws what this life wishes for.
  std::string draw(Life& life, OpenOptions& wishes) {
    std::string options;
    const auto add = [&](std::string_view option) {
      options += options.empty() ? "" : "&";
      options += option;
    };
    const bool rings = channel_.kind != Kind::kBytes;
    wishes.wait = settles_ ? Deadline::after(std::chrono::milliseconds(20)) : soon();
    wishes.stop = settles_ ? nullptr : &world_.stop;
    const bool stays = outlives_its_sender(channel_);
    const bool can_await_successor = rings && (sends_ || stays);
    life.await_successor = wishes.await_successor = can_await_successor && !settles_ && one_in(2);
    const bool can_keep = stays && !channel_.threads;
    life.keep = can_keep && !settles_ && one_in(5);
    if (life.keep) add("keep=1");
    if (rings && one_in(4)) add(one_in(2) ? "wait=park" : "wait=yield");
    if (sends_) {
      add(world_.made_with);
    } else if (has_accounts(channel_.kind)) {
      draw_policy(life, add);
    } else if (channel_.kind == Kind::kSlots) {
      if (!settles_ && one_in(2)) add(world_.made_with);
      if (!settles_ && one_in(6)) wishes.senders = 2;
    } else if (rings && !channel_.threads && one_in(2)) {
      add("ack=eager");
      life.eager = true;
    }
    std::snprintf(life.how, sizeof life.how, "%s%s", options.c_str(),
                  life.await_successor ? " await_successor" : "");
    std::string url = world_.url;
    if (channel_.scheme == "fd:") url += std::to_string(world_.pipe[sends_ ? 1 : 0]);
    return url + (options.empty() ? "" : "?" + options);
  }
  template <class Add>
  void draw_policy(Life& life, Add&& add) {
    const bool frames = channel_.kind == Kind::kFrames;
    switch (settles_ ? 1 : below(3)) {
      case 0: life.lossy = frames; break;
      case 1: life.lossy = true, add("policy=lossy"); break;
      default: life.lossy = true, add("policy=latest"); break;
    }
    if (!settles_ && one_in(3)) add("from=newest");
    const bool names = !frames && !settles_ && outlives_its_sender(channel_);
    if (names && one_in(4)) add("name=one");
    // So that each begins where the one before has met an end.
    if (settles_ && channel_.kind == Kind::kReaders) add("name=last");
  }

  // --- Sending -----------------------------------------------------------------------------------

  void send_life(std::uint32_t id, Life& life, const std::string& url, const OpenOptions& wishes) {
    number_ = 0;
    auto sender = Sender::open(url, wishes);
    if (!sender) return refused(life, sender.error());
    life.opened = world_.tick();
    ++world_.events;
    if (one_in(5)) static_cast<void>(sender->wait_for_receiver(soon()));
    bool goes_on = true;
    const std::uint64_t many = one_in(3) ? below(200) : below(12);
    const bool stays = one_in(5);
    for (std::uint64_t i = 0; goes_on && (stays || i < many) && !world_.stop; ++i) {
      life.call = world_.now();
      goes_on = send_some(id, life, *sender);
      pause(stays ? 2 : 6);
    }
    if (sender->status() == Status::kOk && one_in(4)) flush(life, *sender);
    if (sender->status() != Status::kOk && life.ended == 0) ended(life, sender->status());
    pause(4);
    life.ids_at_close = world_.known_ids();
    life.broke_off = sender->status() == Status::kOk && one_in(6);
    life.closing = world_.tick();
    if (life.broke_off) sender->break_off();
    life.close_status = sender->close(Deadline::after(std::chrono::microseconds(below(20'000))));
    if (world_.careless == Careless::kEndIsDenied) life.killing = life.closing.load();
    life.closed = world_.tick();
    ++world_.events;
  }

  // In one of the ways to send. False once nothing can be sent any more.
  bool send_some(std::uint32_t id, Life& life, Sender& sender) {
    switch (below(6)) {
      case 0: return send_in_place(id, life, sender);
      case 1: return send_batch(id, life, sender);
      default: break;
    }
    std::vector<std::byte> bytes(draw_size(sender));
    const auto at = begin(id, bytes);
    if (!at) return false;
    if (world_.careless == Careless::kSenderClaims && *at == 7) {
      enter(life, *at, Status::kOk);
      return true;
    }
    const Status status = sender.send(bytes, soon());
    enter(life, *at, status);
    return goes_on(life, status);
  }
  bool send_in_place(std::uint32_t id, Life& life, Sender& sender) {
    auto claim = sender.claim(draw_size(sender), soon());
    if (!claim) return goes_on(life, claim.status());
    if (one_in(4)) return true;  // forgotten
    const auto at = begin(id, claim->bytes());
    if (!at) return false;
    pause(4);
    std::move(*claim).commit();
    // A commit says nothing: what the handle says after it has to do.
    enter(life, *at, sender.status());
    return goes_on(life, sender.status());
  }
  bool send_batch(std::uint32_t id, Life& life, Sender& sender) {
    std::vector<std::uint32_t> ids;
    Status status = Status::kOk;
    {
      Sender::Batch batch(sender);
      for (std::uint64_t i = below(4); i > 0 && status == Status::kOk; --i) {
        std::vector<std::byte> bytes(draw_size(sender));
        const auto at = begin(id, bytes);
        if (!at) break;
        status = batch.try_add(bytes);
        if (status != Status::kOk) {
          enter(life, *at, status);
        } else {
          ids.push_back(*at);
        }
      }
      pause(4);
      if (status == Status::kOk || status == Status::kWouldBlock) {
        status = std::move(batch).commit(soon());
      }
    }
    for (const std::uint32_t at : ids) enter(life, at, status);
    return goes_on(life, status);
  }
  void flush(Life& life, Sender& sender) {
    if (channel_.kind == Kind::kBytes || has_accounts(channel_.kind)) return;
    life.call = world_.now();
    const std::uint32_t until = world_.known_ids();
    const Status status = sender.flush(soon());
    static_cast<void>(goes_on(life, status));
    if (status != Status::kOk || life.drop) return;
    for (std::uint32_t i = life.first; i < until && i != kNobody; ++i) {
      const Entry& entry = world_.entry[i];
      const bool mine = &world_.life[entry.sender] == &life && entry.fate == Fate::kCertain;
      if (mine && !entry.received()) return life.complain(Wrong::kFlushed, i);
    }
  }

  std::size_t draw_size(const Sender& sender) {
    const std::size_t least = sizeof(Letter);
    // What a pipe takes at once is 4 KiB.
    const std::size_t limit = channel_.kind == Kind::kBytes ? 20'000 : 2'000;
    const std::size_t most = std::min(sender.max_message_bytes(), limit);
    return least + (one_in(10) ? below(most - least + 1) : below(std::min(most - least + 1, 60ul)));
  }
  // Announces a message and writes it; its id.
  std::optional<std::uint32_t> begin(std::uint32_t life, std::span<std::byte> bytes) {
    const std::uint32_t id = world_.ids.fetch_add(1);
    if (id >= World::kMessages) return std::nullopt;
    world_.entry[id].sender = life;
    world_.entry[id].fate = Fate::kBegun;
    write_letter(bytes, {id, life, number_++, 0}, world_.story);
    return id;
  }
  void enter(Life& life, std::uint32_t id, Status status) {
    Entry& entry = world_.entry[id];
    switch (status) {
      case Status::kOk:
        // What a byte stream was not given time for may lie in this process.
        if (channel_.kind == Kind::kBytes && until_.passed()) break;
        entry.certain_at = world_.now();
        entry.fate = Fate::kCertain;
        if (life.first == kNobody) life.first = id;
        life.last = id;
        ++life.count;
        break;
      case Status::kPeerGone:
      case Status::kPeerDied:
      case Status::kIoError: entry.fate = Fate::kTold; break;
      default: entry.fate = Fate::kRefused; break;
    }
  }
  bool goes_on(Life& life, Status status) {
    switch (status) {
      case Status::kOk:
      case Status::kWouldBlock:
      case Status::kTimedOut:
      case Status::kInterrupted: return true;
      default: ended(life, status); return false;
    }
  }
  void ended(Life& life, Status status) {
    life.status = status;
    life.ended = world_.tick();
  }
  void refused(Life& life, const Error& error) {
    const ErrorCode why = error.code;
    std::snprintf(life.refusal_text, sizeof life.refusal_text, "%s", error.message.c_str());
    life.refusal = why;
    life.refused = world_.tick();
    if (why == ErrorCode::kBusy) usleep(static_cast<useconds_t>(below(1'000)));
  }

  // --- Receiving ---------------------------------------------------------------------------------

  void receive_life(std::uint32_t id, Life& life, const std::string& url,
                    const OpenOptions& wishes) {
    auto receiver = Receiver::open(url, wishes);
    if (!receiver) return refused(life, receiver.error());
    life.opened = world_.tick();
    ++world_.events;
    next_of_.clear();
    lost_ = receiver->lost();
    const std::uint64_t many = one_in(2) ? below(200) : below(12);
    const bool stays = settles_ || one_in(3);
    const Deadline timeout = Deadline::after(std::chrono::seconds(20));
    for (std::uint64_t i = 0; (stays || i < many) && (settles_ || !world_.stop); ++i) {
      life.call = world_.now();
      auto message = one_in(3) && !settles_ ? receiver->try_next()  //
                                            : receiver->next(soon());
      if (!message) {
        if (!goes_on(life, receiver->status())) break;
        if (timeout.passed()) break;
        continue;
      }
      read(id, life, *receiver, std::move(message));
      pause(settles_ ? 1000 : 6);
    }
    life.lost = receiver->lost();
    life.tail_lost = life.lost - lost_;
    pause(4);
    life.closing = world_.tick();
    if (one_in(2)) receiver->detach();
    { const Receiver gone(std::move(*receiver)); }
    life.closed = world_.tick();
    ++world_.events;
  }

  // Writes the message into the books before it is given back.
  template <class Taken>
  void read(std::uint32_t id, Life& life, const Receiver& receiver, Taken message) {
    const std::vector<std::byte> copy = message->take();
    const bool redelivered = message->redelivered();
    if (!has_accounts(channel_.kind)) {
      if (const auto letter = look_at(life, copy)) {
        if (world_.careless != Careless::kReceiverForgets || letter->id != 7) {
          enter(id, life, *letter, redelivered);
        }
      }
      pause(20);
      return;
    }
    pause(20);
    // What this says counts: as received, or as lost from the next look on.
    const bool intact = message->intact();
    const std::uint64_t lost = receiver.lost();
    if (!intact && !life.lossy) life.complain(Wrong::kNotIntact, life.last);
    { const auto gone = std::move(message); }
    if (!intact) return;
    if (const auto letter = look_at(life, copy)) {
      if (world_.careless != Careless::kReceiverForgets || life.count != 3) {
        enter_account(life, *letter, lost);
      }
    }
  }

  std::optional<Letter> look_at(Life& life, Bytes bytes) {
    const auto letter = read_letter(bytes, world_.story);
    if (!letter || letter->id >= world_.known_ids()) {
      life.complain(Wrong::kTorn, life.last, bytes.size());
      return std::nullopt;
    }
    const Entry& entry = world_.entry[letter->id];
    if (entry.fate == Fate::kNone || entry.sender != letter->sender) {
      life.complain(Wrong::kTorn, letter->id, letter->sender);
    }
    return letter;
  }
  void enter(std::uint32_t id, Life& life, const Letter& letter, bool redelivered) {
    Entry& entry = world_.entry[letter.id];
    if (entry.received() && !redelivered) {
      life.again_of = entry.receiver.load();
      ++life.again;
    }
    std::uint64_t& next = next_of_[channel_.kind == Kind::kSlots ? letter.sender : 0];
    const std::uint64_t place = channel_.kind == Kind::kSlots ? letter.number : letter.id;
    if (!redelivered) {
      if (place < next) life.complain(Wrong::kOrder, letter.id, next);
      next = place + 1;
    }
    entry.receiver = id + 1;
    if (entry.received_at == 0) entry.received_at = world_.now();
    ++(redelivered ? entry.marked : entry.fresh);
    count(life, letter);
  }
  void count(Life& life, const Letter& letter) {
    if (life.first == kNobody) life.first = static_cast<std::uint32_t>(letter.id);
    life.last = static_cast<std::uint32_t>(letter.id);
    ++life.count;
  }
  // What was missed between two messages is what lost() has grown by.
  void enter_account(Life& life, const Letter& letter, std::uint64_t lost) {
    if (life.last != kNobody) {
      if (letter.id <= life.last) return life.complain(Wrong::kOrder, letter.id, life.last);
      std::uint64_t certain = 0;
      std::uint64_t perhaps = 0;
      for (std::uint64_t i = life.last + 1; i < letter.id; ++i) {
        const Fate fate = world_.entry[i].fate;
        certain += fate == Fate::kCertain;
        perhaps += fate == Fate::kBegun || fate == Fate::kTold;
      }
      const std::uint64_t counted = lost - lost_;
      if (counted < certain || counted > certain + perhaps) {
        life.complain(Wrong::kAccount, letter.id, counted, certain);
      }
    }
    lost_ = lost;
    ++world_.entry[letter.id].fresh;
    count(life, letter);
  }

  World& world_;
  const Channel& channel_;
  std::uint32_t index_;
  bool sends_;
  bool settles_ = false;
  std::mt19937_64 random_;
  Deadline until_ = Deadline::now();                // of the last call that could wait
  std::uint64_t number_ = 0;                        // of the next message of this life
  std::map<std::uint64_t, std::uint64_t> next_of_;  // what may come next
  std::uint64_t lost_ = 0;                          // when the last message was read
};

}  // namespace rondo::testing::lives
