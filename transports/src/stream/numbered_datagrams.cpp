#include "stream/numbered_datagrams.hpp"

#include <algorithm>
#include <cstring>

#include "rondo/core/record_layout.hpp"
#include "stream/crc32c.hpp"

namespace rondo::inline RONDO_ABI::detail {

std::uint32_t crc_of(const DatagramHeader& header, std::span<const std::byte> packet) noexcept {
  const auto bytes = std::as_bytes(std::span(&header, 1));
  return crc32c(packet, crc32c(bytes.subspan(offsetof(DatagramHeader, header_bytes))));
}

namespace {

// Whether the packet is what its header says: a mark, or so many records one behind the other,
// whole and numbered.
bool is_sound(const DatagramHeader& header, std::span<const std::byte> packet) noexcept {
  using Mark = DatagramHeader::Mark;
  std::uint32_t messages = 0;
  for (std::size_t at = 0; at < packet.size(); ++messages) {
    if (packet.size() - at < record_header::kBytes) return false;
    std::uint64_t word = 0;
    std::memcpy(&word, packet.data() + at, sizeof word);
    const std::uint64_t number = header.first + messages;
    if (record_header::tag_of(word) != record_header::tag(RecordKind::kRecord, number)) {
      const RecordKind last = header.mark == Mark::kHello ? RecordKind::kPadding : RecordKind::kEnd;
      const bool mark = word == record_header::make(last, number, 0) ||
                        (header.mark == Mark::kEnd &&
                         word == record_header::make(RecordKind::kBrokenOff, number, 0));
      return mark && header.mark != Mark::kNone && header.messages == 0 &&
             packet.size() == record_header::kBytes;
    }
    const std::size_t rest = packet.size() - at - record_header::kBytes;
    if (record_header::size_of(word) > rest) return false;
    at += std::min<std::size_t>(record_header::footprint(record_header::size_of(word)),
                                packet.size() - at);
  }
  return messages > 0 && messages == header.messages && header.mark == Mark::kNone;
}

}  // namespace

DatagramHeader DatagramNumbers::next(std::span<const std::byte> packet) noexcept {
  using Mark = DatagramHeader::Mark;
  DatagramHeader header = next_;
  for (std::size_t at = 0; at + record_header::kBytes <= packet.size();) {
    std::uint64_t word = 0;
    std::memcpy(&word, packet.data() + at, sizeof word);
    const auto kind = static_cast<RecordKind>(record_header::tag_of(word) & 0xF);
    if (kind != RecordKind::kRecord) {
      header.mark = kind == RecordKind::kPadding ? Mark::kHello : Mark::kEnd;
      break;
    }
    ++header.messages;
    at += record_header::footprint(record_header::size_of(word));
  }
  header.crc = crc_of(header, packet);
  ++next_.number;
  next_.first += header.messages;
  return header;
}

bool DatagramOrder::is_stale(std::uint64_t session) const noexcept {
  const auto known = std::span(earlier_).first(std::min(next_earlier_, earlier_.size()));
  return std::ranges::count(known, session) > 0;
}

void DatagramOrder::begin(const DatagramHeader& header) noexcept {
  if (has_begun()) {
    earlier_[next_earlier_++ % earlier_.size()] = counts_.session;
    next_number_ = next_message_ = 0;
  } else {
    // What came before the receiver may have been sent before it was there.
    counts_.before = header.first;
    next_number_ = header.number;
    next_message_ = header.first;
  }
  seen_.reset();
  counts_.session = header.session;
  ++counts_.sessions;
}

void DatagramOrder::mark_seen(std::uint64_t number) noexcept {
  if (number >= next_number_) {
    const std::uint64_t skipped = std::min(number - next_number_, kWindow);
    for (std::uint64_t i = 0; i < skipped; ++i) seen_.reset((next_number_ + i) % kWindow);
    next_number_ = number + 1;
  }
  seen_.set(number % kWindow);
}

DatagramOrder::Verdict DatagramOrder::judge(const DatagramHeader& header, std::size_t header_size,
                                            std::span<const std::byte> packet) noexcept {
  using Mark = DatagramHeader::Mark;
  if (header_size != sizeof header || header.magic != DatagramHeader::kMagic) {
    ++counts_.foreign;
    return Verdict::kDrop;
  }
  // No number of ours grows so large; and none of another's is to wrap round.
  constexpr std::uint64_t kMost = std::uint64_t{1} << 62;
  if (header.crc != crc_of(header, packet) || header.number >= kMost || header.first >= kMost ||
      !is_sound(header, packet)) {
    ++counts_.corrupt;
    return Verdict::kDrop;
  }
  if (!has_begun() || header.session != counts_.session) {
    if (header.mark == Mark::kEnd || is_stale(header.session)) {
      ++counts_.stale;
      return Verdict::kDrop;
    }
    if (header.header_bytes != header_bytes_) return Verdict::kMismatch;
    if (has_begun() && !follow_) return Verdict::kSuccessor;
    begin(header);
  }
  if (header.number < next_number_) {
    const bool seen =
        next_number_ - header.number <= kWindow && seen_.test(header.number % kWindow);
    // The end is said more than once.
    if (!seen || header.mark != Mark::kEnd) ++(seen ? counts_.duplicates : counts_.late);
    if (!seen && next_number_ - header.number <= kWindow) mark_seen(header.number);
    return Verdict::kDrop;
  }
  if (header.first < next_message_) {  // the numbers of an honest one grow together
    ++counts_.corrupt;
    return Verdict::kDrop;
  }
  counts_.lost += header.first - next_message_;
  next_message_ = header.first + header.messages;
  mark_seen(header.number);
  ++counts_.datagrams;
  return Verdict::kTake;
}

}  // namespace rondo::inline RONDO_ABI::detail
