#include "wait_set_end.hpp"

#include <string>

#include "endpoint/backend.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// Before a wait of another kind than that for the handle's descriptor, which lets go of the bell.
// It becomes readable, so that whoever waits for it looks again.
void interrupt_wake(Named& channel) noexcept {
  if (channel.wake() != nullptr) channel.wake()->interrupt();
}

}  // namespace

Named* WaitSetEnd::channel() const noexcept {
  if (receiver_ != nullptr) return receiver_->backend_.get();
  return sender_->backend_.get();
}

Result<void> WaitSetEnd::check() const {
  const Named* const channel = this->channel();
  if (channel == nullptr) {
    return Error{ErrorCode::kNotFound,
                 "a handle that was closed or moved from can't be waited for"};
  }
  if (channel->forked()) {
    return Error{ErrorCode::kForked,
                 channel->name() + " was opened before fork(); open it anew in this process"};
  }
  if (sender_ != nullptr && size_bytes_ > sender_->max_message_bytes()) {
    return Error{ErrorCode::kInvalidOption, channel->name() + " never has room for a message of " +
                                                std::to_string(size_bytes_) +
                                                " bytes; the largest has " +
                                                std::to_string(sender_->max_message_bytes())};
  }
  return {};
}

bool WaitSetEnd::has_word() const noexcept { return channel()->has_word(); }

std::optional<NativeHandle> WaitSetEnd::closing() const noexcept {
  return channel() != nullptr ? channel()->closing() : kNoHandle;
}

bool WaitSetEnd::has_pulse() const noexcept {
  return channel() != nullptr && channel()->has_pulse();
}

void WaitSetEnd::expect_news() const noexcept {
  if (channel() != nullptr) channel()->expect_news();
}

Result<NativeHandle> WaitSetEnd::fd() const {
  return receiver_ != nullptr ? receiver_->fd() : sender_->fd();
}

bool WaitSetEnd::is_over() const noexcept {
  return (receiver_ != nullptr ? receiver_->status_ : sender_->status_) != Status::kOk;
}

bool WaitSetEnd::has_something(bool before_sleep) const noexcept {
  if (receiver_ != nullptr) {
    Receiver& receiver = *receiver_;
    if (receiver.status_ != Status::kOk || receiver.backend_->forked()) return true;
    if (!receiver.elsewhere_ && receiver.consumer_.at_record()) return true;
    const bool something =
        receiver.backend_->stirs(receiver.consumer_, receiver.notifier_, before_sleep);
    // What the backend alone can tell is asked for at the next look.
    if (something) receiver.polls_ = receiver.polls_per_fetch_ - 1;
    return something;
  }
  Sender& sender = *sender_;
  if (sender.status_ != Status::kOk || sender.backend_->forked()) return true;
  return sender.backend_->stirs(sender.producer_, sender.headers_.record_of(size_bytes_),
                                before_sleep);
}

void WaitSetEnd::tell_all() const noexcept {
  if (sender_ != nullptr) static_cast<void>(sender_->wake());
}

PreparedWait WaitSetEnd::announce(Fence fence) const noexcept {
  if (receiver_ != nullptr) {
    if (receiver_->status_ != Status::kOk || receiver_->backend_->forked()) return {};
    interrupt_wake(*receiver_->backend_);
    return receiver_->backend_->announce(fence);
  }
  if (sender_->status_ != Status::kOk || sender_->backend_->forked()) return {};
  interrupt_wake(*sender_->backend_);
  return sender_->backend_->announce(sender_->producer_, sender_->notifier_, fence);
}

bool WaitSetEnd::disarm() const noexcept { return channel() != nullptr && channel()->disarm(); }

void WaitSetEnd::pass_on() const noexcept {
  if (channel() != nullptr) channel()->pass_on();
}

}  // namespace rondo::inline RONDO_ABI::detail
