// Any bytes as a frame pool's segment: attaching, publishing, pinning and looking on stay inside
// the memory, and come to an end, whatever stands there. As long as no word is overwritten, what is
// held stays as it was.
#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "input.hpp"
#include "rondo/core/frame_pool.hpp"

using namespace rondo;

namespace {

constexpr std::size_t kHeld = 3;

// No reader is alive: every pin may be cleared.
struct AllDead {
  static bool is_dead(std::uint32_t) noexcept { return true; }
  static bool try_lock_dead(std::uint32_t) noexcept { return true; }
  static void unlock(std::uint32_t) noexcept {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  FramePoolParams params;
  params.frames = 2u + input.take<std::uint8_t>() % 6;
  params.frame_bytes = 1u + input.take<std::uint8_t>();
  params.readers = 1u + input.take<std::uint8_t>() % 3;
  params.pins = 1u + input.take<std::uint8_t>() % 2;
  const auto layout = frame_pool::layout_for(params);
  fuzz::Memory memory(layout->total_bytes);
  if (!frame_pool::create(memory.bytes(), params)) __builtin_trap();

  std::optional<FramePoolParts> parts;
  std::optional<frame_pool::Producer> producer;
  std::optional<frame_pool::Consumer> reader;
  std::array<frame_pool::Message, kHeld> held;
  bool honest = true;  // no word was overwritten, and each role had one owner
  while (!input.empty()) {
    const auto drawn = input.take<std::uint8_t>();
    frame_pool::Message& frame = held[drawn / 16 % kHeld];
    switch (drawn % 9) {
      case 0:
        memory.scribble(input, layout->producer);
        honest = false;
        break;
      case 1:
        if (auto attached = frame_pool::attach(memory.bytes())) parts = *attached;
        break;
      case 2:
        if (parts) producer.emplace(*parts);
        break;
      case 3:
        if (parts) {
          // Its predecessor's frames are not held any more.
          for (frame_pool::Message& each : held) each.release();
          reader.emplace(*parts, drawn / 16 % parts->reader_count,
                         static_cast<FrameStart>(drawn / 64));
        }
        break;
      case 4:
      case 5:
        if (producer) {
          if (auto claim = producer->try_claim()) {
            const std::uint64_t next = producer->number() + 1;
            std::ranges::fill(claim->bytes(), static_cast<std::byte>(next));
            claim->shrink(drawn / 16 % (claim->bytes().size() + 1));
            std::move(*claim).commit();
          } else if (honest) {
            RONDO_FUZZ_CHECK(params.frames < params.readers * params.pins + 2);
          }
        }
        break;
      case 6:
      case 7:
        if (reader) {
          const FrameReaderStats before = reader->stats();
          const ReadOutcome read =
              drawn % 9 == 6 ? reader->try_next(frame) : reader->try_newest(frame);
          if (honest) {
            RONDO_FUZZ_CHECK(read != ReadOutcome::kCorrupt && read != ReadOutcome::kContended);
            const FrameReaderStats& now = reader->stats();
            RONDO_FUZZ_CHECK(now.received + now.lost == now.last - now.origin);
            RONDO_FUZZ_CHECK(now.received - before.received ==
                             (read == ReadOutcome::kMessage ? 1 : 0));
          }
        }
        break;
      case 8:
        if (parts) {
          for_each_held(*parts, [&](const HeldFrame& each) {
            RONDO_FUZZ_CHECK(each.reader < parts->reader_count);
          });
          static_cast<void>(read_frame_stats(*parts, drawn / 16 % parts->reader_count));
          AllDead liveness;
          if (drawn >= 128 && !reader) recover_dead_readers(*parts, liveness);
        }
        break;
    }
    for (const frame_pool::Message& each : held) {
      // Read to the last byte, for AddressSanitizer.
      const auto bytes = each.bytes();
      const auto expected = static_cast<std::byte>(each.number());
      const auto same = std::count(bytes.begin(), bytes.end(), expected);
      if (honest) RONDO_FUZZ_CHECK(same == static_cast<std::ptrdiff_t>(bytes.size()));
    }
  }
  return 0;
}
