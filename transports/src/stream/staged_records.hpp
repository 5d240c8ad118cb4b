// Walking the records of a staging ring, for who has to look at many before the first is given
// back.
#pragma once

#include <cstdint>

#include "rondo/core/position.hpp"
#include "rondo/core/record_layout.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

struct StagedRecord {
  RecordHeaderView header;
  Position position;  // of that header, padding skipped

  [[nodiscard]] bool there() const noexcept {
    return header.verdict == RecordHeaderView::Verdict::kRecord;
  }
  // Of the header behind it.
  [[nodiscard]] Position behind() const noexcept { return position + header.footprint_bytes; }
};

// The header at `position` itself. Only this process writes this ring, so it is sound.
[[nodiscard]] inline StagedRecord staged_at(const RecordParts& parts, Position position,
                                            std::uint64_t sequence) noexcept {
  // relaxed: producer and consumer are one thread.
  const std::uint64_t word = parts.header_at(position).load(std::memory_order_relaxed);
  return {validate_header(word, position, sequence, parts.capacity), position};
}

// The header that counts at `position`.
[[nodiscard]] inline StagedRecord next_staged(const RecordParts& parts, Position position,
                                              std::uint64_t sequence) noexcept {
  for (;;) {
    const StagedRecord found = staged_at(parts, position, sequence);
    if (found.header.verdict != RecordHeaderView::Verdict::kPadding) return found;
    position = found.behind();
  }
}

}  // namespace rondo::inline RONDO_ABI::detail
