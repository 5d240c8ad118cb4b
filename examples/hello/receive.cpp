#include <iostream>
#include <rondo/rondo.hpp>

int main() {
  auto receiver = rondo::Receiver::open("shm:hello");  // waits for the sender
  if (!receiver) return std::cerr << receiver.error().message << '\n', 1;
  for (const rondo::Message& message : *receiver) std::cout << message.text() << '\n';
  return receiver->status() == rondo::Status::kEnded ? 0 : 1;  // or the sender was killed
}
