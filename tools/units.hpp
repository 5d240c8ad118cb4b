// Numbers as people read and write them.
#pragma once

#include <cstdint>
#include <string>

namespace rondo::program {

// "512 B", "1.50 kB", "524 MB", "2.10 GB": decimal units, three digits.
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);
// Bytes per second, as "2.10 GB/s".
[[nodiscard]] std::string human_rate(double bytes_per_second);
// "0.4 s", "12.3 s", "3:07", "2:00:13".
[[nodiscard]] std::string human_seconds(double seconds);
// "64 KiB", "1 MiB", or plain bytes when it is no whole number of a binary unit.
[[nodiscard]] std::string binary_size(std::uint64_t bytes);
// "1,234,567".
[[nodiscard]] std::string grouped(std::uint64_t number);

}  // namespace rondo::program
