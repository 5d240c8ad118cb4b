// Processes that share a book of numbers, any of which may be killed at any time.
//
//   shared_book deposit 5 &   shared_book withdraw 3     waits until there is enough
//
// The second number is changed first and the first one last, so that whoever comes after a death
// knows what to believe.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "rondo/sync/monitor.hpp"
#include "rondo/sync/named.hpp"

struct Book {
  std::int64_t balance;
  std::int64_t changes;
};

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: shared_book deposit|withdraw AMOUNT\n");
    return 2;
  }
  const bool deposit = std::strcmp(argv[1], "deposit") == 0;
  const std::int64_t amount = std::atoll(argv[2]);

  // Stays when the last one leaves.
  auto shared = rondo::sync::named<rondo::sync::monitor<Book>>("shm:book", {}, {.keep = true});
  if (!shared) {
    std::fprintf(stderr, "%s\n", shared.error().message.c_str());
    return 1;
  }
  auto book = shared->enter();
  const auto repair = [&] {
    if (!book.owner_died()) return;
    std::fprintf(stderr, "somebody died in the middle; the balance counts\n");
    book.make_consistent();
  };
  repair();
  if (!deposit) {
    const auto deadline = rondo::Deadline::after(std::chrono::seconds(10));
    while (!book.wait_until(deadline, [&] { return book->balance >= amount; })) {
      if (!book.owner_died()) {
        std::fprintf(stderr, "nobody has deposited enough\n");
        return 1;
      }
      repair();
    }
  }
  ++book->changes;
  book->balance += deposit ? amount : -amount;
  book.notify_all();
  std::printf("balance %lld after %lld changes\n", static_cast<long long>(book->balance),
              static_cast<long long>(book->changes));
  return 0;
}
