// What the options of a URL may hold.
#include "url/options.hpp"

#include <bit>
#include <charconv>
#include <chrono>
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "rondo/transports/message_headers.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// The largest message of a byte stream: its length is written as 32 bits, and a record ring needs
// some of the highest values.
constexpr std::uint64_t kLargestMax = record_ring::max_record_bytes(record_ring::kMaxCapacity);

constexpr std::size_t kMaxIdentity = 128;  // of a pre-shared key, in bytes

// The whole of `text`, from `least` to `most`.
template <class Number>
bool read_number(std::string_view text, Number& number, Number least, Number most, int base = 10) {
  Number read{};
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, read, base);
  if (error != std::errc() || rest != end || read < least || read > most) return false;
  number = read;
  return true;
}

template <class Number>
bool read_size(std::string_view text, std::optional<Number>& size, std::uint64_t least,
               std::uint64_t most) {
  const auto bytes = parse_size(text);
  if (!bytes || *bytes < least || *bytes > most) return false;
  size = static_cast<Number>(*bytes);
  return true;
}

bool read_flag(std::string_view text, bool& flag) {
  if (text != "0" && text != "1") return false;
  flag = text == "1";
  return true;
}

bool read_time(std::string_view text, std::optional<std::chrono::nanoseconds>& time) {
  constexpr std::pair<std::string_view, std::int64_t> kUnits[]{
      {"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}};
  constexpr std::int64_t kMost = std::int64_t{1} << 60;
  const std::size_t digits = text.find_first_not_of("0123456789");
  if (digits == std::string_view::npos) return false;
  for (const auto& [name, unit] : kUnits) {
    if (text.substr(digits) != name) continue;
    std::int64_t count = 0;
    if (!read_number(text.substr(0, digits), count, std::int64_t{1}, kMost / unit)) return false;
    time = std::chrono::nanoseconds(count * unit);
    return true;
  }
  return false;
}

template <class Target, class Value>
bool choose(std::string_view text, Target& target,
            std::initializer_list<std::pair<std::string_view, Value>> choices) {
  for (const auto& [name, value] : choices) {
    if (text != name) continue;
    target = value;
    return true;
  }
  return false;
}

bool read_ids(std::string_view text, std::vector<std::uint32_t>& ids) {
  std::vector<std::uint32_t> found;
  const char* place = text.data();
  const char* end = text.data() + text.size();
  for (;;) {
    std::uint32_t id = 0;
    const auto [rest, error] = std::from_chars(place, end, id);
    // The largest number stands for no user.
    if (error != std::errc() || id == ~std::uint32_t{0}) return false;
    found.push_back(id);
    if (rest == end) break;
    if (*rest != ',') return false;
    place = rest + 1;
  }
  ids = std::move(found);
  return true;
}

bool take_path(std::string_view value, std::string& path) {
  constexpr std::size_t kLongest = 4095;  // PATH_MAX less the final zero
  if (value.empty() || value.size() > kLongest || value.find('\0') != std::string_view::npos) {
    return false;
  }
  path = value;
  return true;
}

}  // namespace

bool set::kind(std::string_view value, ChannelOptions& options) {
  const auto* row = std::ranges::find(kKinds, value, &KindRow::name);
  if (row == kKinds.end()) return false;
  options.kind = row->kind;
  return true;
}
std::string kinds_there_are(std::string_view) {
  return names_of(
      kKinds, [](const KindRow&) { return true; }, {}, "or");
}

bool set::capacity(std::string_view value, ChannelOptions& options) {
  std::optional<std::uint64_t> bytes;
  if (!read_size(value, bytes, record_ring::kMinCapacity, record_ring::kMaxCapacity)) return false;
  if (!std::has_single_bit(*bytes)) return false;
  options.capacity = bytes;
  return true;
}
std::string nearest_capacity(std::string_view value) {
  const auto bytes = parse_size(value);
  if (!bytes) return {};
  if (*bytes < record_ring::kMinCapacity || *bytes > record_ring::kMaxCapacity) {
    return "a power of two from " + format_size(record_ring::kMinCapacity) + " to " +
           format_size(record_ring::kMaxCapacity);
  }
  return "a power of two; the nearest are " + format_size(std::bit_floor(*bytes)) + " and " +
         format_size(std::bit_ceil(*bytes));
}

bool set::slots(std::string_view value, ChannelOptions& options) {
  std::optional<std::uint64_t> slots;
  if (!read_size(value, slots, 1, mpmc_limits::kMaxCapacity)) return false;
  options.slots = slots;
  return true;
}
bool set::ring_slots(std::string_view, ChannelOptions& options) {
  return *options.slots >= mpmc_limits::kMinCapacity && std::has_single_bit(*options.slots);
}
std::string nearest_slots(std::string_view value) {
  std::optional<std::uint64_t> slots;
  if (!read_size(value, slots, mpmc_limits::kMinCapacity, mpmc_limits::kMaxCapacity)) return {};
  return "a power of two; the nearest are " + std::to_string(std::bit_floor(*slots)) + " and " +
         std::to_string(std::bit_ceil(*slots));
}

bool set::slot_size(std::string_view value, ChannelOptions& options) {
  return read_size(value, options.slot_bytes, 1, mpmc_limits::kMaxSlotBytes);
}

bool set::on_consumer_death(std::string_view value, ChannelOptions& options) {
  return choose<std::optional<OnConsumerDeath>, OnConsumerDeath>(
      value, options.on_consumer_death,
      {{"redeliver", OnConsumerDeath::kRedeliver}, {"drop", OnConsumerDeath::kDrop}});
}

bool set::frames(std::string_view value, ChannelOptions& options) {
  static_assert(kMaxFrames == 1024, "as its row says");
  return read_size(value, options.frames, 2, kMaxFrames);
}

bool set::frame_size(std::string_view value, ChannelOptions& options) {
  return read_size(value, options.frame_bytes, 1, ~std::uint32_t{0});
}

bool set::max(std::string_view value, ChannelOptions& options) {
  static_assert(kLargestMax == 4294967280, "as its row says");
  return read_size(value, options.max_bytes, 0, kLargestMax);
}

bool set::framing(std::string_view value, ChannelOptions& options) {
  return choose<Framing, Framing>(value, options.framing,
                                  {{"rondo", Framing::kRondo},
                                   {"lines", Framing::kLines},
                                   {"raw", Framing::kRaw},
                                   {"length32", Framing::kLength32},
                                   {"length32be", Framing::kLength32Be},
                                   {"varint", Framing::kVarint}});
}

bool set::crc(std::string_view value, ChannelOptions& options) {
  return read_flag(value, options.crc);
}

bool set::block(std::string_view value, ChannelOptions& options) {
  return read_size(value, options.block_bytes, 1, kLargestMax);
}

bool set::header(std::string_view value, ChannelOptions& options) {
  static_assert(kMaxHeaderBytes == 256, "as its row says");
  std::uint32_t bytes = 0;
  if (!read_number(value, bytes, std::uint32_t{1}, kMaxHeaderBytes)) return false;
  options.header = bytes;
  return true;
}

bool set::align(std::string_view value, ChannelOptions& options) {
  std::uint32_t bytes = 0;
  if (!read_number(value, bytes, std::uint32_t{1}, std::uint32_t{4096})) return false;
  options.align = bytes;
  return is_message_alignment(bytes);
}

bool set::wait(std::string_view value, ChannelOptions& options) {
  const auto mode = parse_wait_mode(value);
  if (mode) options.wait = *mode;
  return mode.has_value();
}

bool set::ack(std::string_view value, ChannelOptions& options) {
  return choose<Acknowledge, Acknowledge>(value, options.acknowledge,
                                          {{"lazy", Acknowledge::kLazily},
                                           {"eager", Acknowledge::kEagerly},
                                           {"explicit", Acknowledge::kExplicitly}});
}

bool set::await_successor(std::string_view value, ChannelOptions& options) {
  return read_flag(value, options.await_successor);
}

bool set::keep(std::string_view value, ChannelOptions& options) {
  return read_flag(value, options.keep);
}

bool set::start(std::string_view value, ChannelOptions& options) {
  return choose<Start, Start>(value, options.start,
                              {{"any", Start::kAny},
                               {"new", Start::kNew},
                               {"fresh", Start::kFresh},
                               {"join", Start::kJoin}});
}

bool set::from(std::string_view value, ChannelOptions& options) {
  if (choose<ReaderStart, ReaderStart>(value, options.reader.from,
                                       {{"oldest", ReaderStart::kOldest},
                                        {"newest", ReaderStart::kNewest},
                                        {"next", ReaderStart::kNext}})) {
    return true;
  }
  if (!read_number(value, options.reader.sequence, std::uint64_t{0}, ~std::uint64_t{0})) {
    return false;
  }
  options.reader.from = ReaderStart::kSequence;
  return true;
}

bool set::mode(std::string_view value, ChannelOptions& options) {
  unsigned mode = 0;
  if (!read_number(value, mode, 0600u, 0777u, 8) || (mode & 0600) != 0600) return false;
  options.segment.mode = mode;
  return true;
}

bool set::group(std::string_view value, ChannelOptions& options) {
  constexpr std::size_t kLongest = 255;
  if (value.empty() || value.size() > kLongest || value.find(':') != std::string_view::npos) {
    return false;
  }
  const bool digits = value.find_first_not_of("0123456789") == std::string_view::npos;
  std::uint32_t id = 0;
  // The largest number stands for no group.
  if (digits && !read_number(value, id, std::uint32_t{0}, ~std::uint32_t{0} - 1)) return false;
  options.segment.group = value;
  return true;
}

bool set::huge(std::string_view value, ChannelOptions& options) {
  return choose<HugePages, HugePages>(
      value, options.segment.huge_pages,
      {{"no", HugePages::kNo}, {"try", HugePages::kTry}, {"require", HugePages::kRequire}});
}

bool set::lock(std::string_view value, ChannelOptions& options) {
  return read_flag(value, options.segment.lock);
}

bool set::numa(std::string_view value, ChannelOptions& options) {
  return read_number(value, options.segment.numa_node, 0, 1023);
}

bool set::uid(std::string_view value, ChannelOptions& options) {
  return read_ids(value, options.users);
}

bool set::gid(std::string_view value, ChannelOptions& options) {
  return read_ids(value, options.groups);
}

bool set::readers(std::string_view value, ChannelOptions& options) {
  static_assert(kMaxReaders == 64, "as its row says");
  std::uint32_t readers = 0;
  if (!read_number(value, readers, std::uint32_t{1}, kMaxReaders)) return false;
  options.readers = readers;
  return true;
}

bool set::policy(std::string_view value, ChannelOptions& options) {
  if (!choose<ReaderPolicy, ReaderPolicy>(value, options.reader.policy,
                                          {{"reliable", ReaderPolicy::kReliable},
                                           {"lossy", ReaderPolicy::kLossy},
                                           {"latest", ReaderPolicy::kLatest}})) {
    return false;
  }
  options.policy_given = true;
  return true;
}

bool set::name(std::string_view value, ChannelOptions& options) {
  static_assert(kReaderNameBytes == 32, "as its row says");
  if (value.empty() || value.size() > kReaderNameBytes) return false;
  options.reader_name = value;
  return true;
}

bool set::listen(std::string_view value, ChannelOptions& options) {
  bool listens = false;
  if (!read_flag(value, listens)) return false;
  options.listen = listens;
  return true;
}

bool set::keepalive(std::string_view value, ChannelOptions& options) {
  std::uint32_t seconds = 0;
  // TCP_KEEPIDLE takes no more (tcp(7)), and what is on its way is sent again 15 times, a second
  // apart at least (prepare_connection()).
  if (!read_number(value, seconds, std::uint32_t{0}, std::uint32_t{32767})) return false;
  if (seconds != 0 && seconds < 15) return false;
  options.keepalive = std::chrono::seconds(seconds);
  return true;
}

bool set::silence(std::string_view value, ChannelOptions& options) {
  std::uint32_t seconds = 0;
  if (!read_number(value, seconds, std::uint32_t{0}, ~std::uint32_t{0})) return false;
  options.silence = std::chrono::seconds(seconds);
  return true;
}

bool set::buffer(std::string_view value, ChannelOptions& options) {
  const auto size = parse_size(value);
  if (!size || *size < 1024 || *size > std::uint64_t{1} << 30) return false;
  options.buffer_bytes = *size;
  return true;
}

bool set::ttl(std::string_view value, ChannelOptions& options) {
  std::uint32_t hops = 0;
  if (!read_number(value, hops, std::uint32_t{0}, std::uint32_t{255})) return false;
  options.hops = hops;
  return true;
}

bool set::interface(std::string_view value, ChannelOptions& options) {
  options.interface = value;
  return !value.empty() && value.size() < 64;
}

bool set::certificate(std::string_view value, ChannelOptions& options) {
  return take_path(value, options.tls.certificate);
}

bool set::key(std::string_view value, ChannelOptions& options) {
  return take_path(value, options.tls.key);
}

bool set::ca(std::string_view value, ChannelOptions& options) {
  return take_path(value, options.tls.ca);
}

bool set::psk(std::string_view value, ChannelOptions& options) {
  return take_path(value, options.tls.psk);
}

bool set::psk_identity(std::string_view value, ChannelOptions& options) {
  if (value.empty() || value.size() > kMaxIdentity) return false;
  options.tls.psk_identity = value;
  return true;
}

bool set::evict(std::string_view value, ChannelOptions& options) {
  std::uint32_t seconds = 0;
  if (!read_number(value, seconds, std::uint32_t{0}, ~std::uint32_t{0})) return false;
  options.evict = std::chrono::seconds(seconds);
  return true;
}

bool set::wake_every(std::string_view value, ChannelOptions& options) {
  std::uint64_t messages = 0;
  if (!read_number(value, messages, std::uint64_t{1}, ~std::uint64_t{0})) return false;
  options.wake_every = messages;
  return true;
}

bool set::wake_bytes(std::string_view value, ChannelOptions& options) {
  return read_size(value, options.wake_bytes, 1, ~std::uint64_t{0});
}

bool set::wake_after(std::string_view value, ChannelOptions& options) {
  return read_time(value, options.wake_after);
}

}  // namespace rondo::inline RONDO_ABI::detail
