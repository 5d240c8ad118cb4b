// nng: a pair of sockets in the abstract name space, messages written and read where the library
// keeps them.
#include <nng/nng.h>
#include <nng/protocol/pair0/pair.h>

#include <string>

#include "rivals/engine.hpp"
#include "rivals/processes.hpp"

namespace rondo::bench {
namespace {

class NngEnds {
 public:
  static constexpr Manner kManner{.lasting = true, .helpers = true};

  NngEnds(const Place& place, const Task&) {
    const std::string address = "abstract://" + place.name + "-nng";
    check(nng_pair0_open(&socket_));
    check(nng_setopt_int(socket_, NNG_OPT_SENDBUF, 128));
    check(nng_setopt_int(socket_, NNG_OPT_RECVBUF, 128));
    check(nng_setopt_size(socket_, NNG_OPT_RECVMAXSZ, 0));  // without limit
    check(place.answers ? nng_listen(socket_, address.c_str(), nullptr, 0)
                        : nng_dial(socket_, address.c_str(), nullptr, NNG_FLAG_NONBLOCK));
  }

  void send(std::size_t bytes, std::uint64_t i) {
    nng_msg* message = nullptr;
    check(nng_msg_alloc(&message, bytes));
    write_message(nng_msg_body(message), bytes, i);
    check(nng_sendmsg(socket_, message, 0));
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    nng_msg* message = nullptr;
    check(nng_recvmsg(socket_, &message, 0));
    if (nng_msg_len(message) != bytes) fail("a message of another size arrived");
    checker.read_message(aligned_.of(nng_msg_body(message), bytes), bytes, i);
    nng_msg_free(message);
  }

 private:
  static void check(int error) {
    if (error != 0) fail(nng_strerror(error));
  }

  nng_socket socket_{};
  Aligned aligned_;
};

}  // namespace

Engine nng() { return engine_of<NngEnds>("nng ipc", kThroughLibrary); }

}  // namespace rondo::bench
