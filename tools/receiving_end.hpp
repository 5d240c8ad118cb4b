// What the commands with a receiver say of it in the end.
#pragma once

#include <cstdint>

#include "rondo/transports/receiver.hpp"

namespace rondo::program {

// What was lost before it came, beside the `received` messages, and what else came.
void say_what_did_not_come(const Receiver& receiver, std::uint64_t received);

}  // namespace rondo::program
