#include <iostream>
#include <rondo/rondo.hpp>

int main() {
  auto sender = rondo::Sender::open("shm:hello");
  if (!sender) return std::cerr << sender.error().message << '\n', 1;
  for (const char* word : {"hello", "shared", "memory"}) {
    if (sender->send(word) != rondo::Status::kOk) return 1;
  }
}  // the stream ends here; what was sent stays for the receiver
