#include "stream/packets.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#include "stream/staged_records.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

static_assert(std::endian::native == std::endian::little, "packets are sent as they lie in memory");

// A chunk that is shared by more packets than this would be large for nothing.
constexpr std::size_t kChunkBytes = std::size_t{4} << 20;
// From this size on a packet costs more to copy than a call to receive it.
constexpr std::size_t kLargeBytes = std::size_t{8} << 10;

}  // namespace

// ---- out ----

// What lies right behind a record of `bytes` at `first`, padding and all, goes with it: the bytes
// of them all.
std::size_t PacketWriter::pack(Position first, std::size_t bytes, Place& behind) noexcept {
  const std::uint64_t begin = index_of(first, parts_.capacity);
  for (;;) {
    const std::size_t padded = round_up(bytes, record_header::kBytes);
    const StagedRecord next = staged_at(parts_, behind.position, behind.sequence);
    if (!next.there() || index_of(next.position, parts_.capacity) != begin + padded) return bytes;
    const std::size_t more = padded + record_header::kBytes + next.header.size_bytes;
    if (more > pack_bytes_) return bytes;
    // The ring's padding is whatever was there before: not for others to see.
    std::memset(parts_.records + begin + bytes, 0, padded - bytes);
    bytes = more;
    behind = {next.behind(), behind.sequence + 1};
  }
}

std::span<const PacketPort::Packet> PacketWriter::packets() noexcept {
  std::size_t count = 0;
  Place place = at_;
  mark_at_ = packets_.size();
  // Never alone: there is nothing to say yet where nothing follows.
  const bool any = finishing_ || next_staged(parts_, place.position, place.sequence).there();
  if (header_ != 0 && any) {
    begin_mark_ = record_header::make(RecordKind::kPadding, place.sequence, header_);
    packets_[count] = std::as_bytes(std::span(&begin_mark_, 1));
    behind_[count++] = place;
  }
  while (count < packets_.size()) {
    const StagedRecord record = next_staged(parts_, place.position, place.sequence);
    if (!record.there()) break;
    place = {record.behind(), place.sequence + 1};
    const std::byte* const header = parts_.records + index_of(record.position, parts_.capacity);
    const std::size_t size = record.header.size_bytes;
    if (form_ == PacketForm::kRecords) {
      packets_[count] = {header, pack(record.position, record_header::kBytes + size, place)};
    } else if (size > 0) {
      packets_[count] = {header + record_header::kBytes, size};
    } else {
      if (count == 0) give_back(place);
      continue;
    }
    behind_[count++] = place;
  }
  if (count < packets_.size() && finishing_ && !finished_ && form_ == PacketForm::kRecords) {
    mark_ = record_header::make(mark_kind_, place.sequence, 0);
    packets_[count] = std::as_bytes(std::span(&mark_, 1));
    behind_[count] = place;
    mark_at_ = count++;
  }
  return std::span(packets_).first(count);
}

void PacketWriter::sent(std::size_t count) noexcept {
  if (count == 0) return;
  if (count > mark_at_) finished_ = true;
  header_ = 0;
  give_back(behind_[count - 1]);
}

void PacketWriter::give_back(const Place& place) noexcept {
  at_ = place;
  // relaxed: producer and consumer are one thread.
  parts_.consumer->head.store(at_.position, std::memory_order_relaxed);
}

Status PacketOutlet::move_on(bool& all) noexcept {
  for (;;) {
    const auto packets = writer_.packets();
    all = packets.empty();
    if (all) return Status::kOk;
    const auto [outcome, count] = port_->send(packets);
    switch (outcome) {
      case PacketPort::Outcome::kMoved:
        writer_.sent(count);
        writer_.pack_at_most(port_->pack_bytes());
        break;
      case PacketPort::Outcome::kNotNow: return Status::kOk;
      case PacketPort::Outcome::kEnd:
      case PacketPort::Outcome::kCutOff: return Status::kPeerGone;
      case PacketPort::Outcome::kCorrupt: return Status::kCorrupt;
      case PacketPort::Outcome::kRefused: return Status::kIoError;
    }
  }
}

// ---- in ----

std::size_t PacketInlet::chunk_bytes(std::size_t max_packet_bytes) noexcept {
  const std::size_t padded = round_up(max_packet_bytes, record_header::kBytes);
  return std::clamp<std::size_t>(kChunkBytes / padded, 1, PacketPort::kMaxPackets) * padded;
}

PacketInlet::PacketInlet(std::unique_ptr<PacketPort> port, record_ring::Producer producer,
                         std::span<std::byte> chunk, PacketForm form, PacketStart start,
                         std::uint32_t header) noexcept
    : port_(std::move(port)),
      producer_(std::move(producer)),
      chunk_(chunk),
      form_(form),
      packet_bytes_(port_->max_packet_bytes()),
      start_(start),
      any_sequence_(start == PacketStart::kAny),
      header_(header),
      headed_(header == 0 || port_->says_headers()) {}

// One packet is received straight into the ring, if the largest fits there; more than one when
// small ones have been coming in numbers.
std::size_t PacketInlet::make_rooms() noexcept {
  const std::size_t overhead = packet_overhead(form_);
  std::size_t count = 0;
  reserved_ = producer_.try_reserve(packet_bytes_ - overhead);
  if (reserved_ != nullptr) rooms_[count++] = {{reserved_ - overhead, packet_bytes_}};
  const std::size_t padded = round_up(packet_bytes_, record_header::kBytes);
  const std::size_t wanted = std::min(rooms_.size(), std::max<std::size_t>(2 * lately_, 1));
  for (std::size_t at = 0; count < wanted && at + padded <= chunk_.size(); at += padded) {
    rooms_[count++] = {chunk_.subspan(at, packet_bytes_)};
  }
  return count;
}

Inlet::Outcome PacketInlet::let_in() noexcept {
  const auto [outcome, count] = port_->receive(std::span(rooms_).first(make_rooms()));
  if (outcome != PacketPort::Outcome::kMoved) clear_header();
  switch (outcome) {
    case PacketPort::Outcome::kMoved: break;
    case PacketPort::Outcome::kNotNow: return Outcome::kNotNow;
    case PacketPort::Outcome::kEnd:
      // One of ours would have said so.
      state_ = form_ == PacketForm::kRaw ? Status::kEnded : Status::kPeerDied;
      return Outcome::kOver;
    case PacketPort::Outcome::kCutOff: state_ = Status::kPeerDied; return Outcome::kOver;
    case PacketPort::Outcome::kCorrupt: state_ = Status::kCorrupt; return Outcome::kOver;
    case PacketPort::Outcome::kRefused: state_ = Status::kIoError; return Outcome::kOver;
  }
  next_ = 0;
  came_ = count;
  lately_ = rooms_[count - 1].filled_bytes < kLargeBytes ? count : 0;
  begin_packet();
  // What lies in the ring becomes records now: the next reservation would be in its way.
  if (reserved_ != nullptr) {
    static_cast<void>(take_packet());
    reserved_ = nullptr;
  }
  return Outcome::kMoved;
}

// The consumer of the ring, the same thread, is not to take for a header of its own what lies where
// its next one will: of a packet, or of what the port received and did not keep.
void PacketInlet::clear_header() noexcept {
  if (reserved_ == nullptr || form_ == PacketForm::kRaw) return;
  std::memset(reserved_ - packet_overhead(form_), 0, packet_overhead(form_));
}

void PacketInlet::begin_packet() noexcept {
  begun_ = false;
  if (next_ == came_) return;
  const PacketPort::Room& room = rooms_[next_];
  rest_ = room.bytes.first(std::min(room.filled_bytes, room.bytes.size()));
  if (form_ == PacketForm::kRaw) return;
  if (start_ == PacketStart::kEach) any_sequence_ = true;
  word_ = 0;
  if (rest_.size() >= record_header::kBytes) std::memcpy(&word_, rest_.data(), sizeof word_);
  if (in_place()) clear_header();
}

bool PacketInlet::take_in() noexcept {
  while (state_ == Status::kOk && next_ < came_) {
    if (!take_packet()) return false;
  }
  return true;
}

// False: there is no room for what is left of it.
bool PacketInlet::take_packet() noexcept {
  if (rooms_[next_].cut) refuse_packet();
  while (state_ == Status::kOk && !(begun_ && rest_.empty())) {
    if (!(form_ == PacketForm::kRaw ? take_raw() : take_record())) return false;
  }
  ++next_;
  begin_packet();
  return true;
}

// It is larger than a message of ours can be, or of other headers.
void PacketInlet::refuse_packet() noexcept {
  if (form_ != PacketForm::kRaw || !port_->passes_over_large()) {
    state_ = Status::kCorrupt;
    return;
  }
  rest_ = {};
  begun_ = true;
}

bool PacketInlet::take_raw() noexcept {
  if (rest_.empty() && !is_empty_message()) {
    state_ = Status::kEnded;
    return true;
  }
  return commit(rest_.size(), rest_.data(), rest_.size());
}

// On some mechanisms the end looks like an empty message. Behind the end nothing comes.
bool PacketInlet::is_empty_message() const noexcept {
  const auto has_bytes = [](const PacketPort::Room& room) { return room.filled_bytes > 0; };
  return std::any_of(rooms_.begin() + static_cast<std::ptrdiff_t>(next_),
                     rooms_.begin() + static_cast<std::ptrdiff_t>(came_), has_bytes) ||
         !port_->at_end();
}

bool PacketInlet::take_record() noexcept {
  if (rest_.size() < record_header::kBytes) {
    const bool over = rest_.empty() && !begun_ && port_->at_end();
    state_ = over ? Status::kPeerDied : Status::kCorrupt;
    return true;
  }
  const std::size_t size = record_header::size_of(word_);
  if (std::exchange(any_sequence_, false)) sequence_ = record_header::tag_of(word_) >> 4;
  if (record_header::tag_of(word_) != record_header::tag(RecordKind::kRecord, sequence_)) {
    judge_mark();
    return true;
  }
  if (!headed_) {
    state_ = Status::kCorrupt;
    return true;
  }
  if (size > rest_.size() - record_header::kBytes) {
    state_ = Status::kCorrupt;
    return true;
  }
  const std::size_t footprint = std::min(record_header::footprint(size), rest_.size());
  if (!commit(size, rest_.data() + record_header::kBytes, footprint)) return false;
  ++sequence_;
  return true;
}

// Makes a message of `bytes`, which with what is around them are the first `footprint` bytes of the
// rest.
bool PacketInlet::commit(std::size_t size_bytes, const std::byte* bytes,
                         std::size_t footprint) noexcept {
  if (size_bytes > producer_.max_record_bytes()) {
    refuse_packet();
    return true;
  }
  // Of the first one in the ring the room is reserved; those behind it lie where theirs will be.
  std::byte* const message = in_place() && !begun_ ? reserved_ : producer_.try_reserve(size_bytes);
  if (message == nullptr) return false;
  if (message != bytes && size_bytes > 0) std::memmove(message, bytes, size_bytes);
  rest_ = rest_.subspan(footprint);
  // To commit a record makes a zero of the header behind it.
  if (rest_.size() >= record_header::kBytes) std::memcpy(&word_, rest_.data(), sizeof word_);
  begun_ = true;
  producer_.commit(size_bytes);
  return true;
}

void PacketInlet::judge_mark() noexcept {
  const auto is = [&](RecordKind kind, std::uint32_t size) {
    return word_ == record_header::make(kind, sequence_, size) &&
           rest_.size() == record_header::kBytes && !begun_;
  };
  if (is(RecordKind::kPadding, 0)) {  // a hello
    rest_ = {};
    begun_ = true;
  } else if (header_ != 0 && is(RecordKind::kPadding, header_)) {
    headed_ = true;
    rest_ = {};
    begun_ = true;
  } else if (is(RecordKind::kEnd, 0)) {
    state_ = Status::kEnded;
  } else if (is(RecordKind::kBrokenOff, 0)) {
    state_ = Status::kPeerGone;
  } else {
    state_ = Status::kCorrupt;
  }
}

}  // namespace rondo::inline RONDO_ABI::detail
