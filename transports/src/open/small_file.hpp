// Reading a small file whole: certificates and keys.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "rondo/core/os.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// `status` is that of the very file that was read; of one that is no regular file nothing is read,
// nor of one with more than `most` bytes. 0, or the error; EFBIG: it is larger. Follows symbolic
// links. What was in `bytes` is overwritten, not freed: room for `most` bytes is made before.
[[nodiscard]] int read_small_file(const std::string& path, std::size_t most,
                                  std::vector<char>& bytes, FileStatus& status);

}  // namespace rondo::inline RONDO_ABI::detail
