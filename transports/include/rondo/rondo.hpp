// Everything that most programs need: the two handles. The five rings themselves, for static use,
// are in
//
//   rondo/core/spsc_ring.hpp     slots of one size, from one to one
//   rondo/core/record_ring.hpp   records of any size, from one to one, or each to up to 64 readers
//   rondo/core/mpmc_ring.hpp     slots, from many, each to one of many
//   rondo/core/frame_pool.hpp    large frames, from one to up to 64 readers, which may hold them
//   rondo/core/latest.hpp        the newest value alone, from one to any number of readers
//
// and what each needs in shared memory stands beside it.
#pragma once

#include "rondo/core/result.hpp"
#include "rondo/sync/deadline.hpp"
#include "rondo/transports/capabilities.hpp"
#include "rondo/transports/channel_info.hpp"
#include "rondo/transports/listener.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/receiver.hpp"
#include "rondo/transports/sender.hpp"
#include "rondo/transports/status.hpp"
#include "rondo/transports/url.hpp"
#include "rondo/transports/wait_set.hpp"
