#include "stream/framing.hpp"

#include <algorithm>
#include <cstring>

#include "stream/crc32c.hpp"
#include "stream/staged_records.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// Of a checked frame: length, number, checksum of the bytes, checksum of what stands before it.
constexpr std::size_t kCheckedHeaderBytes = 16;
constexpr std::size_t kNumberAt = 4;
constexpr std::size_t kChecksumAt = 8;
constexpr std::size_t kHeadChecksumAt = 12;
// Of 32 bits in groups of seven.
constexpr std::size_t kMaxVarintBytes = 5;

constexpr std::byte kLineFeed{'\n'};

std::uint32_t word_at(std::span<const std::byte> bytes, std::size_t at) noexcept {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.data() + at, sizeof word);
  return word;
}

constexpr std::uint32_t swapped(std::uint32_t word) noexcept {
  return word >> 24 | (word >> 8 & 0xFF00) | (word << 8 & 0xFF0000) | word << 24;
}

std::size_t write_varint(std::uint32_t value, std::byte* to) noexcept {
  std::size_t bytes = 0;
  for (; value >= 0x80; value >>= 7) to[bytes++] = static_cast<std::byte>(value | 0x80);
  to[bytes++] = static_cast<std::byte>(value);
  return bytes;
}

}  // namespace

FrameWriter::FrameWriter(const RecordParts& parts, FrameForm form) noexcept
    : parts_(parts), form_(form) {}

FrameWriter::Frame& FrameWriter::append() noexcept {
  Frame& frame = frames_[(first_ + count_++) % kMaxFrames];
  frame = {};
  frame.next = position_;
  return frame;
}

// Puts the head of a checked frame before what it holds.
void FrameWriter::check(Frame& frame, std::uint32_t length) noexcept {
  std::memcpy(frame.head.data(), &length, sizeof length);
  std::memcpy(frame.head.data() + kNumberAt, &number_, sizeof number_);
  ++number_;
  const std::uint32_t crc = crc32c(frame.bytes);
  std::memcpy(frame.head.data() + kChecksumAt, &crc, sizeof crc);
  const std::uint32_t of_head = crc32c(std::span(frame.head).first(kHeadChecksumAt));
  std::memcpy(frame.head.data() + kHeadChecksumAt, &of_head, sizeof of_head);
  frame.head_bytes = kCheckedHeaderBytes;
}

void FrameWriter::add_record(const std::byte* record, std::size_t size_bytes) noexcept {
  const auto length = static_cast<std::uint32_t>(size_bytes);
  Frame& frame = append();
  frame.bytes = Piece(record, size_bytes);
  const auto put = [&](std::uint32_t word) {
    std::memcpy(frame.head.data(), &word, sizeof word);
    frame.head_bytes = sizeof word;
  };
  switch (form_.framing) {
    case Framing::kLines: frame.tail_bytes = 1; return;
    case Framing::kRaw: return;
    case Framing::kLength32Be: put(swapped(length)); return;
    case Framing::kVarint:
      frame.head_bytes = static_cast<std::uint8_t>(write_varint(length, frame.head.data()));
      return;
    case Framing::kRondo:
      if (form_.checked) return check(frame, length);
      break;
    case Framing::kLength32: break;
  }
  frame.bytes = Piece(record - kFrameHeaderBytes, kFrameHeaderBytes + size_bytes);
}

void FrameWriter::add_mark(std::uint32_t mark) noexcept {
  Frame& frame = append();
  if (form_.checked && mark != kCheckedStream) return check(frame, mark);
  std::memcpy(frame.head.data(), &mark, sizeof mark);
  frame.head_bytes = sizeof mark;
}

// What goes before the first frame: nothing, mostly.
void FrameWriter::begin() noexcept {
  begun_ = true;
  if (form_.header != 0) {
    Frame& frame = append();
    const std::array<std::uint32_t, 2> words{kHeadedStream, form_.header};
    std::memcpy(frame.head.data(), words.data(), sizeof words);
    frame.head_bytes = sizeof words;
  }
  if (form_.checked) add_mark(kCheckedStream);
}

void FrameWriter::look_for_frames() noexcept {
  while (count_ < kMaxFrames && !finished_) {
    const StagedRecord next = next_staged(parts_, position_, sequence_);
    const bool record = next.header.verdict == RecordHeaderView::Verdict::kRecord;
    if (!record && !finishing_) return;
    if (!begun_) {
      begin();
    } else if (record) {
      position_ = next.position + next.header.footprint_bytes;
      ++sequence_;
      add_record(parts_.records + index_of(next.position, parts_.capacity) + record_header::kBytes,
                 next.header.size_bytes);
    } else {
      finished_ = true;
      add_mark(mark_);
    }
  }
}

// Gives back what has been written, also frames of no bytes. Whether there was anything.
bool FrameWriter::drop_written() noexcept {
  bool any = false;
  for (; count_ > 0 && written_ >= frames_[first_].size(); any = true) {
    const Frame& frame = frames_[first_];
    written_ -= frame.size();
    // relaxed: producer and consumer are one thread.
    parts_.consumer->head.store(frame.next, std::memory_order_relaxed);
    first_ = (first_ + 1) % kMaxFrames;
    --count_;
  }
  if (any) forget_pieces();
  return any;
}

void FrameWriter::forget_pieces() noexcept {
  piece_count_ = 0;
  gathered_bytes_ = 0;
  frames_in_pieces_ = 0;
}

void FrameWriter::add_piece(Piece piece, std::size_t& skip) noexcept {
  const std::size_t skipped = std::min(skip, piece.size());
  skip -= skipped;
  piece = piece.subspan(skipped);
  if (piece.empty()) return;
  const bool small = piece.size() <= kSmallPiece && count_ > 1;
  if (small && piece.size() <= kGatheredBytes - gathered_bytes_) return gather(piece);
  pieces_[piece_count_++] = piece;
}

// Behind those that were gathered before it, as one piece if none came in between.
void FrameWriter::gather(Piece piece) noexcept {
  std::byte* const to = gathered_.data() + gathered_bytes_;
  std::memcpy(to, piece.data(), piece.size());
  gathered_bytes_ += piece.size();
  Piece* const last = to == gathered_.data() ? nullptr : &pieces_[piece_count_ - 1];
  if (last != nullptr && last->data() + last->size() == to) {
    *last = Piece(last->data(), last->size() + piece.size());
  } else {
    pieces_[piece_count_++] = Piece(to, piece.size());
  }
}

std::span<const FrameWriter::Piece> FrameWriter::pieces() noexcept {
  static_assert(kMaxPieces == 2 * kMaxFrames);
  do {
    look_for_frames();
  } while (drop_written() && count_ == 0);
  // Frames that came behind those whose pieces are made are added to them.
  std::size_t skip = frames_in_pieces_ == 0 ? written_ : 0;
  for (; frames_in_pieces_ < count_; ++frames_in_pieces_) {
    const Frame& frame = frames_[(first_ + frames_in_pieces_) % kMaxFrames];
    add_piece(Piece(frame.head).first(frame.head_bytes), skip);
    add_piece(frame.bytes, skip);
    add_piece(Piece(&kLineFeed, frame.tail_bytes), skip);
  }
  return std::span(pieces_).first(piece_count_);
}

void FrameWriter::written(std::size_t bytes) noexcept {
  written_ += bytes;
  static_cast<void>(drop_written());
  forget_pieces();
}

std::array<std::span<std::byte>, 2> FrameReader::room() noexcept {
  // What is not a whole frame yet may be left over.
  if (begin_ > 0 && begin_ < end_)
    std::memmove(chunk_.data(), chunk_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  // Lines are looked for in the chunk alone.
  if (message_ == nullptr || form_.framing == Framing::kLines) return {chunk_.subspan(end_), {}};
  return {std::span(message_ + filled_bytes_, size_bytes_ - filled_bytes_), chunk_};
}

void FrameReader::arrived(std::size_t bytes) noexcept {
  if (message_ != nullptr && form_.framing != Framing::kLines) {
    const std::size_t rest = std::min(bytes, size_bytes_ - filled_bytes_);
    filled_bytes_ += rest;
    bytes -= rest;
  }
  end_ += bytes;
}

// The end of the stream, told by a mark.
FrameReader::Head FrameReader::end_by(std::uint32_t mark) noexcept {
  state_ = mark == kEndOfStream ? State::kEnded : State::kBrokenOff;
  return {};
}

FrameReader::Head FrameReader::look_at_checked_head(std::uint32_t length) noexcept {
  if (there().size() < kCheckedHeaderBytes) return {};
  if (crc32c(there().first(kHeadChecksumAt)) != word_at(there(), kHeadChecksumAt) ||
      word_at(there(), kNumberAt) != number_) {
    state_ = State::kCorrupt;
    return {};
  }
  if (length == kEndOfStream || length == kBrokenStream) return end_by(length);
  return {length, kCheckedHeaderBytes, word_at(there(), kChecksumAt)};
}

// False: not all of it is there, or the headers are none that we were told of.
bool FrameReader::pass_headed_mark() noexcept {
  constexpr std::size_t kMarkBytes = 2 * kFrameHeaderBytes;
  if (there().size() < kMarkBytes) return false;
  headed_ = word_at(there(), kFrameHeaderBytes) == form_.header;
  if (!headed_) state_ = State::kCorrupt;
  begin_ += kMarkBytes;
  return headed_;
}

FrameReader::Head FrameReader::look_at_own_head() noexcept {
  while (there().size() >= kFrameHeaderBytes) {
    const std::uint32_t length = word_at(there(), 0);
    if (checked_) return look_at_checked_head(length);
    if (length == kHeadedStream && !headed_ && number_ == 0) {
      if (!pass_headed_mark()) return {};
      continue;
    }
    if (form_.header != 0 && !headed_ && (length != kHello || begun_)) {
      state_ = State::kCorrupt;
      return {};
    }
    if (length == kCheckedStream && number_ == 0) {
      checked_ = true;
      begin_ += kFrameHeaderBytes;
      continue;
    }
    if (length == kHello && !begun_) {
      begun_ = true;
      begin_ += kFrameHeaderBytes;
      continue;
    }
    if (form_.checked) {
      state_ = State::kCorrupt;
      return {};
    }
    if (length == kEndOfStream || length == kBrokenStream) return end_by(length);
    return {length, kFrameHeaderBytes};
  }
  return {};
}

// Of the forms of others that begin with a length. One of more bytes than a message may have is as
// good as one that is too large.
FrameReader::Head FrameReader::look_at_length() const noexcept {
  constexpr std::uint32_t kImpossible = 0xFFFFFFFF;
  const std::span<const std::byte> bytes = there();
  if (form_.framing != Framing::kVarint) {
    if (bytes.size() < kFrameHeaderBytes) return {};
    const std::uint32_t word = word_at(bytes, 0);
    return {form_.framing == Framing::kLength32Be ? swapped(word) : word, kFrameHeaderBytes};
  }
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < std::min(bytes.size(), kMaxVarintBytes); ++i) {
    const auto group = std::to_integer<std::uint64_t>(bytes[i]);
    value |= (group & 0x7F) << (7 * i);
    if ((group & 0x80) != 0) continue;
    return {static_cast<std::uint32_t>(std::min<std::uint64_t>(value, kImpossible)), i + 1};
  }
  return bytes.size() < kMaxVarintBytes ? Head{} : Head{kImpossible, kMaxVarintBytes};
}

FrameReader::Head FrameReader::look_at_head() noexcept {
  const Head head = form_.framing == Framing::kRondo ? look_at_own_head() : look_at_length();
  if (head.size_bytes <= producer_->max_record_bytes()) return head;
  state_ = State::kCorrupt;
  return {};
}

bool FrameReader::begin_record(std::size_t size_bytes) noexcept {
  message_ = producer_->try_reserve(size_bytes);
  size_bytes_ = size_bytes;
  filled_bytes_ = 0;
  return message_ != nullptr;
}

// Takes bytes of the chunk into the message that has begun, as many as it has room for.
void FrameReader::fill_record(std::size_t at_most) noexcept {
  const std::size_t bytes = std::min({size_bytes_ - filled_bytes_, end_ - begin_, at_most});
  if (bytes > 0) std::memcpy(message_ + filled_bytes_, chunk_.data() + begin_, bytes);
  begin_ += bytes;
  filled_bytes_ += bytes;
}

void FrameReader::end_record() noexcept {
  const std::span<const std::byte> bytes(message_, filled_bytes_);
  message_ = nullptr;
  if (checked_ && crc32c(bytes) != head_.crc) {
    state_ = State::kCorrupt;
    return;
  }
  producer_->commit(bytes.size());
}

bool FrameReader::take_in_frames() noexcept {
  while (state_ == State::kOpen) {
    if (message_ == nullptr) {
      head_ = look_at_head();
      if (head_.head_bytes == 0) return true;
      if (!begin_record(head_.size_bytes)) return false;
      begin_ += head_.head_bytes;
      begun_ = true;
      ++number_;
    }
    fill_record(chunk_.size());
    if (filled_bytes_ < size_bytes_) return true;
    end_record();
  }
  return true;
}

bool FrameReader::take_in_lines() noexcept {
  const std::size_t longest = producer_->max_record_bytes();
  while (state_ == State::kOpen) {
    const auto bytes = there();
    const auto* const end = static_cast<const std::byte*>(
        std::memchr(bytes.data() + searched_, '\n', bytes.size() - searched_));
    const bool whole = end != nullptr;
    const std::size_t size = whole ? static_cast<std::size_t>(end - bytes.data()) : bytes.size();
    if (size > (message_ == nullptr ? longest : size_bytes_ - filled_bytes_)) {
      state_ = State::kCorrupt;
      return true;
    }
    // One that is not whole stays in the chunk until that is full.
    searched_ = size;
    if (!whole && bytes.size() < chunk_.size() && message_ == nullptr) return true;
    if (message_ == nullptr && !begin_record(whole ? size : longest)) return false;
    fill_record(size);
    searched_ = 0;
    if (!whole) return true;
    ++begin_;
    end_record();
  }
  return true;
}

bool FrameReader::take_in_blocks() noexcept {
  const std::size_t size = form_.block != 0
                               ? static_cast<std::size_t>(form_.block)
                               : std::min(chunk_.size(), producer_->max_record_bytes());
  for (;;) {
    if (message_ == nullptr && !begin_record(size)) return false;
    fill_record(chunk_.size());
    if (filled_bytes_ == 0 || (form_.block != 0 && filled_bytes_ < size)) return true;
    end_record();
  }
}

// All has come, and all but an unfinished message has been taken in.
bool FrameReader::come_to_the_end() noexcept {
  const bool cut_short = message_ != nullptr ? filled_bytes_ > 0 : begin_ < end_;
  switch (form_.framing) {
    case Framing::kRondo: state_ = State::kCutOff; return true;  // it would have said so
    case Framing::kLines:
      if (!cut_short || cut_off_) break;  // half a line is none
      if (message_ == nullptr && !begin_record(end_ - begin_)) return false;
      fill_record(chunk_.size());
      end_record();
      break;
    case Framing::kRaw:
      if (cut_short) end_record();
      break;
    case Framing::kLength32:
    case Framing::kLength32Be:
    case Framing::kVarint:
      if (cut_short || message_ != nullptr) cut_off_ = true;
      break;
  }
  state_ = cut_off_ ? State::kCutOff : State::kEnded;
  return true;
}

bool FrameReader::take_in() noexcept {
  if (state_ != State::kOpen) return true;
  bool drained = false;
  switch (form_.framing) {
    case Framing::kLines: drained = take_in_lines(); break;
    case Framing::kRaw: drained = take_in_blocks(); break;
    case Framing::kRondo:
    case Framing::kLength32:
    case Framing::kLength32Be:
    case Framing::kVarint: drained = take_in_frames(); break;
  }
  if (!drained || !over_ || state_ != State::kOpen) return drained;
  return come_to_the_end();
}

}  // namespace rondo::inline RONDO_ABI::detail
