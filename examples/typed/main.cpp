// Two processes, and trades between them: opened by a name, waited for, with an end that is told
// from a death.
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <rondo/transports/typed.hpp>

struct Trade {
  std::uint64_t id;
  double price;
};

int send() {
  auto sender = rondo::TypedSender<Trade>::open("shm:example-typed");
  if (!sender) return std::cerr << sender.error().message << '\n', 1;
  for (std::uint64_t id = 1; id <= 1'000'000; ++id) {
    if (sender->send({id, 100.0}) != rondo::Status::kOk) return 1;
  }
  return sender->close() == rondo::Status::kOk ? 0 : 1;
}

int main() {
  if (fork() == 0) std::exit(send());
  auto receiver = rondo::TypedReceiver<Trade>::open("shm:example-typed");
  if (!receiver) return std::cerr << receiver.error().message << '\n', 1;
  double sum = 0;
  std::uint64_t count = 0;
  while (const auto trade = receiver->next()) ++count, sum += trade->price;
  std::cout << count << " trades, mean price " << sum / static_cast<double>(count) << "; "
            << to_string(receiver->status()) << '\n';
  return receiver->status() == rondo::Status::kEnded ? 0 : 1;
}
