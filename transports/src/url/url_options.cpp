#include "url/url_options.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <string>
#include <utility>
#include <vector>

namespace rondo::inline RONDO_ABI::detail {
namespace {

// The largest message of a byte stream: its length is written as 32 bits, and a record ring needs
// some of the highest values.
constexpr std::uint64_t kLargestMax = record_ring::max_record_bytes(record_ring::kMaxCapacity);

constexpr unsigned bit(Scheme scheme) noexcept { return 1u << static_cast<unsigned>(scheme); }
constexpr unsigned kSegments = bit(Scheme::kShm) | bit(Scheme::kFile);
constexpr unsigned kGuarded = bit(Scheme::kGuarded);
constexpr unsigned kRings = kSegments | bit(Scheme::kInproc);
constexpr unsigned kStreams =
    bit(Scheme::kPipe) | bit(Scheme::kFd) | bit(Scheme::kFifo) | bit(Scheme::kUnix);
constexpr unsigned kFiles = kSegments | kGuarded | bit(Scheme::kFifo) | bit(Scheme::kUnix);
constexpr unsigned kAll = kRings | kGuarded | kStreams;

constexpr unsigned bit(RingKind kind) noexcept { return 1u << static_cast<unsigned>(kind); }
constexpr unsigned kRecord = bit(RingKind::kRecord);
constexpr unsigned kMpmc = bit(RingKind::kMpmc);
constexpr unsigned kFrames = bit(RingKind::kFramePool);
constexpr unsigned kAnyKind = ~0u;

// An option and what it holds. `set` takes the value in; if it can't, returns what would be right.
struct Option {
  std::string_view name;
  unsigned schemes;
  unsigned kinds;  // of rings; byte streams have none, and count as kRecord
  ErrorCode error;
  std::string (*set)(std::string_view value, ChannelOptions& options);
};

template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end;
}

std::string set_flag(std::string_view value, bool& flag) {
  if (value != "0" && value != "1") return "0 or 1";
  flag = value == "1";
  return {};
}

std::string set_capacity(std::string_view value, ChannelOptions& options) {
  const auto bytes = parse_size(value);
  if (!bytes) return "a size such as 64KiB, 1MiB or 4GiB";
  if (*bytes < record_ring::kMinCapacity || *bytes > record_ring::kMaxCapacity) {
    return "a power of two from " + format_size(record_ring::kMinCapacity) + " to " +
           format_size(record_ring::kMaxCapacity);
  }
  if (!std::has_single_bit(*bytes)) {
    return "a power of two; the nearest are " + format_size(std::bit_floor(*bytes)) + " and " +
           format_size(std::bit_ceil(*bytes));
  }
  options.capacity = *bytes;
  return {};
}

std::string set_kind(std::string_view value, ChannelOptions& options) {
  for (const RingKind kind : {RingKind::kRecord, RingKind::kMpmc, RingKind::kFramePool}) {
    if (value != to_string(kind)) continue;
    options.kind = kind;
    return {};
  }
  return "record, mpmc or frames";
}

std::string set_slots(std::string_view value, ChannelOptions& options) {
  const auto slots = parse_size(value);
  if (!slots || *slots < mpmc_limits::kMinCapacity || *slots > mpmc_limits::kMaxCapacity) {
    return "a power of two from 2 to 4GiB, such as 1024";
  }
  if (!std::has_single_bit(*slots)) {
    return "a power of two; the nearest are " + std::to_string(std::bit_floor(*slots)) + " and " +
           std::to_string(std::bit_ceil(*slots));
  }
  options.slots = *slots;
  return {};
}

std::string set_slot_size(std::string_view value, ChannelOptions& options) {
  const auto bytes = parse_size(value);
  if (!bytes || *bytes == 0 || *bytes > mpmc_limits::kMaxSlotBytes) {
    return "a size from 1 to 1GiB, such as 64 or 4KiB";
  }
  options.slot_bytes = static_cast<std::uint32_t>(*bytes);
  return {};
}

std::string set_frames(std::string_view value, ChannelOptions& options) {
  const auto frames = parse_size(value);
  if (!frames || *frames < 2 || *frames > kMaxFrames) {
    return "a number from 2 to " + std::to_string(kMaxFrames);
  }
  options.frames = static_cast<std::uint32_t>(*frames);
  return {};
}

std::string set_frame_size(std::string_view value, ChannelOptions& options) {
  const auto bytes = parse_size(value);
  if (!bytes || *bytes == 0 || *bytes > ~std::uint32_t{0}) {
    return "a size below 4GiB, such as 12MiB";
  }
  options.frame_bytes = static_cast<std::uint32_t>(*bytes);
  return {};
}

std::string set_on_consumer_death(std::string_view value, ChannelOptions& options) {
  if (value != "redeliver" && value != "drop") return "redeliver or drop";
  options.on_consumer_death =
      value == "drop" ? OnConsumerDeath::kDrop : OnConsumerDeath::kRedeliver;
  return {};
}

std::string set_max(std::string_view value, ChannelOptions& options) {
  const auto bytes = parse_size(value);
  if (!bytes || *bytes > kLargestMax) {
    return "a size such as 64KiB, at most " + std::to_string(kLargestMax);
  }
  options.max_bytes = *bytes;
  return {};
}

std::string set_wait(std::string_view value, ChannelOptions& options) {
  const auto mode = parse_wait_mode(value);
  if (!mode) return "one of " + std::string(wait_mode_names());
  options.wait = *mode;
  return {};
}

std::string set_acknowledge(std::string_view value, ChannelOptions& options) {
  constexpr std::array<std::pair<std::string_view, Acknowledge>, 3> kValues{
      {{"lazy", Acknowledge::kLazily},
       {"eager", Acknowledge::kEagerly},
       {"explicit", Acknowledge::kExplicitly}}};
  for (const auto& [name, acknowledge] : kValues) {
    if (value != name) continue;
    options.acknowledge = acknowledge;
    return {};
  }
  return "lazy, eager or explicit";
}

std::string set_linger(std::string_view value, ChannelOptions& options) {
  return set_flag(value, options.linger);
}
std::string set_keep(std::string_view value, ChannelOptions& options) {
  return set_flag(value, options.keep);
}
std::string set_start(std::string_view value, ChannelOptions& options) {
  constexpr std::array<std::pair<std::string_view, Start>, 4> kValues{{{"any", Start::kAny},
                                                                       {"new", Start::kNew},
                                                                       {"fresh", Start::kFresh},
                                                                       {"join", Start::kJoin}}};
  for (const auto& [name, start] : kValues) {
    if (value != name) continue;
    options.start = start;
    return {};
  }
  return "any, new, fresh or join";
}

std::string set_lock(std::string_view value, ChannelOptions& options) {
  return set_flag(value, options.segment.lock);
}

std::string set_mode(std::string_view value, ChannelOptions& options) {
  unsigned mode = 0;
  const char* end = value.data() + value.size();
  const auto [rest, error] = std::from_chars(value.data(), end, mode, 8);
  const bool whole = error == std::errc() && rest == end;
  if (!whole || mode > 0777 || (mode & 0600) != 0600) {
    return "octal permissions that let the owner read and write, such as 0600 or 0660";
  }
  options.segment.mode = mode;
  return {};
}

std::string set_group(std::string_view value, ChannelOptions& options) {
  constexpr std::size_t kLongest = 255;
  const bool digits = value.find_first_not_of("0123456789") == std::string_view::npos;
  std::uint32_t id = 0;
  if (value.empty() || value.size() > kLongest || value.find(':') != std::string_view::npos ||
      (digits && (!parse_number(value, id) || id == ~std::uint32_t{0}))) {
    return "a group's number, or its name in /etc/group";
  }
  options.segment.group = value;
  return {};
}

std::string set_huge(std::string_view value, ChannelOptions& options) {
  constexpr std::array<std::pair<std::string_view, HugePages>, 3> kValues{
      {{"no", HugePages::kNo}, {"try", HugePages::kTry}, {"require", HugePages::kRequire}}};
  for (const auto& [name, huge_pages] : kValues) {
    if (value != name) continue;
    options.segment.huge_pages = huge_pages;
    return {};
  }
  return "no, try or require";
}

std::string set_numa(std::string_view value, ChannelOptions& options) {
  int node = -1;
  const char* end = value.data() + value.size();
  const auto [rest, error] = std::from_chars(value.data(), end, node);
  if (error != std::errc() || rest != end || node < 0 || node > 1023) {
    return "the number of a memory node, such as 0";
  }
  options.segment.numa_node = node;
  return {};
}

std::string set_readers(std::string_view value, ChannelOptions& options) {
  std::uint32_t readers = 0;
  if (!parse_number(value, readers) || readers < 1 || readers > kMaxReaders) {
    return "a number from 1 to " + std::to_string(kMaxReaders);
  }
  options.readers = readers;
  return {};
}

std::string set_policy(std::string_view value, ChannelOptions& options) {
  constexpr std::array<std::pair<std::string_view, ReaderPolicy>, 3> kValues{
      {{"reliable", ReaderPolicy::kReliable},
       {"lossy", ReaderPolicy::kLossy},
       {"latest", ReaderPolicy::kLatest}}};
  for (const auto& [name, policy] : kValues) {
    if (value != name) continue;
    options.reader.policy = policy;
    options.policy_given = true;
    return {};
  }
  return "reliable, lossy or latest";
}

std::string set_from(std::string_view value, ChannelOptions& options) {
  constexpr std::array<std::pair<std::string_view, ReaderStart>, 3> kValues{
      {{"oldest", ReaderStart::kOldest},
       {"newest", ReaderStart::kNewest},
       {"next", ReaderStart::kNext}}};
  for (const auto& [name, from] : kValues) {
    if (value != name) continue;
    options.reader.from = from;
    return {};
  }
  if (!parse_number(value, options.reader.sequence)) {
    return "oldest, newest, next, or the number of a message, from 0 up";
  }
  options.reader.from = ReaderStart::kSequence;
  return {};
}

std::string set_name(std::string_view value, ChannelOptions& options) {
  if (value.empty() || value.size() > kReaderNameBytes) {
    return "a name of 1 to " + std::to_string(kReaderNameBytes) + " bytes";
  }
  options.reader_name = value;
  return {};
}

std::string set_evict(std::string_view value, ChannelOptions& options) {
  std::uint32_t seconds = 0;
  if (!parse_number(value, seconds)) return "a number of seconds";
  options.evict = std::chrono::seconds(seconds);
  return {};
}

std::string set_ids(std::string_view value, std::vector<std::uint32_t>& ids) {
  std::vector<std::uint32_t> found;
  const char* place = value.data();
  const char* end = value.data() + value.size();
  for (;;) {
    std::uint32_t id = 0;
    const auto [rest, error] = std::from_chars(place, end, id);
    // The largest number stands for nobody.
    if (error != std::errc() || id == ~std::uint32_t{0}) break;
    found.push_back(id);
    if (rest == end) {
      ids = std::move(found);
      return {};
    }
    if (*rest != ',') break;
    place = rest + 1;
  }
  return "numbers of users or groups with commas between them, such as 1000,1001";
}
std::string set_users(std::string_view value, ChannelOptions& options) {
  return set_ids(value, options.users);
}
std::string set_groups(std::string_view value, ChannelOptions& options) {
  return set_ids(value, options.groups);
}

constexpr std::array kOptions{
    Option{"kind", kRings, kAnyKind, ErrorCode::kInvalidOption, set_kind},
    Option{"capacity", kAll, kRecord, ErrorCode::kInvalidCapacity, set_capacity},
    Option{"slots", kRings, kMpmc, ErrorCode::kInvalidCapacity, set_slots},
    Option{"slot_size", kRings, kMpmc, ErrorCode::kInvalidCapacity, set_slot_size},
    Option{"on_consumer_death", kRings, kMpmc, ErrorCode::kInvalidOption, set_on_consumer_death},
    Option{"frames", kSegments, kFrames, ErrorCode::kInvalidCapacity, set_frames},
    Option{"frame_size", kSegments, kFrames, ErrorCode::kInvalidCapacity, set_frame_size},
    Option{"max", kStreams, kAnyKind, ErrorCode::kInvalidOption, set_max},
    Option{"wait", kAll, kAnyKind, ErrorCode::kInvalidOption, set_wait},
    Option{"ack", kRings | kGuarded, kRecord, ErrorCode::kInvalidOption, set_acknowledge},
    Option{"linger", kRings | kGuarded, kAnyKind, ErrorCode::kInvalidOption, set_linger},
    Option{"keep", kSegments | bit(Scheme::kFifo), kAnyKind, ErrorCode::kInvalidOption, set_keep},
    Option{"start", kSegments, kAnyKind, ErrorCode::kInvalidOption, set_start},
    Option{"mode", kFiles, kAnyKind, ErrorCode::kInvalidOption, set_mode},
    Option{"group", kSegments, kAnyKind, ErrorCode::kInvalidOption, set_group},
    Option{"huge", kSegments, kAnyKind, ErrorCode::kInvalidOption, set_huge},
    Option{"lock", kSegments | kGuarded, kAnyKind, ErrorCode::kInvalidOption, set_lock},
    Option{"numa", kSegments | kGuarded, kAnyKind, ErrorCode::kInvalidOption, set_numa},
    Option{"readers", kSegments | kGuarded, kRecord | kFrames, ErrorCode::kInvalidOption,
           set_readers},
    Option{"policy", kSegments | kGuarded, kRecord | kFrames, ErrorCode::kInvalidOption,
           set_policy},
    Option{"from", kRings | kGuarded, kRecord | kFrames, ErrorCode::kInvalidOption, set_from},
    Option{"name", kSegments, kRecord, ErrorCode::kInvalidOption, set_name},
    Option{"evict", kSegments | kGuarded, kRecord, ErrorCode::kInvalidOption, set_evict},
    Option{"uid", kGuarded, kAnyKind, ErrorCode::kInvalidOption, set_users},
    Option{"gid", kGuarded, kAnyKind, ErrorCode::kInvalidOption, set_groups},
};

std::string names_for(Scheme scheme) {
  std::string names;
  for (const Option& option : kOptions) {
    if ((option.schemes & bit(scheme)) == 0) continue;
    if (!names.empty()) names += ", ";
    names += option.name;
  }
  return names;
}

// Options that one may miss, and why they are not there.
std::string_view why_not(Scheme scheme, std::string_view name) noexcept {
  if (scheme != Scheme::kGuarded) return {};
  if (name == "huge") {
    return "a receiver's part is one small page within the sender's mapping of the ring, which "
           "huge "
           "pages can't be; use lock=1, or huge= with shm:NAME. ";
  }
  if (name == "name") {
    return "a receiver's account lies in a page of its own that goes with its process, so there is "
           "nothing to come back to; say from=SEQ with the number of the next message. ";
  }
  if (name == "keep") return "the ring goes with its sender, who alone can hand it over. ";
  return {};
}

const Option* find_option(std::string_view text) noexcept {
  const std::string_view name = text.substr(0, std::min(text.find('='), std::size_t{80}));
  const auto* option = std::ranges::find(kOptions, name, &Option::name);
  return option == kOptions.end() ? nullptr : option;
}

Result<void> parse_option(Scheme scheme, std::string_view text, ChannelOptions& options) {
  const std::size_t equals = text.find('=');
  const std::string name(text.substr(0, std::min(equals, std::size_t{80})));
  const Option* option = find_option(text);
  if (option == nullptr || (option->schemes & bit(scheme)) == 0) {
    std::string message = std::string(to_string(scheme)) + ": has no option '" + name + "'";
    const std::string_view why = why_not(scheme, name);
    message += why.empty() ? "; it has " : (": " + std::string(why) + "It has ");
    return Error{ErrorCode::kInvalidOption, message + names_for(scheme)};
  }
  if (equals == std::string_view::npos) {
    return Error{ErrorCode::kInvalidOption,
                 "the option " + name + " needs a value, as in " + name + "=VALUE"};
  }
  const std::string_view value = text.substr(equals + 1);
  const std::string right = option->set(value, options);
  if (right.empty()) return {};
  return Error{option->error, name + "=" + std::string(value.substr(0, 80)) +
                                  " is not possible; it has to be " + right};
}

// Whether an option of sound value goes with the kind of ring that is asked for. Where none is,
// any kind may be found at the name, but options tell of one.
Result<void> check_kind(std::string_view text, const std::optional<RingKind>& kind) {
  const Option& option = *find_option(text);
  const RingKind asked = kind.value_or(RingKind::kRecord);
  if ((option.kinds & bit(asked)) != 0) return {};
  std::string message = "the option " + std::string(option.name) + " is for kind=";
  for (const RingKind other : {RingKind::kRecord, RingKind::kMpmc, RingKind::kFramePool}) {
    if ((option.kinds & bit(other)) == 0) continue;
    message += to_string(other);
    if (asked == RingKind::kRecord) {
      message.append("; say kind=").append(to_string(other)).append(", or leave it out");
    }
    break;
  }
  if (asked == RingKind::kMpmc) {
    message += "; with kind=mpmc, slots and slot_size say how large the ring is";
  }
  if (asked == RingKind::kFramePool) {
    message += "; with kind=frames, frames and frame_size say how large the pool is";
  }
  return Error{ErrorCode::kInvalidOption, std::move(message)};
}

// What no pool of frames does: wait for a reader, or keep track of one that is not there.
Result<void> check_frames(Scheme scheme, const ChannelOptions& options) {
  if (options.kind != RingKind::kFramePool) return {};
  if ((kSegments & bit(scheme)) == 0) {
    return Error{ErrorCode::kInvalidOption, "kind=frames is for shm: and file:, not for " +
                                                std::string(to_string(scheme)) + ':'};
  }
  return refuse_of_frames(options);
}

// A group that the mode keeps out could as well not be named.
Result<void> check_group(const SegmentOptions& options) {
  constexpr unsigned kGroupMay = 0060;
  if (options.group.empty() || (options.mode & kGroupMay) == kGroupMay) return {};
  return Error{ErrorCode::kInvalidOption,
               "group=" + options.group +
                   " needs a mode that lets the group read and write; say mode=0660 too, on both "
                   "sides"};
}

// Calls `check` for each option in "a=1&b=2", up to the first error.
template <class Check>
Result<void> for_each_option(std::string_view text, Check&& check) {
  while (!text.empty()) {
    const std::size_t ampersand = std::min(text.find('&'), text.size());
    Result<void> checked = check(text.substr(0, ampersand));
    if (!checked) return checked;
    text.remove_prefix(std::min(ampersand + 1, text.size()));
  }
  return {};
}

}  // namespace

Result<void> refuse_of_frames(const ChannelOptions& options) {
  if (options.policy_given && options.reader.policy == ReaderPolicy::kReliable) {
    return Error{ErrorCode::kInvalidOption,
                 "the sender of a pool of frames waits for nobody: policy=reliable is not "
                 "possible; policy=lossy gets every frame that is still there, and readers=N "
                 "without kind=frames makes a ring whose sender waits"};
  }
  if (options.reader.from == ReaderStart::kSequence || options.reader.from == ReaderStart::kNext) {
    return Error{ErrorCode::kInvalidOption,
                 "in a pool of frames one starts at from=oldest or from=newest"};
  }
  if (options.reader_name.empty() && !options.evict && !options.capacity) return {};
  return Error{ErrorCode::kInvalidOption,
               "a pool of frames has no capacity=, name= or evict=; frames=, frame_size= and "
               "readers= say how large it is"};
}

Result<void> parse_options(Scheme scheme, std::string_view text, ChannelOptions& options) {
  Result<void> parsed = for_each_option(
      text, [&](std::string_view option) { return parse_option(scheme, option, options); });
  if (!parsed) return parsed;
  Result<void> fits = for_each_option(
      text, [&](std::string_view option) { return check_kind(option, options.kind); });
  if (!fits) return fits;
  if (auto useful = check_group(options.segment); !useful) return useful;
  return check_frames(scheme, options);
}

}  // namespace rondo::inline RONDO_ABI::detail
