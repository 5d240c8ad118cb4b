#include "rondo/sync/close_watch.hpp"

#include <utility>

#include "rondo/core/unnoticed.hpp"
#include "rondo/sync/look_again.hpp"
#include "wake_thread.hpp"

namespace rondo::inline RONDO_ABI {

struct CloseWatch::State {
  detail::FileEntry file{};
  detail::LookAgain again{};
  std::uint32_t seen = 0;

  [[nodiscard]] std::uint32_t news() const noexcept {
    // relaxed: whatever `tell` does orders it for the thread that asks.
    return file.news.load(std::memory_order_relaxed);
  }
};

CloseWatch::CloseWatch(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}

std::unique_ptr<CloseWatch> CloseWatch::of(NativeHandle file, Callback<void()> tell) {
  const detail::Unnoticed here;
  std::unique_ptr<CloseWatch> watch(new CloseWatch(std::make_unique<State>()));
  State& state = *watch->state_;
  state.file.tell = std::move(tell);
  if (!detail::WakeThread::instance().watch_file(state.file, file)) return nullptr;
  state.again.begin(Clock::now());
  return watch;
}

CloseWatch::~CloseWatch() {
  const detail::Unnoticed here;
  detail::WakeThread::instance().forget_file(state_->file);
}

bool CloseWatch::stands() const noexcept {
  // relaxed: as news().
  return state_->file.stands.load(std::memory_order_relaxed);
}

bool CloseWatch::due(Clock::time_point now) noexcept {
  const std::uint32_t news = state_->news();
  if (std::exchange(state_->seen, news) != news) state_->again.begin(now);
  return state_->again.due(now);
}

Deadline CloseWatch::next() const noexcept {
  return state_->news() != state_->seen ? Deadline::now() : state_->again.next();
}

}  // namespace rondo::inline RONDO_ABI
