// ZeroMQ: a pair of sockets over ipc:, messages written and read where the library keeps them.
#include <zmq.h>

#include <string>

#include "rivals/engine.hpp"
#include "rivals/processes.hpp"

namespace rondo::bench {
namespace {

class ZeroMqEnds {
 public:
  static constexpr Manner kManner{.lasting = true, .helpers = true};

  ZeroMqEnds(const Place& place, const Task&) : socket_(zmq_socket(zmq_ctx_new(), ZMQ_PAIR)) {
    const std::string address = "ipc://@" + place.name + "-zeromq";  // in no file system
    if (socket_ == nullptr || (place.answers ? zmq_bind(socket_, address.c_str())
                                             : zmq_connect(socket_, address.c_str())) != 0) {
      fail(zmq_strerror(zmq_errno()));
    }
  }

  void send(std::size_t bytes, std::uint64_t i) {
    zmq_msg_t message;
    if (zmq_msg_init_size(&message, bytes) != 0) fail("no memory");
    write_message(zmq_msg_data(&message), bytes, i);
    if (zmq_msg_send(&message, socket_, 0) < 0) fail(zmq_strerror(zmq_errno()));
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, socket_, 0) < 0) fail(zmq_strerror(zmq_errno()));
    if (zmq_msg_size(&message) != bytes) fail("a message of another size arrived");
    checker.read_message(aligned_.of(zmq_msg_data(&message), bytes), bytes, i);
    zmq_msg_close(&message);
  }

 private:
  void* socket_;
  Aligned aligned_;
};

}  // namespace

Engine zeromq() { return engine_of<ZeroMqEnds>("ZeroMQ ipc", kThroughLibrary); }

}  // namespace rondo::bench
