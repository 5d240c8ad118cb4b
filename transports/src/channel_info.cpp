#include "rondo/transports/channel_info.hpp"

#include <string>

#include "open/transports.hpp"
#include "url/words.hpp"

namespace rondo::inline RONDO_ABI {

using detail::kSchemes;
using detail::SchemeRow;
using detail::transport_of;

std::span<const ReaderInfo> ChannelInfo::readers() const& noexcept {
  if (const auto* several = as<BroadcastInfo>()) return several->readers;
  if (const auto* several = as<FramesInfo>()) return several->readers;
  return {};
}

std::uint32_t ChannelInfo::reader_places() const noexcept {
  if (const auto* several = as<BroadcastInfo>()) return several->reader_places;
  if (const auto* several = as<FramesInfo>()) return several->reader_places;
  return 1;
}

Result<ChannelInfo> inspect(std::string_view text) {
  const auto url = Url::parse(text);
  if (!url) return url.error();
  if (const auto look = transport_of(url->scheme).inspect; look != nullptr) return look(*url);
  const auto can = [](const SchemeRow& row) { return row.segment.has_value(); };
  return Error{ErrorCode::kUnsupported, url->name() +
                                            " keeps nothing that could be looked at; info is for " +
                                            detail::names_of(kSchemes, can, ":", "and")};
}

Result<void> remove(std::string_view text, bool even_if_used) {
  const auto url = Url::parse(text);
  if (!url) return url.error();
  if (const auto take = transport_of(url->scheme).remove; take != nullptr) {
    return take(*url, even_if_used);
  }
  const auto can = [](const SchemeRow& row) { return transport_of(row.scheme).remove != nullptr; };
  return Error{ErrorCode::kUnsupported, url->name() + " has no name that could be removed; " +
                                            detail::names_of(kSchemes, can, ":", "and") + " have"};
}

}  // namespace rondo::inline RONDO_ABI
