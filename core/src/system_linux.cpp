#include "system_linux.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/descriptor.hpp"

namespace rondo::inline RONDO_ABI::detail {

std::string read_text(const std::string& path) {
  const CancellationDisabled here;
  const UniqueFd file = open_file(path.c_str(), O_RDONLY);
  std::string text;
  if (!file) return text;
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t size =
        retry_interrupted([&] { return read(file.get(), piece.data(), piece.size()); });
    if (size <= 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(size));
  }
}

std::string_view read_text(const char* path, std::span<char> into) noexcept {
  const CancellationDisabled here;
  const UniqueFd file = open_file(path, O_RDONLY);
  std::size_t length = 0;
  while (file && length < into.size()) {
    const auto room = into.subspan(length);
    const ssize_t size =
        retry_interrupted([&] { return read(file.get(), room.data(), room.size()); });
    if (size <= 0) return {into.data(), length};
    length += static_cast<std::size_t>(size);
  }
  return {};
}

}  // namespace rondo::inline RONDO_ABI::detail
