#include "system_linux.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <new>

#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/descriptor.hpp"

namespace rondo::inline RONDO_ABI::detail {

std::string read_text(const char* path) noexcept try {
  const CancellationDisabled here;
  const UniqueFd file = open_file(path, O_RDONLY);
  std::string text;
  if (!file) return text;
  std::array<char, 4096> piece;
  for (;;) {
    const ssize_t size =
        retry_interrupted([&] { return read(file.get(), piece.data(), piece.size()); });
    if (size <= 0) return text;
    text.append(piece.data(), static_cast<std::size_t>(size));
  }
} catch (const std::bad_alloc&) {
  return {};
}

}  // namespace rondo::inline RONDO_ABI::detail
