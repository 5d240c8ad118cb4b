#include "stream/crc32c.hpp"

#include <array>
#include <cstring>

#include "rondo/core/platform.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::uint32_t kReflectedPolynomial = 0x82F63B78;

constexpr std::array<std::uint32_t, 256> kCrcOfByte = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit)
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kReflectedPolynomial : 0);
    table[i] = crc;
  }
  return table;
}();

// Of the register, without the inversions at both ends.
std::uint32_t run_table(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
  for (const std::byte byte : bytes) {
    crc = (crc >> 8) ^ kCrcOfByte[(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
  }
  return crc;
}

std::uint32_t run_instruction(std::uint32_t crc, std::span<const std::byte> bytes) noexcept {
  while (bytes.size() >= sizeof(std::uint64_t)) {
    std::uint64_t eight = 0;
    std::memcpy(&eight, bytes.data(), sizeof eight);
    crc = cpu_crc32c(crc, eight);
    bytes = bytes.subspan(sizeof eight);
  }
  return run_table(crc, bytes);
}

}  // namespace

std::uint32_t crc32c_by_table(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  return ~run_table(~before, bytes);
}

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  static const bool by_instruction = can_crc32c(processor_features());
  return by_instruction ? ~run_instruction(~before, bytes) : crc32c_by_table(bytes, before);
}

}  // namespace rondo::inline RONDO_ABI::detail
