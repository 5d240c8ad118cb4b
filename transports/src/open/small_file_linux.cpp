#include "open/small_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "rondo/core/cancellation_disabled.hpp"
#include "rondo/core/descriptor.hpp"

namespace rondo::inline RONDO_ABI::detail {

int read_small_file(const std::string& path, std::size_t most, std::vector<char>& bytes,
                    FileStatus& status) {
  bytes.assign(most + 1, '\0');  // one more: so that a longer file is seen
  const CancellationDisabled here;
  // O_NONBLOCK: a FIFO would be waited for.
  const UniqueFd file = open_file(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file) return errno;
  if (const int error = status_of(file.get(), status); error != 0) return error;
  std::size_t size = 0;
  while (status.kind == FileKind::kRegular && size < bytes.size()) {
    const ssize_t came = read(file.get(), bytes.data() + size, bytes.size() - size);
    if (came < 0 && errno == EINTR) continue;
    if (came < 0) return errno;
    if (came == 0) break;
    size += static_cast<std::size_t>(came);
  }
  if (size > most) return EFBIG;
  bytes.resize(size);  // no shorter block is taken for it
  return 0;
}

}  // namespace rondo::inline RONDO_ABI::detail
