// One message through one ring, with nothing but what is installed.
#include <cstddef>
#include <cstdio>
#include <rondo/rondo.hpp>
#include <span>

int main() {
  auto pair = rondo::open_pair("inproc:");
  if (!pair) {
    std::fprintf(stderr, "%s\n", pair.error().message.c_str());
    return 1;
  }
  auto& [sender, receiver] = *pair;
  const std::byte sent[] = {std::byte{4}, std::byte{2}};
  if (sender.send(sent) != rondo::Status::kOk) return 2;
  auto message = receiver.next();
  if (!message || message->bytes().size() != sizeof sent) return 3;
  if (message->bytes()[0] != sent[0] || message->bytes()[1] != sent[1]) return 4;
  std::puts("a message went through");
  return 0;
}
