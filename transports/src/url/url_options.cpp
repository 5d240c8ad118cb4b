#include "url/url_options.hpp"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rondo/transports/message_headers.hpp"
#include "url/options.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

std::string_view name_in(std::string_view text) noexcept {
  return text.substr(0, std::min(text.find('='), std::size_t{80}));
}

Error no_such_option(const SchemeRow& scheme, std::string_view name) {
  std::string message = std::string(scheme.name) + ": has no option '" + std::string(name) + "'";
  std::string_view why = scheme.why_not != nullptr ? scheme.why_not(name) : "";
  if (name == "linger") why = "that is await_successor. ";  // SO_LINGER is about something else
  if (name == "align") {
    why = "it copies messages, so that each side has them elsewhere; the rings have it. ";
  }
  message += why.empty() ? "; it has " : (": " + std::string(why) + "It has ");
  std::vector<std::string> has;
  all_words(scheme.options, [&](std::string_view word) { return has.emplace_back(word), true; });
  return Error{ErrorCode::kInvalidOption, message + listed(has, "and")};
}

Result<void> parse_option(const SchemeRow& scheme, std::string_view text, ChannelOptions& options) {
  const std::size_t equals = text.find('=');
  const std::string name(name_in(text));
  const OptionRow* option = find_option(name);
  if (option == nullptr || !has_word(scheme.options, name)) return no_such_option(scheme, name);
  if (equals == std::string_view::npos) {
    return Error{ErrorCode::kInvalidOption,
                 "the option " + name + " needs a value, as in " + name + "=VALUE"};
  }
  const std::string_view value = text.substr(equals + 1);
  const bool of_ring = !scheme.kinds.empty() && option->of_ring != nullptr;
  if (option->set(value, options) && (!of_ring || option->of_ring(value, options))) return {};
  std::string right = option->remedy != nullptr ? option->remedy(value) : std::string();
  if (right.empty()) right = option->value;
  return Error{option->error, name + "=" + std::string(value.substr(0, 80)) +
                                  " is not possible; it has to be " + right};
}

// Whether an option of sound value goes with the kind of ring that is asked for. Where none is,
// any kind may be found at the name, but options tell of one.
Result<void> check_kind_of(std::string_view option, RingKind asked) {
  const KindRow& kind = *channel_kind(asked);
  if (takes(kind, option)) return {};
  const auto* other = std::ranges::find_if(
      kKinds, [&](const KindRow& row) { return has_word(row.options, option); });
  std::string message = "the option " + std::string(option) + " is for kind=";
  message += other->name;
  if (asked == kDefaultKind) {
    message.append("; say kind=").append(other->name).append(", or leave it out");
  } else {
    message.append("; with kind=").append(kind.name).append(", ").append(kind.size);
  }
  return Error{ErrorCode::kInvalidOption, std::move(message)};
}

Result<void> check_kind(const SchemeRow& scheme, const ChannelOptions& options) {
  if (!options.kind) return {};
  const KindRow& kind = *channel_kind(*options.kind);
  if (!has_word(scheme.kinds, kind.name)) {
    const auto has = [&](const SchemeRow& row) { return has_word(row.kinds, kind.name); };
    return Error{ErrorCode::kInvalidOption, "kind=" + std::string(kind.name) + " is for " +
                                                names_of(kSchemes, has, ":", "and") + ", not for " +
                                                std::string(scheme.name) + ':'};
  }
  return kind.check == nullptr ? Result<void>() : kind.check(options);
}

// A group that the mode keeps out could as well not be named.
Result<void> check_group(const SegmentOptions& options) {
  if (options.group.empty() || options.mode.let_group_in()) return {};
  return Error{ErrorCode::kInvalidOption,
               "group=" + options.group +
                   " needs a mode that lets the group read and write; say mode=0660 too, on both "
                   "sides"};
}

// Frames that are not ours have no place for checksums, and only raw bytes are cut into blocks.
// What keeps messages apart by itself has no other framings than these.
Result<void> check_framing(const SchemeRow& scheme, const ChannelOptions& options) {
  const bool of_bytes = has_word(scheme.options, "crc");
  if (!of_bytes && options.framing != Framing::kRondo && options.framing != Framing::kRaw) {
    return Error{ErrorCode::kInvalidOption,
                 std::string(scheme.name) +
                     ": keeps messages apart by itself; framing= has to be rondo or raw there"};
  }
  if (options.crc && options.framing != Framing::kRondo) {
    return Error{ErrorCode::kInvalidOption,
                 "crc=1 is for framing=rondo, which is the default; leave one of them out"};
  }
  if (options.header && options.framing != Framing::kRondo) {
    return Error{ErrorCode::kInvalidOption,
                 "header= is for framing=rondo, which is the default: what other programs send has "
                 "no place for it; leave one of them out"};
  }
  if (!options.block_bytes) return {};
  if (options.framing != Framing::kRaw) {
    return Error{ErrorCode::kInvalidOption, "block= is for framing=raw; say that too"};
  }
  if (!options.capacity ||
      *options.block_bytes <= record_ring::max_record_bytes(*options.capacity)) {
    return {};
  }
  return Error{ErrorCode::kInvalidOption,
               "a block of " + format_size(*options.block_bytes) +
                   " bytes does not fit into a ring of capacity=" + format_size(*options.capacity) +
                   "; leave the capacity out, or say more"};
}

// What goes with certificates does not go with a key that both have.
Result<void> check_tls(const TlsOptions& options) {
  if (!options.key.empty() && options.certificate.empty()) {
    return Error{ErrorCode::kInvalidOption,
                 "key= is that of a certificate; say certificate= too, or leave it out"};
  }
  if (!options.psk.empty() && (!options.certificate.empty() || !options.ca.empty())) {
    return Error{ErrorCode::kInvalidOption,
                 "psk= stands in the place of certificates: nobody shows or checks one then; leave "
                 "out certificate=, key= and ca=, or psk="};
  }
  if (!options.psk_identity.empty() && options.psk.empty()) {
    return Error{ErrorCode::kInvalidOption,
                 "psk_identity= is what the key of psk= is called; say psk= too, or leave it out"};
  }
  return {};
}

// A message has to have room for its header, and a byte more. Of sizes that are not said the ring
// that is found may have larger ones than a new one would.
Result<void> check_header(const ChannelOptions& options) {
  const std::uint64_t room = MessageHeaders(options.header_bytes(), options.align_bytes()).room;
  if (room == 0) return {};
  const auto fits = [&](std::string_view what, std::optional<std::uint64_t> bytes,
                        std::uint64_t most) -> Result<void> {
    if (!bytes || most > room) return {};
    return Error{ErrorCode::kInvalidCapacity,
                 what_takes_room(options) + " takes " + std::to_string(room) +
                     " bytes beside each message, and " + std::string(what) + "=" +
                     format_size(*bytes) + " has no room for more than " + std::to_string(most) +
                     "; make it larger"};
  };
  if (auto fit = fits("capacity", options.capacity,
                      record_ring::max_record_bytes(
                          options.capacity.value_or(ChannelOptions::kDefaultCapacity)));
      !fit) {
    return fit;
  }
  if (auto fit = fits("slot_size", options.slot_bytes, options.slot_bytes.value_or(0)); !fit) {
    return fit;
  }
  return fits("frame_size", options.frame_bytes, options.frame_bytes.value_or(0));
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

std::string what_takes_room(const ChannelOptions& options) {
  std::string what;
  if (options.header) what = "header=" + std::to_string(*options.header);
  if (!options.align) return what;
  if (!what.empty()) what += " with ";
  return what + "align=" + std::to_string(*options.align);
}

Result<void> parse_options(Scheme scheme, std::string_view text, ChannelOptions& options) {
  const SchemeRow& row = row_of(scheme);
  Result<void> parsed = for_each_option(
      text, [&](std::string_view option) { return parse_option(row, option, options); });
  if (!parsed) return parsed;
  if (!row.kinds.empty()) {
    const RingKind kind = options.kind.value_or(kDefaultKind);
    Result<void> fits = for_each_option(
        text, [&](std::string_view option) { return check_kind_of(name_in(option), kind); });
    if (!fits) return fits;
  }
  if (auto sound = check_framing(row, options); !sound) return sound;
  if (auto roomy = check_header(options); !roomy) return roomy;
  if (auto useful = check_group(options.segment); !useful) return useful;
  if (auto sound = check_tls(options.tls); !sound) return sound;
  return check_kind(row, options);
}

}  // namespace rondo::inline RONDO_ABI::detail
