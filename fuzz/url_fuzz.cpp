// Any text as a channel's URL: parsed or refused with a message, and what is parsed is valid.
#include <bit>
#include <string_view>

#include "input.hpp"
#include "rondo/transports/url.hpp"

using namespace rondo;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto url = Url::parse(text);
  if (!url) {
    RONDO_FUZZ_CHECK(!url.error().message.empty());
    return 0;
  }
  RONDO_FUZZ_CHECK(url->target.find('\0') == std::string::npos);
  if (url->options.capacity) {
    RONDO_FUZZ_CHECK(std::has_single_bit(*url->options.capacity));
    RONDO_FUZZ_CHECK(parse_size(format_size(*url->options.capacity)) == url->options.capacity);
  }
  if (url->options.slots) {
    RONDO_FUZZ_CHECK(std::has_single_bit(*url->options.slots));
    RONDO_FUZZ_CHECK(url->options.kind == RingKind::kMpmc);
  }
  if (url->options.slot_bytes) RONDO_FUZZ_CHECK(*url->options.slot_bytes != 0);
  if (url->options.frames) RONDO_FUZZ_CHECK(*url->options.frames >= 2);
  if (url->options.frame_bytes) RONDO_FUZZ_CHECK(*url->options.frame_bytes != 0);
  if (url->options.frames || url->options.frame_bytes) {
    RONDO_FUZZ_CHECK(url->options.kind == RingKind::kFramePool);
  }
  // The name without options names the same thing.
  const auto again = Url::parse(url->name());
  RONDO_FUZZ_CHECK(again && again->target == url->target && again->scheme == url->scheme);
  return 0;
}
