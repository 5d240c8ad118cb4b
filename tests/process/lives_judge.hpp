// Holds the books of a story (lives_books.hpp) against what docs/transports.md promises, once
// everybody has gone and all that was left has been read.
#pragma once

#include <cstdio>
#include <string>

#include "process/lives_books.hpp"

namespace rondo::testing::lives {

struct Tally {
  std::uint64_t lives = 0, refused = 0, deaths = 0, left = 0;
  std::uint64_t certain = 0, delivered = 0, again = 0, told = 0, by_policy = 0, went = 0;
};

class Judge {
 public:
  Judge(const World& world, const Channel& channel, bool name_stayed)
      : world_(world), channel_(channel), name_stayed_(name_stayed) {}

  // What is wrong, the first thing of each kind; empty if nothing is.
  std::string verdict(Tally& tally) {
    for (std::uint32_t i = 0; i < world_.known_ids(); ++i) judge_message(i, tally);
    for (std::uint32_t i = 0; i < world_.known_lives(); ++i) judge_life(i, tally);
    if (name_stayed_) blame("the name is still there, and nobody has anything left to come for");
    return said_;
  }

  // All lives that were let in, in the order of their coming.
  [[nodiscard]] std::string history() const {
    std::string text;
    for (std::uint32_t i = 0; i < world_.known_lives(); ++i) {
      if (world_.life[i].begun != 0 && (world_.life[i].refused == 0 || world_.life[i].settles))
        text += line_of(i);
    }
    return text;
  }

 private:
  template <class... Values>
  void blame(const char* format, Values... values) {
    if (++blamed_ > 6) return;
    char line[300];
    std::snprintf(line, sizeof line, format, values...);
    said_ += std::string("  ") + line + "\n";
  }

  void judge_life(std::uint32_t id, Tally& tally) {
    const Life& life = world_.life[id];
    ++tally.lives;
    tally.refused += life.refused != 0;
    tally.deaths += life.died();
    tally.left += life.closed != 0;
    tally.again += life.sends ? 0 : life.again.load();
    if (life.wrong != Wrong::kNothing) {
      static constexpr const char* kWhat[] = {"nothing",
                                              "a message that nobody sent like this",
                                              "a message out of order",
                                              "a message that was refused",
                                              "an account that is not what was missed",
                                              "a message overwritten and not counted",
                                              "flush() was kOk and a message is unread",
                                              "an exception"};
      blame("life %u: %s: message %llu (%llu, %llu)", id,
            kWhat[static_cast<unsigned>(life.wrong.load())], number(life.wrong_id),
            number(life.wrong_a), number(life.wrong_b));
    }
    if (life.refused != 0) judge_refusal(id, life);
    if (life.opened == 0) return;
    if (life.again != 0) judge_again(id, life);
    if (life.ended == 0) return;
    if (life.sends) {
      judge_senders_end(id, life);
    } else {
      judge_receivers_end(id, life);
    }
  }

  void judge_refusal(std::uint32_t id, const Life& life) {
    switch (life.refusal) {
      case ErrorCode::kTimedOut: return;
      case ErrorCode::kBusy:
      case ErrorCode::kNoSlot:
        for (std::uint32_t i = 0; i < world_.known_lives(); ++i) {
          const Life& other = world_.life[i];
          const bool could = i != id && other.sends == life.sends && other.begun < life.refused &&
                             (other.closed == 0 || other.closed > life.begun) &&
                             (other.refused == 0 || other.refused > life.begun) &&
                             (other.killed == 0 || other.killed > life.begun);
          if (could) return;
        }
        blame("life %u: told that another one is there (error %u), and none was", id,
              static_cast<unsigned>(life.refusal.load()));
        return;
      default:
        blame("life %u at %llu: could not open: %s", id, number(life.begun), life.refusal_text);
    }
  }

  // Messages come again only after the receiver that had them was killed.
  void judge_again(std::uint32_t id, const Life& life) {
    const std::uint32_t had = life.again_of - 1;
    if (channel_.kind != Kind::kSingle) {
      blame("life %u: %u messages came twice, unmarked", id, life.again.load());
    } else if (!world_.life[had].died()) {
      blame("life %u: %u messages came again, though life %u, who had them, left in order", id,
            life.again.load(), had);
    } else if (world_.life[had].eager && life.again > 1) {
      blame("life %u: %u messages came again after life %u, who was eager", id, life.again.load(),
            had);
    }
  }

  void judge_senders_end(std::uint32_t id, const Life& life) {
    const Status status = life.status;
    if (status != Status::kPeerGone && status != Status::kPeerDied) {
      return blame("life %u: the sender's status is %u", id, static_cast<unsigned>(status));
    }
    if (life.await_successor)
      blame("life %u: awaits a successor, and was told that its peer is gone", id);
    if (has_accounts(channel_.kind)) blame("life %u: waits for nobody, and was told so", id);
    judge_loss_of_peer(id, life, status == Status::kPeerDied && channel_.kind != Kind::kBytes);
  }

  // A life told that the other side has gone, or died: one has, and none was there all the time.
  void judge_loss_of_peer(std::uint32_t id, const Life& life, bool died) {
    bool one_has = false;
    for (std::uint32_t i = 0; i < world_.known_lives(); ++i) {
      const Life& other = world_.life[i];
      if (other.sends == life.sends || other.begun > life.ended) continue;
      const bool left_ill = other.closing != 0 && other.closing < life.ended && !ended_well(other);
      const bool gone = (other.closing != 0 && other.closing < life.ended) || other.refused != 0;
      const bool dead = other.killing != 0 && other.killing < life.ended;
      one_has = one_has || dead || (died ? other.sends && left_ill : gone);
      if (outlives_its_sender(channel_) && other.there(life.call, life.ended)) {
        blame("life %u: told that its peer is gone, and life %u was there all the time", id, i);
      }
    }
    // A stream that ends without an end mark says so, whatever became of its sender.
    if (!one_has && channel_.kind != Kind::kBytes)
      blame("life %u: told that its peer has %s", id, died ? "died" : "gone");
  }

  [[nodiscard]] static bool ended_well(const Life& sender) {
    return sender.closing != 0 && sender.ended == 0 && !sender.broke_off && !sender.died();
  }
  // Killed within close(), it may have ended well.
  [[nodiscard]] bool perhaps_well(const Life& sender) const {
    if (world_.careless == Careless::kEndIsDenied) return ended_well(sender);
    return sender.closing != 0 && sender.ended == 0 && !sender.broke_off;
  }

  void judge_receivers_end(std::uint32_t id, const Life& life) {
    switch (life.status) {
      case Status::kEnded: return judge_end(id, life);
      case Status::kPeerDied:
        if (life.await_successor)
          blame("life %u: awaits a successor, and was told that its peer died", id);
        judge_loss_of_peer(id, life, true);
        judge_rest(id, life);
        return;
      case Status::kPeerGone: return judge_break(id, life);
      default:
        blame("life %u: the receiver's status is %u", id,
              static_cast<unsigned>(life.status.load()));
    }
  }

  // A stream is broken off by a sender that said so, or that could not go on, behind all it sent.
  void judge_break(std::uint32_t id, const Life& life) {
    for (std::uint32_t i = 0; i < world_.known_lives(); ++i) {
      const Life& sender = world_.life[i];
      const bool ill = sender.broke_off || sender.ended != 0;
      if (!sender.sends || !ill || sender.closing == 0 || sender.closing > life.ended) continue;
      if (unread_before(sender, life) == kNobody) return;
    }
    blame("life %u: told that its sender broke off behind what it has read, and none has", id);
  }

  // A receiver told that the sender died has read all that it had committed. Of a channel that goes
  // with its sender: all since it came.
  void judge_rest(std::uint32_t id, const Life& life) {
    const bool accounts = has_accounts(channel_.kind);
    const bool one_sender = !outlives_its_sender(channel_);
    if ((accounts || one_sender) && life.last == kNobody) return;
    std::uint64_t certain = 0;
    std::uint32_t first = kNobody;
    for (std::uint32_t i = accounts     ? life.last + 1
                           : one_sender ? life.first.load()
                                        : 0;
         i < world_.known_ids(); ++i) {
      const Entry& entry = world_.entry[i];
      if (entry.fate != Fate::kCertain || entry.certain_at >= life.call) continue;
      if (one_sender ? entry.sender != world_.entry[life.last].sender || entry.received()
                     : !accounts && (!entry.received() || entry.received_at <= life.ended)) {
        continue;
      }
      if (first == kNobody) first = i;
      ++certain;
    }
    if (certain > (accounts ? life.tail_lost.load() : 0)) {
      blame("life %u: told that its sender is gone with %llu messages unread, the first is %u", id,
            number(certain), first);
    }
  }

  // An end stands behind all that a sender which closed well has sent, and the others before it.
  void judge_end(std::uint32_t id, const Life& life) {
    bool none_well = true;
    std::uint32_t missing = kNobody;
    for (std::uint32_t i = 0; i < world_.known_lives(); ++i) {
      const Life& sender = world_.life[i];
      if (!sender.sends || !perhaps_well(sender) || sender.closing > life.ended) continue;
      // A successor may come before it is noticed that the one before it died.
      const bool earlier = !outlives_its_sender(channel_) && life.last != kNobody &&
                           world_.entry[life.last].sender > i;
      if (earlier) continue;
      none_well = false;
      const std::uint32_t unread = unread_before(sender, life);
      if (unread == kNobody) return;
      missing = unread;
    }
    if (none_well) return blame("life %u: an end, and no sender has closed well", id);
    blame("life %u: an end, but message %u, which stands before it, was not read", id, missing);
  }
  // The first message before the end of `sender` that should have been read and was not.
  [[nodiscard]] std::uint32_t unread_before(const Life& sender, const Life& life) const {
    const bool accounts = has_accounts(channel_.kind);
    if (life.last != kNobody && channel_.kind != Kind::kSlots && life.last >= sender.ids_at_close) {
      return life.last;  // it has gone past this one
    }
    std::uint64_t lost = accounts ? life.tail_lost.load() : 0;
    std::uint32_t from = 0;
    if (accounts || !outlives_its_sender(channel_)) {
      if (life.last == kNobody) return kNobody;
      from = accounts ? life.last + 1 : life.first.load();
    }
    for (std::uint32_t i = from; i < sender.ids_at_close; ++i) {
      const Entry& entry = world_.entry[i];
      if (entry.fate != Fate::kCertain) continue;
      if (!outlives_its_sender(channel_) && &world_.life[entry.sender] != &sender) continue;
      // One that never came has been judged already.
      if (!accounts && (!entry.received() || entry.received_at <= life.ended)) continue;
      if (lost > 0) {
        --lost;
      } else if (accounts || entry.certain_at < life.call) {
        return i;
      }
    }
    return kNobody;
  }

  // Whether the sender was told that what it sent may not be read.
  [[nodiscard]] bool excused(const Life& sender) const {
    if (sender.ended != 0) return true;
    // It may have been killed when it had taken away what a receiver refused, and could not say so.
    if (sender.closing != 0 && sender.died() && !sender.await_successor) return was_refused(sender);
    return sender.closed != 0 && sender.close_status != Status::kOk;
  }

  // Whether a receiver left beside one that was killed.
  [[nodiscard]] bool was_refused(const Life& sender) const {
    for (std::uint32_t i = 0; i < world_.known_lives(); ++i) {
      const Life& other = world_.life[i];
      if (!other.sends && other.closing > sender.begun && other.closing < sender.killed)
        return true;
    }
    return false;
  }

  void judge_message(std::uint32_t id, Tally& tally) {
    const Entry& entry = world_.entry[id];
    const bool got = entry.received();
    tally.certain += entry.fate == Fate::kCertain;
    tally.delivered += got;
    if (got && entry.fate == Fate::kRefused) {
      blame("message %u came, though its sender was told that it was not sent", id);
    }
    if (got || entry.fate != Fate::kCertain || has_accounts(channel_.kind)) return;
    const Life& sender = world_.life[entry.sender];
    if (excused(sender)) {
      ++tally.told;
    } else if (channel_.kind == Kind::kSlots && sender.drop && dropped_ < receivers_killed()) {
      ++dropped_;
      ++tally.by_policy;
    } else if (!outlives_its_sender(channel_) && may_go(sender)) {
      ++tally.went;
    } else {
      blame("message %u of life %u is lost", id, entry.sender.load());
    }
  }
  [[nodiscard]] std::uint64_t receivers_killed() const {
    std::uint64_t count = 0;
    for (std::uint32_t i = 0; i < world_.known_lives(); ++i) {
      count += !world_.life[i].sends && world_.life[i].died();
    }
    return count;
  }
  // What is on its way goes with the sender's death, or with a receiver that leaves or is killed.
  [[nodiscard]] bool may_go(const Life& sender) const {
    if (sender.died() || sender.broke_off) return true;
    bool no_receiver_came = true;
    for (std::uint32_t i = 0; i < world_.known_lives(); ++i) {
      const Life& other = world_.life[i];
      // One that gave up may have been let in without knowing it yet.
      const bool let_in = other.refused == 0 ||
                          (channel_.kind != Kind::kBytes && other.refusal == ErrorCode::kTimedOut &&
                           other.begun < sender.closed && other.refused > sender.opened);
      const bool met = !other.sends && let_in && other.begun != 0 &&
                       (other.closed == 0 || other.closed > sender.opened);
      no_receiver_came = no_receiver_came && !met;
      // A receiver that has seen the end has read it all.
      if (met && !(other.ended != 0 && other.status == Status::kEnded)) return true;
    }
    return no_receiver_came && channel_.kind == Kind::kBytes;
  }

  static unsigned long long number(std::uint64_t value) { return value; }

  [[nodiscard]] std::string line_of(std::uint32_t id) const {
    const Life& life = world_.life[id];
    char line[400];
    int at = std::snprintf(line, sizeof line, "  %4u %s of worker %u [%s] from %llu", id,
                           life.sends ? "sender  " : "receiver", life.worker.load(), life.how,
                           number(life.begun));
    const auto add = [&](const char* format, auto... values) {
      if (at < static_cast<int>(sizeof line)) {
        at +=
            std::snprintf(line + at, sizeof line - static_cast<std::size_t>(at), format, values...);
      }
    };
    if (life.refused) {
      add(", refused at %llu: error %u", number(life.refused),
          static_cast<unsigned>(life.refusal.load()));
    }
    if (life.opened) add(", open at %llu", number(life.opened));
    if (life.count) {
      add(", %s %u in %u to %u", life.sends ? "sent" : "got", life.count.load(), life.first.load(),
          life.last.load());
    }
    if (!life.sends && life.again) add(", %u again", life.again.load());
    if (life.lost) add(", lost %llu", number(life.lost));
    if (life.ended) {
      const std::string status(to_string(life.status));
      add(", \"%s\" at %llu", status.c_str(), number(life.ended));
    }
    if (life.closing) add(", leaves at %llu", number(life.closing));
    if (life.broke_off) add(" (breaks off)");
    if (life.closed && life.close_status != Status::kOk) {
      const std::string status(to_string(life.close_status));
      add(" (\"%s\")", status.c_str());
    }
    if (life.closed) add(", left at %llu", number(life.closed));
    if (life.died())
      add(", killed between %llu and %llu", number(life.killing), number(life.killed));
    return std::string(line) + "\n";
  }

  const World& world_;
  const Channel& channel_;
  bool name_stayed_;
  std::string said_;
  int blamed_ = 0;
  std::uint64_t dropped_ = 0;
};

}  // namespace rondo::testing::lives
