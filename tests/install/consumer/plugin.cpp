// One message through one ring, inside a plugin. 0 when it arrived.
#include <rondo/rondo.hpp>

extern "C" int run_plugin() {
  auto pair = rondo::open_pair("inproc:");
  if (!pair || pair->first.send("hello") != rondo::Status::kOk) return 1;
  auto message = pair->second.next();
  return message && message->text() == "hello" ? 0 : 2;
}
