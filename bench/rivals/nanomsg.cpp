// nanomsg: a pair of sockets over ipc:, messages written and read where the library keeps them.
#include <nanomsg/nn.h>
#include <nanomsg/pair.h>
#include <unistd.h>

#include <string>

#include "rivals/engine.hpp"
#include "rivals/processes.hpp"

namespace rondo::bench {
namespace {

class NanomsgEnds {
 public:
  static constexpr Manner kManner{.lasting = true, .helpers = true};

  NanomsgEnds(const Place& place, const Task&) : socket_(nn_socket(AF_SP, NN_PAIR)) {
    const std::string address = "ipc://" + path_of(place.name);
    const int much = 4 << 20;
    const int any = -1;
    if (socket_ < 0 || nn_setsockopt(socket_, NN_SOL_SOCKET, NN_SNDBUF, &much, sizeof much) != 0 ||
        nn_setsockopt(socket_, NN_SOL_SOCKET, NN_RCVBUF, &much, sizeof much) != 0 ||
        nn_setsockopt(socket_, NN_SOL_SOCKET, NN_RCVMAXSIZE, &any, sizeof any) != 0 ||
        (place.answers ? nn_bind(socket_, address.c_str()) : nn_connect(socket_, address.c_str())) <
            0) {
      fail(nn_strerror(nn_errno()));
    }
  }

  void send(std::size_t bytes, std::uint64_t i) {
    void* message = nn_allocmsg(bytes, 0);
    if (message == nullptr) fail("no memory");
    write_message(message, bytes, i);
    if (nn_send(socket_, static_cast<void*>(&message), NN_MSG, 0) < 0) {
      fail(nn_strerror(nn_errno()));
    }
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    void* message = nullptr;
    const int size = nn_recv(socket_, static_cast<void*>(&message), NN_MSG, 0);
    if (size < 0) fail(nn_strerror(nn_errno()));
    if (static_cast<std::size_t>(size) != bytes) fail("a message of another size arrived");
    checker.read_message(aligned_.of(message, bytes), bytes, i);
    nn_freemsg(message);
  }

  static void remove(const std::string& name) { unlink(path_of(name).c_str()); }

 private:
  static std::string path_of(const std::string& name) { return "/tmp/" + name + "-nanomsg"; }

  int socket_;
  Aligned aligned_;
};

}  // namespace

Engine nanomsg() { return engine_of<NanomsgEnds>("nanomsg ipc", kThroughLibrary); }

}  // namespace rondo::bench
