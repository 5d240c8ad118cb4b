// Any bytes as what comes out of a pipe: whole messages, then an end, a death or a complaint; never
// a hang, never a message larger than was agreed.
#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "input.hpp"
#include "rondo/transports/receiver.hpp"

using namespace rondo;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::size_t kPipeHolds = 4096;
  int ends[2];
  if (size > kPipeHolds || pipe2(ends, O_CLOEXEC) != 0) return 0;
  RONDO_FUZZ_CHECK(write(ends[1], data, size) == static_cast<ssize_t>(size));
  close(ends[1]);

  [[maybe_unused]] volatile std::byte sink;
  auto receiver = Receiver::open("fd:" + std::to_string(ends[0]) + "?max=64&capacity=4KiB");
  RONDO_FUZZ_CHECK(receiver.has_value());
  std::size_t received = 0;
  for (const Message& message : *receiver) {
    RONDO_FUZZ_CHECK(message.size() <= receiver->max_message_bytes());
    for (const std::byte byte : message.bytes()) sink = byte;
    received += message.size() + 4;
  }
  RONDO_FUZZ_CHECK(received <= size);
  RONDO_FUZZ_CHECK(receiver->status() != Status::kOk);
  receiver->detach();
  close(ends[0]);  // a handle may leave it open
  return 0;
}
