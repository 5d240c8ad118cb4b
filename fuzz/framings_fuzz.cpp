// Any bytes as what a program of others, or one of ours with checksums, writes into a pipe: whole
// messages, then an end, a death or a complaint; never a hang, never a message larger than was
// agreed, never more bytes than came. The first byte says which form it is, the second one how many
// bytes come with each read.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

#include "input.hpp"
#include "rondo/transports/receiver.hpp"

using namespace rondo;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array<const char*, 8> kForms{"lines",  "raw",        "raw&block=7", "length32",
                                              "varint", "length32be", "rondo",       "rondo&crc=1"};
  constexpr std::size_t kHolds = 4096;
  int ends[2];
  if (size < 2 || size > kHolds) return 0;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return 0;
  const std::string form = kForms[data[0] % kForms.size()];
  const std::size_t at_once = data[1] + std::size_t{1};
  data += 2;
  size -= 2;

  [[maybe_unused]] volatile std::byte sink;
  auto receiver =
      Receiver::open("fd:" + std::to_string(ends[0]) + "?max=64&capacity=4KiB&framing=" + form);
  RONDO_FUZZ_CHECK(receiver.has_value());
  std::size_t received = 0;
  std::size_t messages = 0;
  const auto take = [&](const Message& message) {
    RONDO_FUZZ_CHECK(message.size() <= receiver->max_message_bytes());
    for (const std::byte byte : message.bytes()) sink = byte;
    received += message.size();
    ++messages;
  };
  for (std::size_t sent = 0; sent < size && receiver->status() == Status::kOk;) {
    const std::size_t now = std::min(at_once, size - sent);
    RONDO_FUZZ_CHECK(write(ends[1], data + sent, now) == static_cast<ssize_t>(now));
    sent += now;
    while (auto message = receiver->try_next()) take(*message);
  }
  close(ends[1]);
  for (const Message& message : *receiver) take(message);
  RONDO_FUZZ_CHECK(received <= size && messages <= size);
  RONDO_FUZZ_CHECK(receiver->status() != Status::kOk);
  // Bytes that nothing can be wrong with.
  if (form.starts_with("raw")) {
    RONDO_FUZZ_CHECK(received == size && receiver->status() == Status::kEnded);
  }
  receiver->detach();
  close(ends[0]);  // a handle may leave it open
  return 0;
}
