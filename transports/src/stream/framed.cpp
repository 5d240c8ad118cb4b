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
      case ByteStream::Outcome::kEnd:
      case ByteStream::Outcome::kCutOff: return Status::kPeerGone;
      case ByteStream::Outcome::kCorrupt: return Status::kCorrupt;
      case ByteStream::Outcome::kRefused: return Status::kIoError;
    }
  }
}

Inlet::Outcome FramedInlet::let_in() noexcept {
  const auto [outcome, bytes] = stream_->read(reader_.room());
  switch (outcome) {
    case ByteStream::Outcome::kMoved: reader_.arrived(bytes); return Outcome::kMoved;
    case ByteStream::Outcome::kNotNow: return Outcome::kNotNow;
    case ByteStream::Outcome::kEnd: reader_.ended(false); return Outcome::kOver;
    case ByteStream::Outcome::kCutOff: reader_.ended(true); return Outcome::kOver;
    case ByteStream::Outcome::kCorrupt: failed_ = Status::kCorrupt; break;
    case ByteStream::Outcome::kRefused: failed_ = Status::kIoError; break;
  }
  return Outcome::kOver;
}

Status FramedInlet::state() const noexcept {
  switch (reader_.state()) {
    case FrameReader::State::kEnded: return Status::kEnded;
    case FrameReader::State::kBrokenOff: return Status::kPeerGone;
    case FrameReader::State::kCutOff: return Status::kPeerDied;
    case FrameReader::State::kCorrupt: return Status::kCorrupt;
    case FrameReader::State::kOpen: break;
  }
  return failed_;
}

}  // namespace rondo::inline RONDO_ABI::detail
