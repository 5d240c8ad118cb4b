#include "rivals/processes.hpp"

#include "rivals/kernel_ends.hpp"
#include "rivals/own_ends.hpp"

namespace rondo::bench {
namespace {

Engine ours(Engine engine) {
  engine.ours = true;
  return engine;
}

}  // namespace

std::vector<Engine> engines_between_processes(const std::string& name) {
  return {
      {.name = "bare exchange", .manner = {.spins = true}, .cost = kInMemory, .largest = 64},
      ours(engine_of<SlotEnds>("spsc_ring", kInMemory)),
      ours(engine_of<RecordEnds>("record_ring", kInMemory)),
      ours(engine_of<RingEnds>("shm ring", kInMemory)),
      engine_of<PipeEnds>("pipe", kThroughKernel),
      engine_of<UnixEnds>("unix socket", kThroughKernel),
      engine_of<FifoEnds>("fifo", kThroughKernel),
      engine_of<TcpEnds>("tcp loopback", kThroughKernel),
      engine_of<PosixQueueEnds>("posix queue", kThroughKernel, PosixQueueEnds::largest(name)),
      engine_of<SystemVEnds>("system v queue", kThroughKernel, SystemVEnds::largest()),
      engine_of<EventEnds>("eventfd wake-up", kThroughKernel),
      engine_of<FutexEnds>("futex wake-up", kThroughKernel),
#ifdef RONDO_RIVAL_INTERPROCESS_QUEUE
      boost_interprocess(),
#endif
#ifdef RONDO_RIVAL_ICEORYX
      iceoryx(),
#endif
#ifdef RONDO_RIVAL_ZEROMQ
      zeromq(),
#endif
#ifdef RONDO_RIVAL_NNG
      nng(),
#endif
#ifdef RONDO_RIVAL_NANOMSG
      nanomsg(),
#endif
  };
}

}  // namespace rondo::bench
