// rondo::Atomic<T> for runs against a hostile peer (RONDO_ATOMIC_HEADER): it strikes just before a
// load of a test's choice, so that a word which is read twice can be two words. All loads are
// counted, those of read-modify-writes too; too many of them in one act end the program.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace rondo::hostile {

// What the peer does with a word.
struct Strike {
  enum class How : std::uint8_t { kWrites, kAdds, kFlips };
  How how = How::kWrites;
  std::uint64_t with = 0;

  [[nodiscard]] std::uint64_t applied_to(std::uint64_t word) const noexcept {
    switch (how) {
      case How::kWrites: return with;
      case How::kAdds: return word + with;
      case How::kFlips: return word ^ with;
    }
    return word;
  }
};

// The peer, of whom there is one. It does nothing until told.
class Peer {
 public:
  // Strikes before load number `at`, counted from 1. The word stays so, or (a peer that writes
  // twice) is seen so once.
  void strike_at(std::uint64_t at, Strike strike, bool stays) noexcept {
    at_ = at;
    strike_ = strike;
    stays_ = stays;
  }
  // Strikes before any load, whenever `draw(strike)` says so.
  using Draw = bool (*)(Strike& strike);
  void strike_whenever(Draw draw) noexcept { draw_ = draw; }
  void rest() noexcept {
    at_ = 0;
    draw_ = nullptr;
    most_ = ~std::uint64_t{0};
  }
  // While it looks away, loads are not its business, nor counted.
  void look_away(bool away) noexcept { away_ = away; }

  // An act begins, which may take `most` loads.
  void begin(const char* what, std::uint64_t most) noexcept {
    what_ = what;
    loads_ = 0;
    most_ = most;
  }
  [[nodiscard]] std::uint64_t loads() const noexcept { return loads_; }

  // What a load sees of `word`.
  template <class T>
  T seen(T& word) noexcept {
    if (away_) return word;
    if (++loads_ > most_) give_up("took too many loads");
    Strike strike = strike_;
    const bool drawn = draw_ != nullptr && draw_(strike);
    if (!drawn && loads_ != at_) return word;
    std::uint64_t wide = 0;
    std::memcpy(&wide, &word, sizeof word);
    wide = strike.applied_to(wide);
    T result;
    std::memcpy(&result, &wide, sizeof result);
    if (drawn ? loads_ % 2 == 0 : stays_) word = result;
    return result;
  }

  // Says in what act the program ended. May be called in a signal's handler.
  void tell(const char* why) const noexcept {
    std::fprintf(stderr, "%s %s, at load %llu; struck at %llu with %llu (%d%s)\n", what_, why,
                 static_cast<unsigned long long>(loads_), static_cast<unsigned long long>(at_),
                 static_cast<unsigned long long>(strike_.with), static_cast<int>(strike_.how),
                 stays_ ? ", stays" : "");
  }

 private:
  [[noreturn]] void give_up(const char* why) const noexcept {
    tell(why);
    std::_Exit(1);
  }

  const char* what_ = "";
  std::uint64_t loads_ = 0;
  std::uint64_t most_ = ~std::uint64_t{0};
  std::uint64_t at_ = 0;
  Strike strike_;
  bool stays_ = false;
  Draw draw_ = nullptr;
  bool away_ = false;
};

inline Peer& peer() noexcept {
  static Peer instance;
  return instance;
}

}  // namespace rondo::hostile

namespace rondo {

template <class T>
class Atomic {
 public:
  static_assert(sizeof(T) <= sizeof(std::uint64_t));
  static constexpr bool is_always_lock_free = true;

  Atomic() noexcept : value_{} {}
  Atomic(T value) noexcept : value_(value) {}  // NOLINT: as std::atomic
  Atomic(const Atomic&) = delete;
  Atomic& operator=(const Atomic&) = delete;

  // The orders do not matter here: there is one thread.
  T load(std::memory_order) const noexcept { return hostile::peer().seen(value_); }
  void store(T value, std::memory_order) noexcept { value_ = value; }
  T exchange(T value, std::memory_order) noexcept {
    return modify([value](T) { return value; });
  }
  T fetch_add(T by, std::memory_order) noexcept {
    return modify([by](T old) { return static_cast<T>(old + by); });
  }
  T fetch_sub(T by, std::memory_order) noexcept {
    return modify([by](T old) { return static_cast<T>(old - by); });
  }
  T fetch_or(T bits, std::memory_order) noexcept {
    return modify([bits](T old) { return static_cast<T>(old | bits); });
  }
  T fetch_and(T bits, std::memory_order) noexcept {
    return modify([bits](T old) { return static_cast<T>(old & bits); });
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order,
                               std::memory_order) noexcept {
    const T old = hostile::peer().seen(value_);
    if (old != expected) {
      expected = old;
      return false;
    }
    value_ = desired;
    return true;
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success,
                             std::memory_order failure) noexcept {
    return compare_exchange_strong(expected, desired, success, failure);
  }

 private:
  template <class Change>
  T modify(Change&& how) noexcept {
    const T old = hostile::peer().seen(value_);
    value_ = how(old);
    return old;
  }

  mutable T value_;  // the peer writes it while we read
};

inline void atomic_fence(std::memory_order) noexcept {}

}  // namespace rondo
