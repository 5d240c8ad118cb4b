// Opening a last-value cell by its name, in one line:
//
//   auto writer = latest<Quote>::open_writer("shm:eurusd");  // one process, which makes the cell
//   writer->store(quote);                                    // after a look at `writer`
//
//   auto reader = latest<Quote>::open_reader("shm:eurusd");  // any other, as often as you like
//   if (reader->try_load(quote) == LatestRead::kValue) ...
#pragma once

#include <string_view>
#include <utility>

#include "rondo/core/latest.hpp"
#include "rondo/core/latest_layout.hpp"
#include "rondo/core/opened.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// A value is of its time: no process comes for it once the name is gone.
[[nodiscard]] inline bool anything_unread(const LatestParts&) noexcept { return false; }

template <class T>
auto latest<T>::open_writer(std::string_view name, const LatestParams& params,
                            const RingOptions& options) -> Result<Opened<latest, Writer>> {
  return detail::open_joined<latest, Writer>(name, params, options,
                                             {.role = Role::kProducer,
                                              .slot = kWriterSlot,
                                              .peer_slot = kFirstWaiterSlot,
                                              .peers = kMaxLatestWaiters});
}
template <class T>
auto latest<T>::open_writer(std::string_view name, const LatestParams& params)
    -> Result<Opened<latest, Writer>> {
  return open_writer(name, params, RingOptions{});
}

template <class T>
auto latest<T>::open_reader(std::string_view text, const RingOptions& options)
    -> Result<Opened<latest, Reader>> {
  return detail::refuse_without_memory([&]() -> Result<Opened<latest, Reader>> {
    auto name = parse_ring_name(text);
    if (!name) return std::move(name).error();
    auto attachment = Attachment<latest>::await(
        {std::move(name).value(), options.segment, Access::kReadOnly}, options.timeout);
    if (!attachment) return std::move(attachment).error();
    return Opened<latest, Reader>(std::move(attachment).value(), {.peer_slot = kWriterSlot},
                                  options.keep);
  });
}
template <class T>
auto latest<T>::open_reader(std::string_view name) -> Result<Opened<latest, Reader>> {
  return open_reader(name, RingOptions{});
}

}  // namespace rondo::inline RONDO_ABI
