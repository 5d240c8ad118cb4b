// What the commands with a sender do before the first message and behind the last.
#pragma once

#include "name_watch.hpp"
#include "options.hpp"
#include "patience.hpp"
#include "rondo/transports/sender.hpp"

namespace rondo::program {

// Waits until a receiver is there, so that nothing is lost with this process. Says what went wrong;
// returns the exit code.
int await_receiver(Sender& sender, const TransferOptions& options, const Patience& patience,
                   NameWatch& watch);

// Ends the stream, after the receiver has read it all: success means that it arrived.
int finish(Sender& sender, const TransferOptions& options, NameWatch& watch);

// Why a sender's call failed, as its user sees it.
[[nodiscard]] std::string_view what_happened_to_receiver(Status status);

}  // namespace rondo::program
