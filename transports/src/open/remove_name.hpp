// Taking away the name of a FIFO or a socket that was left behind.
#pragma once

#include <string_view>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// `listener`: the side that has it when a socket is in use, for people; empty: it is a FIFO.
// Errors: kNotFound, kForeignObject (something else stands there), kBusy (a process listens),
// kPermission, kSystem.
[[nodiscard]] Result<void> remove_special_file(const Url& url, bool even_if_used,
                                               std::string_view listener);

}  // namespace rondo::inline RONDO_ABI::detail
