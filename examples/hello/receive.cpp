#include <iostream>
#include <rondo/rondo.hpp>

int main() {
  auto receiver = rondo::Receiver::open("shm:hello");  // waits for the sender
  if (!receiver) return std::cerr << receiver.error().message << '\n', 1;
  for (const rondo::Message& message : *receiver) std::cout << message.text() << '\n';
  if (receiver->status() == rondo::Status::kEnded) return 0;
  return std::cerr << to_string(receiver->status()) << '\n', 1;  // the sender was killed
}
