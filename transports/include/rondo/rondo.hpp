// Everything that most programs need: the two handles. The rings themselves, for static use, are in
// rondo/core/spsc_ring.hpp and rondo/core/record_ring.hpp.
#pragma once

#include "rondo/core/result.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/channel_info.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/url.hpp"
