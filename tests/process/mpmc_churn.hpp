// Workers on one MPMC ring who are killed at random, stopped and continued, and replaced; and the
// books about every message. Used with few kills in CI and with many in the soak.
#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "rondo/core/mpmc_ring.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/segment.hpp"

namespace rondo::testing {

inline constexpr std::uint64_t kMaxMessages = 1 << 24;
inline constexpr std::uint32_t kSlotsForWorkers = 24;

struct Parcel {
  std::uint64_t id;           // index into the books
  std::uint64_t incarnation;  // of its producer
  std::uint64_t number;       // among that producer's
  std::uint64_t check;

  [[nodiscard]] std::uint64_t sum() const {
    return (id * 31 + incarnation) * 0x9E37'79B9'7F4A'7C15u ^ number;
  }
};

// In shared memory; every word is written by those it is about, before they act on it.
struct Books {
  enum Sent : std::uint8_t { kNever = 0, kBegun = 1, kCommitted = 2 };

  Atomic<std::uint64_t> next_id;
  Atomic<std::uint64_t> next_incarnation;
  Atomic<std::uint64_t> received;
  Atomic<std::uint32_t> closing;
  Atomic<std::uint32_t> torn;
  Atomic<std::uint32_t> disordered;
  Atomic<std::uint32_t> corrupt;
  Atomic<std::uint8_t> sent[kMaxMessages];
  Atomic<std::uint8_t> fresh[kMaxMessages];
  Atomic<std::uint8_t> marked[kMaxMessages];
};

class Churn {
 public:
  using Ring = mpmc_ring<Parcel>;
  static constexpr auto kRelaxed = std::memory_order_relaxed;

  Churn(unsigned seed, std::uint64_t capacity)
      : random_(seed),
        params_{.capacity = capacity, .participants = kSlotsForWorkers},
        segment_(value(Segment::create(
            {Backing::kMemfd, ""}, value(Ring::layout_for(params_)).total_bytes, {},
            [this](std::span<std::byte> bytes) { return Ring::create(bytes, params_); }))),
        books_(static_cast<Books*>(mmap(nullptr, sizeof(Books), PROT_READ | PROT_WRITE,
                                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0))) {}
  ~Churn() { munmap(books_, sizeof(Books)); }
  Churn(const Churn&) = delete;
  Churn& operator=(const Churn&) = delete;

  // Kills until `kills` are done (and `enough()` says so); then ends in order, and balances the
  // books. Returns what is wrong, empty if nothing.
  std::string run(std::uint64_t kills, const std::function<bool()>& enough) {
    for (int i = 0; i < kWorkers; ++i) workers_.push_back(spawn(i % 2 == 0));
    while ((kills_ < kills || !enough()) && !out_of_ids()) {
      wait_for_progress();
      meddle();
      if (books_->corrupt.load(kRelaxed) != 0) break;
    }
    end_in_order();
    return balance();
  }
  [[nodiscard]] std::uint64_t kills() const { return kills_; }
  [[nodiscard]] std::uint64_t stops() const { return stops_; }
  [[nodiscard]] std::uint64_t messages() const { return books_->next_id.load(kRelaxed); }
  [[nodiscard]] std::uint64_t redeliveries() const { return redeliveries_; }

 private:
  static constexpr int kWorkers = 8;
  struct Worker {
    pid_t pid;
    bool producer;
    bool stopped;
  };

  template <class T>
  static T value(Result<T> result) {
    if (!result) {
      std::fprintf(stderr, "%s\n", result.error().message.c_str());
      std::abort();
    }
    return std::move(result).value();
  }
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  [[nodiscard]] bool out_of_ids() const { return messages() > kMaxMessages - 100'000; }

  Worker spawn(bool producer) {
    const std::uint64_t seed = random_();
    const pid_t pid = fork();
    if (pid < 0) std::abort();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      random_.seed(seed);
      work(producer);
      _exit(0);
    }
    return {pid, producer, false};
  }

  // --- In the workers
  // -----------------------------------------------------------------------------

  struct Member {
    explicit Member(Churn& churn)
        : participants(value(Participants::open(
              churn.segment_, value(check_header(churn.segment_.bytes(), RingKind::kMpmc, "it"))))),
          ring(value(Ring::attach(churn.segment_.bytes()))) {
      JoinRequest request;
      request.slot_count = kSlotsForWorkers;
      const auto recover = [this](std::uint32_t mine) {
        return !ring.recovery(mine).one(mine, participants).pending;
      };
      auto joined = participants.join(request, recover);
      while (!joined && (joined.error().code == ErrorCode::kTimedOut ||
                         joined.error().code == ErrorCode::kNoSlot)) {
        joined = participants.join(request, recover);
      }
      slot = value(std::move(joined)).slot;
    }
    Participants participants;
    Ring ring;
    std::uint32_t slot = 0;
  };

  // A blocked worker looks after the dead from time to time.
  template <class Outcome>
  void blocked(Member& member, Outcome why, std::uint32_t& times) {
    if (why == Outcome::kCorrupt) books_->corrupt.store(1, kRelaxed);
    if (++times % 16 == 0) member.ring.recovery(member.slot).all(member.participants);
    std::this_thread::yield();
  }
  void work(bool producer) {
    Member member(*this);
    producer ? produce(member) : consume(member);
    member.participants.leave(false);
  }
  void produce(Member& member) {
    Ring::Producer producer(member.ring, member.slot);
    const std::uint64_t incarnation = books_->next_incarnation.fetch_add(1, kRelaxed);
    std::uint64_t number = 0;
    std::uint32_t times = 0;
    while (books_->closing.load(kRelaxed) == 0 && !out_of_ids()) {
      auto claim = producer.try_claim_some(static_cast<std::uint32_t>(below(5) + 1));
      if (!claim) {
        blocked(member, producer.outcome(), times);
        continue;
      }
      const auto count = static_cast<std::uint32_t>(claim->size());
      const auto commit = static_cast<std::uint32_t>(below(20) == 0 ? below(count + 1) : count);
      const std::uint64_t first = books_->next_id.fetch_add(commit, kRelaxed);
      for (std::uint32_t i = 0; i < commit; ++i) {
        Parcel& parcel = (*claim)[i];
        parcel = {first + i, incarnation, number++, 0};
        parcel.check = parcel.sum();
        books_->sent[first + i].store(Books::kBegun, kRelaxed);
      }
      linger();
      claim->shrink(commit);
      std::move(*claim).commit();
      for (std::uint32_t i = 0; i < commit; ++i) {
        books_->sent[first + i].store(Books::kCommitted, kRelaxed);
      }
    }
  }
  void consume(Member& member) {
    Ring::Consumer consumer(member.ring, member.slot);
    std::map<std::uint64_t, std::uint64_t> next_of;  // by incarnation
    std::uint32_t times = 0;
    while (books_->closing.load(kRelaxed) < 2) {
      const auto message = consumer.try_next_some(static_cast<std::uint32_t>(below(5) + 1));
      if (!message) {
        blocked(member, consumer.outcome(), times);
        continue;
      }
      for (std::uint32_t i = 0; i < message->size(); ++i) {
        enter((*message)[i], message->redelivered(), next_of);
      }
      books_->received.fetch_add(message->size(), kRelaxed);
      linger();
    }
  }
  // Holds on to what it has, now and then, so that death often finds something in its hands.
  void linger() {
    if (below(8) != 0) return;
    for (std::uint64_t i = below(20); i > 0; --i) std::this_thread::yield();
  }
  void enter(const Parcel& parcel, bool redelivered,
             std::map<std::uint64_t, std::uint64_t>& next_of) {
    if (parcel.check != parcel.sum() || parcel.id >= kMaxMessages) {
      books_->torn.fetch_add(1, kRelaxed);
      return;
    }
    (redelivered ? books_->marked : books_->fresh)[parcel.id].fetch_add(1, kRelaxed);
    if (redelivered) return;  // comes late, and says so
    std::uint64_t& next = next_of[parcel.incarnation];
    if (parcel.number < next) books_->disordered.fetch_add(1, kRelaxed);
    next = parcel.number + 1;
  }

  // --- In the parent
  // ------------------------------------------------------------------------------

  // Until some messages have passed, or for a moment: perhaps all that could go on are stopped.
  void wait_for_progress() {
    const std::uint64_t goal = books_->received.load(kRelaxed) + below(400);
    const auto latest = std::chrono::steady_clock::now() + std::chrono::milliseconds(2);
    while (books_->received.load(kRelaxed) < goal && std::chrono::steady_clock::now() < latest) {
      std::this_thread::yield();
    }
  }
  void meddle() {
    Worker& worker = workers_[below(workers_.size())];
    switch (below(5)) {
      case 0:
        ::kill(worker.pid, worker.stopped ? SIGCONT : SIGSTOP);
        stops_ += !worker.stopped;
        worker.stopped = !worker.stopped;
        break;
      default:
        ::kill(worker.pid, SIGKILL);
        waitpid(worker.pid, nullptr, 0);
        ++kills_;
        worker = spawn(worker.producer);
    }
  }
  void end_in_order() {
    for (const Worker& worker : workers_) ::kill(worker.pid, SIGCONT);
    books_->closing.store(1, kRelaxed);
    for (const Worker& worker : workers_) {
      if (worker.producer) waitpid(worker.pid, nullptr, 0);
    }
    books_->closing.store(2, kRelaxed);
    for (const Worker& worker : workers_) {
      if (!worker.producer) waitpid(worker.pid, nullptr, 0);
    }
  }
  std::string balance() {
    Member member(*this);
    Ring::Consumer consumer(member.ring, member.slot);
    std::map<std::uint64_t, std::uint64_t> next_of;
    for (int i = 0; i < 3; ++i) {
      member.ring.recovery(member.slot).all(member.participants);
      while (const auto message = consumer.try_next()) {
        enter(**message, message->redelivered(), next_of);
      }
    }
    std::uint64_t lost = 0, twice = 0, unsent = 0;
    for (std::uint64_t id = 0; id < messages(); ++id) {
      const unsigned fresh = books_->fresh[id].load(kRelaxed);
      const unsigned marked = books_->marked[id].load(kRelaxed);
      const unsigned sent = books_->sent[id].load(kRelaxed);
      lost += sent == Books::kCommitted && fresh + marked == 0;
      twice += fresh > 1;
      unsent += sent == Books::kNever && fresh + marked != 0;
      redeliveries_ += marked;
    }
    std::string wrong;
    const auto none = [&wrong](std::uint64_t count, const char* what) {
      if (count != 0) wrong += std::to_string(count) + " " + what + "; ";
    };
    none(lost, "lost");
    none(twice, "unmarked twice");
    none(unsent, "from nowhere");
    none(books_->torn.load(kRelaxed), "torn");
    none(books_->disordered.load(kRelaxed), "out of order");
    none(books_->corrupt.load(kRelaxed), "corrupt");
    Ring::Producer producer(member.ring, member.slot);
    std::uint64_t room = 0;
    while (room <= params_.capacity && producer.try_push(Parcel{})) ++room;
    if (room != params_.capacity) wrong += "room for " + std::to_string(room) + "; ";
    return wrong;
  }

  std::mt19937_64 random_;
  MpmcParams params_;
  Segment segment_;
  Books* books_;
  std::vector<Worker> workers_;
  std::uint64_t kills_ = 0;
  std::uint64_t stops_ = 0;
  std::uint64_t redeliveries_ = 0;
};

// Prints the seed and the counts; RONDO_SEED repeats a run, as far as processes can be repeated.
inline std::string churn(std::uint64_t capacity, std::uint64_t kills,
                         const std::function<bool()>& enough) {
  const char* given = std::getenv("RONDO_SEED");
  const unsigned seed = given != nullptr ? static_cast<unsigned>(std::strtoul(given, nullptr, 10))
                                         : std::random_device{}();
  Churn churn(seed, capacity);
  std::string wrong = churn.run(kills, enough);
  std::printf("%llu slots, seed %u: %llu kills, %llu stops, %llu messages, %llu redeliveries%s%s\n",
              static_cast<unsigned long long>(capacity), seed,
              static_cast<unsigned long long>(churn.kills()),
              static_cast<unsigned long long>(churn.stops()),
              static_cast<unsigned long long>(churn.messages()),
              static_cast<unsigned long long>(churn.redeliveries()), wrong.empty() ? "" : ": ",
              wrong.c_str());
  return wrong;
}

}  // namespace rondo::testing
