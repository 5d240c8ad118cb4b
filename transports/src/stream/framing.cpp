#include "stream/framing.hpp"

#include <algorithm>
#include <cstring>

namespace rondo::inline RONDO_ABI::detail {
namespace {

struct Walked {
  RecordHeaderView header;
  Position position;  // of that header, padding skipped
};

// The header that counts at `position`. Only this process writes this ring, so it is sound.
Walked header_after_padding(const RecordParts& parts, Position position,
                            std::uint64_t sequence) noexcept {
  using Verdict = RecordHeaderView::Verdict;
  for (;;) {
    // relaxed: producer and consumer are one thread.
    const std::uint64_t word = parts.header_at(position).load(std::memory_order_relaxed);
    const RecordHeaderView header = validate_header(word, position, sequence, parts.capacity);
    if (header.verdict != Verdict::kPadding) return {header, position};
    position += header.footprint_bytes;
  }
}

}  // namespace

std::span<const FrameWriter::Piece> FrameWriter::pieces() noexcept {
  std::size_t count = 0;
  Position position = position_;
  std::uint64_t sequence = sequence_;
  while (count < kMaxPieces) {
    const Walked next = header_after_padding(parts_, position, sequence);
    if (next.header.verdict != RecordHeaderView::Verdict::kRecord) break;
    const std::byte* record =
        parts_.records + index_of(next.position, parts_.capacity) + record_header::kBytes;
    pieces_[count++] =
        Piece(record - kFrameHeaderBytes, kFrameHeaderBytes + next.header.size_bytes);
    position = next.position + next.header.footprint_bytes;
    ++sequence;
  }
  if (count < kMaxPieces && finishing_ && !finished_) pieces_[count++] = mark_;
  if (count > 0) pieces_[0] = pieces_[0].subspan(written_);
  return std::span(pieces_).first(count);
}

void FrameWriter::written(std::size_t bytes) noexcept {
  written_ += bytes;
  bool at_record = true;
  while (at_record) {
    const Walked next = header_after_padding(parts_, position_, sequence_);
    at_record = next.header.verdict == RecordHeaderView::Verdict::kRecord;
    const std::size_t frame = kFrameHeaderBytes + next.header.size_bytes;
    if (!at_record || written_ < frame) break;
    written_ -= frame;
    position_ = next.position + next.header.footprint_bytes;
    ++sequence_;
  }
  if (!at_record && written_ == kFrameHeaderBytes) {
    finished_ = true;
    written_ = 0;
  }
  // relaxed: producer and consumer are one thread.
  parts_.consumer->head.store(position_, std::memory_order_relaxed);
}

std::array<std::span<std::byte>, 2> FrameReader::room() noexcept {
  // Less than a frame's length may be left over.
  if (begin_ < end_) std::memmove(chunk_.data(), chunk_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  if (message_ == nullptr) return {chunk_.subspan(end_), {}};
  return {std::span(message_ + filled_bytes_, size_bytes_ - filled_bytes_), chunk_};
}

void FrameReader::arrived(std::size_t bytes) noexcept {
  if (message_ != nullptr) {
    const std::size_t rest = std::min(bytes, size_bytes_ - filled_bytes_);
    filled_bytes_ += rest;
    bytes -= rest;
  }
  end_ += bytes;
}

// Reads a frame's length and finds room for the message. False if that has to wait, or never works.
bool FrameReader::begin_message() noexcept {
  std::uint32_t size = kHello;
  while (size == kHello) {
    if (end_ - begin_ < kFrameHeaderBytes) return false;
    std::memcpy(&size, chunk_.data() + begin_, sizeof size);
    if (size == kHello) begin_ += kFrameHeaderBytes;
  }
  if (size == kEndOfStream || size == kBrokenStream) {
    state_ = size == kEndOfStream ? State::kEnded : State::kBrokenOff;
    return false;
  }
  if (size > producer_->max_record_bytes()) {
    state_ = State::kCorrupt;
    return false;
  }
  message_ = producer_->try_reserve(size);
  if (message_ == nullptr) return false;
  begin_ += kFrameHeaderBytes;
  size_bytes_ = size;
  filled_bytes_ = 0;
  return true;
}

bool FrameReader::take_in() noexcept {
  while (state_ == State::kOpen) {
    if (message_ == nullptr && !begin_message()) {
      return state_ != State::kOpen || end_ - begin_ < kFrameHeaderBytes;
    }
    const std::size_t bytes = std::min(size_bytes_ - filled_bytes_, end_ - begin_);
    if (bytes > 0) std::memcpy(message_ + filled_bytes_, chunk_.data() + begin_, bytes);
    begin_ += bytes;
    filled_bytes_ += bytes;
    if (filled_bytes_ < size_bytes_) return true;
    producer_->commit(size_bytes_);
    message_ = nullptr;
  }
  return true;
}

void FrameReader::reset() noexcept {
  message_ = nullptr;
  begin_ = end_ = 0;
  if (state_ != State::kCorrupt) state_ = State::kOpen;
}

}  // namespace rondo::inline RONDO_ABI::detail
