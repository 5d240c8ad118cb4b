// Channels over a message queue of the system's (queue.hpp), whichever it is.
#pragma once

#include <cstdint>

#include "endpoint/backend.hpp"
#include "open/queue.hpp"
#include "rondo/core/permissions.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// A sender waits until what an earlier one left has been read, and for no receiver; a receiver for
// a sender, or for what one left. Errors: those of `opener`, kBusy (the role is taken), kTimedOut.
[[nodiscard]] Result<SenderParts> open_queue_sender(const Url& url, const OpenOptions& options,
                                                    OpenQueue opener);
[[nodiscard]] Result<ReceiverParts> open_queue_receiver(const Url& url, const OpenOptions& options,
                                                        OpenQueue opener);
[[nodiscard]] Result<PairParts> open_queue_pair(const Url& url, const OpenOptions& options,
                                                OpenQueue opener);
// Errors: kForeignOwner, if the URL asks for a queue of our user's alone and this is another one's.
[[nodiscard]] Result<void> check_queue_owner(const Url& url, std::uint32_t owner,
                                             std::uint32_t group, Permissions mode);
// Takes the name of a queue that was found away. Errors: kBusy.
[[nodiscard]] Result<void> remove_queue(const Url& url, bool even_if_used, Queue& queue);

}  // namespace rondo::inline RONDO_ABI::detail
