// The handles' ends of a guarded ring, once its two sides have met.
#pragma once

#include <memory>

#include "endpoint/backend.hpp"
#include "guarded/acceptor.hpp"
#include "guarded/connector.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Errors: kCorrupt.
[[nodiscard]] Result<SenderParts> make_guarded_sender(std::unique_ptr<GuardedAcceptor> acceptor,
                                                      const Url& url, const OpenOptions& options);
// Of a connector whose step() has said true. Errors: also kReplaced (the sender has died already).
[[nodiscard]] Result<ReceiverParts> make_guarded_receiver(GuardedConnector connector,
                                                          const Url& url,
                                                          const OpenOptions& options);

}  // namespace rondo::inline RONDO_ABI::detail
