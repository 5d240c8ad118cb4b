// Standard output, gathered into large writes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace rondo::program {

// Bytes are kept until flush(), or until there are enough of them to be worth a write; a large
// piece is written from where it lies.
class Output {
 public:
  Output(int fd, std::size_t buffer_bytes) : fd_(fd) { buffer_.reserve(buffer_bytes); }

  // Appends `bytes`. False when writing fails; error() says why.
  [[nodiscard]] bool put(std::span<const std::byte> bytes);
  [[nodiscard]] bool put(char character);
  [[nodiscard]] bool flush();
  [[nodiscard]] bool empty() const noexcept { return buffer_.empty(); }
  // How often something was written: each time, all that was appended before the last put().
  [[nodiscard]] std::uint64_t writes() const noexcept { return writes_; }
  // The system's error number; EPIPE when the reader has left.
  [[nodiscard]] int error() const noexcept { return error_; }

 private:
  bool write_all(std::span<const std::byte> bytes);

  int fd_;
  int error_ = 0;
  std::uint64_t writes_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace rondo::program
