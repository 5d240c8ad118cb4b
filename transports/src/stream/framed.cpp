#include "stream/framed.hpp"

namespace rondo::inline RONDO_ABI::detail {

Status FramedOutlet::move_on(bool& all) noexcept {
  for (;;) {
    const auto pieces = writer_.pieces();
    all = pieces.empty();
    if (all) return Status::kOk;
    const auto [outcome, bytes] = stream_->write(pieces);
    switch (outcome) {
      case ByteStream::Outcome::kMoved: writer_.written(bytes); break;
      case ByteStream::Outcome::kNotNow: return Status::kOk;
      case ByteStream::Outcome::kEnd: return Status::kPeerGone;
      case ByteStream::Outcome::kRefused: return Status::kIoError;
    }
  }
}

Inlet::Outcome FramedInlet::let_in() noexcept {
  const auto [outcome, bytes] = stream_->read(reader_.room());
  switch (outcome) {
    case ByteStream::Outcome::kMoved: reader_.arrived(bytes); return Outcome::kMoved;
    case ByteStream::Outcome::kNotNow: return Outcome::kNotNow;
    case ByteStream::Outcome::kEnd: lost_ = Status::kPeerDied; return Outcome::kOver;
    case ByteStream::Outcome::kRefused: break;
  }
  lost_ = Status::kIoError;
  return Outcome::kOver;
}

Status FramedInlet::state() const noexcept {
  switch (reader_.state()) {
    case FrameReader::State::kEnded: return Status::kEnded;
    case FrameReader::State::kBrokenOff: return Status::kPeerGone;
    case FrameReader::State::kCorrupt: return Status::kCorrupt;
    case FrameReader::State::kOpen: break;
  }
  return lost_;
}

}  // namespace rondo::inline RONDO_ABI::detail
