// A deterministic scheduler with the weak memory of C++, for tests that must fail when a memory
// order is weakened, also on a machine that would never show it.
//
// Threads are coroutines on one real thread; at each atomic access a seeded random choice says who
// runs on. Each location keeps all its stores; each thread has a view: the oldest store of each
// location that it may still read. A load picks any store from there on; reading a release store
// with acquire joins the views. This is the operational model of "A promising semantics"
// (Kang et al., POPL 2017) without its promises: it shows stale reads, it does not show
// load buffering. Stores of a location take effect in the order in which they are executed, but a
// test may let read-modify-writes come in between (Modifications::kAnywhere): then a store that
// nobody is known to have seen is overtaken, as by a later store of its own thread. A seq_cst load
// finds at least the last seq_cst store of its location; seq_cst fences order through one global
// view; acquire and release fences hold back what relaxed loads brought,
// and put what was known before on all later stores.
#pragma once

#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <unordered_map>
#include <vector>

namespace rondo::weak {

// For each location, the time of the oldest store that may still be read.
using View = std::map<const void*, double>;

inline void join(View& into, const View& from) {
  for (const auto& [location, time] : from) {
    auto& known = into[location];
    known = std::max(known, time);
  }
}

struct Store {
  std::uint64_t value;
  View released;      // what an acquiring reader comes to know
  double time;        // its place among all stores of the location
  bool modification;  // nothing comes between it and the store before, which it has read
};

// Which store a read-modify-write reads.
enum class Modifications : std::uint8_t {
  kNewest,   // the one executed last
  kAnywhere  // any that it may still read, unless another one has; later ones then follow its own
};

inline bool acquires(std::memory_order order) noexcept {
  return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst;
}
inline bool releases(std::memory_order order) noexcept {
  return order == std::memory_order_release || order == std::memory_order_acq_rel ||
         order == std::memory_order_seq_cst;
}

class Execution {
 public:
  explicit Execution(std::uint64_t seed, Modifications modifications = Modifications::kNewest)
      : random_(seed), modifications_(modifications) {}

  // Runs the threads to their ends, interleaved by the seed. A thread that is killed stops at the
  // access after which kill() was drawn, and never runs again.
  void run(std::vector<std::function<void()>> bodies) {
    active() = this;
    for (auto& body : bodies) {
      auto thread = std::make_unique<Thread>();
      thread->body = std::move(body);
      thread->stack.resize(256 * 1024);
      getcontext(&thread->context);
      thread->context.uc_stack.ss_sp = thread->stack.data();
      thread->context.uc_stack.ss_size = thread->stack.size();
      thread->context.uc_link = nullptr;
      makecontext(&thread->context, &Execution::enter, 0);
      threads_.push_back(std::move(thread));
    }
    while (pick()) swapcontext(&scheduler_, &running_->context);
    active() = nullptr;
  }

  // Whether thread number `thread`, in the order of run(), has come to its end or was killed; how
  // many have not.
  [[nodiscard]] bool ended(std::size_t thread) const { return threads_[thread]->done; }
  [[nodiscard]] std::size_t running() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(threads_, [](const auto& thread) { return !thread->done; }));
  }

  // Lets another thread run, perhaps.
  void yield() {
    if (running_ == nullptr) return;
    ++accesses_;
    if (running_->dies_at == accesses_) running_->done = true;
    swapcontext(&running_->context, &scheduler_);
  }

  // The running thread dies at one of its next accesses, `after` of them on.
  void kill_self_after(std::uint64_t after) { running_->dies_at = accesses_ + after; }

  std::uint64_t load(const void* location, std::uint64_t initial, std::memory_order order) {
    yield();
    auto& stores = stores_of(location, initial);
    if (order == std::memory_order_seq_cst) {
      auto& read = running_->view[location];
      read = std::max(read, last_seq_cst_[location]);
    }
    const std::size_t known = oldest_readable(stores, location);
    const std::size_t newest = stores.size() - 1;
    // Half the time the newest, so that polling loops get on.
    const std::size_t chosen =
        random_() % 2 == 0 ? newest : known + random_() % (newest - known + 1);
    running_->view[location] = stores[chosen].time;
    learn(stores[chosen].released, order);
    return stores[chosen].value;
  }

  void store(const void* location, std::uint64_t initial, std::uint64_t value,
             std::memory_order order) {
    yield();
    auto& stores = stores_of(location, initial);
    insert(location, stores, stores.size(), value, order, {}, false);
  }

  // A store that becomes number `at` of `stores`.
  void insert(const void* location, std::vector<Store>& stores, std::size_t at, std::uint64_t value,
              std::memory_order order, View inherited, bool modification) {
    const double before = stores[at - 1].time;
    const double time = at == stores.size() ? before + 1 : (before + stores[at].time) / 2;
    running_->view[location] = time;
    if (order == std::memory_order_seq_cst) {
      auto& last = last_seq_cst_[location];
      last = std::max(last, time);
    }
    join(inherited, running_->at_release_fence);
    if (releases(order)) join(inherited, running_->view);
    stores.insert(stores.begin() + static_cast<std::ptrdiff_t>(at),
                  {value, std::move(inherited), time, modification});
  }

  // The store that a read-modify-write of the running thread reads.
  std::size_t choose_to_modify(const void* location, const std::vector<Store>& stores) {
    const std::size_t newest = stores.size() - 1;
    std::size_t chosen = newest;
    if (modifications_ == Modifications::kAnywhere && random_() % 2 != 0) {
      const std::size_t known = oldest_readable(stores, location);
      chosen = known + random_() % (newest - known + 1);
      while (chosen != newest && stores[chosen + 1].modification) ++chosen;
    }
    running_->view[location] = stores[chosen].time;
    return chosen;
  }

  void fence(std::memory_order order) {
    yield();
    if (order == std::memory_order_relaxed) return;  // a weakened one (orders.py): no fence at all
    if (acquires(order)) join(running_->view, running_->until_acquire_fence);
    if (order == std::memory_order_seq_cst) {
      join(running_->view, fence_view_);
      fence_view_ = running_->view;
    }
    if (releases(order)) running_->at_release_fence = running_->view;
  }

  // A load or read-modify-write of this order has read a store with this view.
  void learn(const View& released, std::memory_order order) {
    join(running_->until_acquire_fence, released);
    if (acquires(order)) join(running_->view, released);
  }

  // What membarrier does: every thread passes a seq_cst fence now.
  void heavy_fence() {
    yield();
    for (auto& thread : threads_) join(fence_view_, thread->view);
    for (auto& thread : threads_) join(thread->view, fence_view_);
  }

  std::vector<Store>& stores_of(const void* location, std::uint64_t initial) {
    auto& stores = stores_[location];
    if (stores.empty()) stores.push_back({initial, {}, 0, false});
    return stores;
  }
  std::mt19937_64& random() { return random_; }
  [[nodiscard]] bool in_thread() const { return running_ != nullptr; }

  static Execution*& active() {
    static Execution* execution = nullptr;
    return execution;
  }

 private:
  struct Thread {
    std::function<void()> body;
    std::vector<char> stack;
    ucontext_t context{};
    View view;
    View until_acquire_fence;  // what the loads so far have brought
    View at_release_fence;     // what the last release fence puts on all later stores
    std::uint64_t dies_at = 0;
    bool done = false;
  };

  // Of the stores that the running thread may still read, the number of the first.
  std::size_t oldest_readable(const std::vector<Store>& stores, const void* location) {
    const double known = running_->view[location];
    std::size_t i = stores.size() - 1;
    while (i > 0 && stores[i - 1].time >= known) --i;
    return i;
  }

  static void enter() {
    Execution& self = *active();
    self.running_->body();
    self.running_->done = true;
    setcontext(&self.scheduler_);
  }
  bool pick() {
    std::vector<Thread*> ready;
    for (auto& thread : threads_) {
      if (!thread->done) ready.push_back(thread.get());
    }
    running_ = ready.empty() ? nullptr : ready[random_() % ready.size()];
    return running_ != nullptr;
  }

  std::mt19937_64 random_;
  Modifications modifications_;
  std::vector<std::unique_ptr<Thread>> threads_;
  std::unordered_map<const void*, std::vector<Store>> stores_;
  View fence_view_;
  View last_seq_cst_;  // of each location the last seq_cst store
  Thread* running_ = nullptr;
  ucontext_t scheduler_{};
  std::uint64_t accesses_ = 0;
};

inline bool simulated() noexcept {
  return Execution::active() != nullptr && Execution::active()->in_thread();
}

inline std::uint64_t load(const void* location, std::uint64_t now, std::memory_order order) {
  return simulated() ? Execution::active()->load(location, now, order) : now;
}
inline void store(const void* location, std::uint64_t now, std::uint64_t value,
                  std::memory_order order) {
  if (simulated()) Execution::active()->store(location, now, value, order);
}
inline void fence(std::memory_order order) {
  if (simulated()) Execution::active()->fence(order);
}

// A read-modify-write in two halves; no other runs in between.
class Modification {
 public:
  Modification(const void* location, std::uint64_t now) : location_(location), read_(now) {
    if (!simulated()) return;
    Execution::active()->yield();
    auto& stores = Execution::active()->stores_of(location, now);
    chosen_ = Execution::active()->choose_to_modify(location, stores);
    read_ = stores[chosen_].value;
    released_ = stores[chosen_].released;
  }
  // What it has read.
  [[nodiscard]] std::uint64_t read() const { return read_; }
  // Stores `value`. Returns whether that is the newest store now.
  bool finish(std::uint64_t value, std::memory_order order) {
    if (!simulated()) return true;
    Execution::active()->learn(released_, order);
    auto& stores = Execution::active()->stores_of(location_, read_);
    Execution::active()->insert(location_, stores, chosen_ + 1, value, order, released_, true);
    return chosen_ + 2 == stores.size();
  }
  void abandon(std::memory_order order) {
    if (simulated()) Execution::active()->learn(released_, order);
  }

 private:
  const void* location_;
  std::uint64_t read_;
  std::size_t chosen_ = 0;
  View released_;
};

}  // namespace rondo::weak
