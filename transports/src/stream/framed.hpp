// Messages over a byte stream: frames (framing.hpp) between the staging ring and the stream.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "rondo/core/record_ring.hpp"
#include "rondo/core/version.hpp"
#include "stream/byte_stream.hpp"
#include "stream/framing.hpp"
#include "stream/outlet.hpp"

namespace rondo::inline RONDO_ABI::detail {

class FramedOutlet final : public Outlet {
 public:
  FramedOutlet(std::unique_ptr<ByteStream> stream, const RecordParts& parts,
               FrameForm form) noexcept
      : stream_(std::move(stream)),
        writer_(parts, form),
        gone_(form.framing == Framing::kRondo ? ByteStream::Gone::kEitherWay
                                              : ByteStream::Gone::kBothWays) {}

  Status move_on(bool& all) noexcept override;
  void finish(bool in_order) noexcept override {
    writer_.finish(in_order ? kEndOfStream : kBrokenStream);
  }
  bool peer_gone() const noexcept override { return stream_->peer_gone(gone_); }
  WaitResult wait_taken(Deadline deadline, const std::atomic<bool>* stop) noexcept override {
    stream_->give_time(deadline);
    // A receiver of ours says nothing that could do harm.
    return stream_->wait_taken(deadline, stop, gone_ != ByteStream::Gone::kEitherWay);
  }
  WaitResult wait(Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override {
    return stream_->wait(ByteStream::Direction::kWrite, deadline, mode, stop);
  }
  NativeHandle fd() const noexcept override { return stream_->fd(); }
  void close() noexcept override { stream_->close(); }

 private:
  std::unique_ptr<ByteStream> stream_;
  FrameWriter writer_;
  ByteStream::Gone gone_;
};

class FramedInlet final : public Inlet {
 public:
  // What a full pipe holds; a read brings in no more.
  static constexpr std::size_t kChunkBytes = std::size_t{1} << 16;

  // `chunk` outlives this object.
  FramedInlet(std::unique_ptr<ByteStream> stream, record_ring::Producer producer,
              std::span<std::byte> chunk, FrameForm form) noexcept
      : stream_(std::move(stream)),
        producer_(std::move(producer)),
        reader_(producer_, chunk, form) {}
  FramedInlet(FramedInlet&&) = delete;  // the reader looks at the producer

  bool take_in() noexcept override {
    const std::uint64_t before = producer_.sequence();
    const bool drained = reader_.take_in();
    if (producer_.sequence() != before) stream_->message_came();
    return drained;
  }
  Outcome let_in() noexcept override;
  bool holds_more() const noexcept override { return stream_->holds_more(); }
  Status state() const noexcept override;
  WaitResult wait(Deadline deadline, WaitMode mode,
                  const std::atomic<bool>* stop) const noexcept override {
    return stream_->wait(ByteStream::Direction::kRead, deadline, mode, stop);
  }
  NativeHandle fd() const noexcept override { return stream_->fd(); }
  void close() noexcept override { stream_->close(); }

 private:
  std::unique_ptr<ByteStream> stream_;
  record_ring::Producer producer_;
  FrameReader reader_;
  Status failed_ = Status::kOk;  // what the stream refuses for good
};

}  // namespace rondo::inline RONDO_ABI::detail
