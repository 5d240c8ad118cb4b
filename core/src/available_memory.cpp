#include "rondo/core/available_memory.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

std::string mib(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

}  // namespace

Result<void> check_available_memory(std::size_t size_bytes, const std::string& what) {
  // Page tables, the file's index of its pages: two words for a page of 4096 bytes, and some.
  constexpr std::size_t kBytesForOneOfAccounts = 128;
  const std::uint64_t needed = size_bytes + size_bytes / kBytesForOneOfAccounts;
  const AvailableMemory left = available_memory();
  if (needed <= left.bytes) return {};
  const std::string under = left.limit.empty() ? "" : " under the limit in " + left.limit;
  const std::string remedy = left.limit.empty() ? "" : ", or raise the limit";
  return Error{ErrorCode::kNoSpace, "no memory for " + what + ": asked for " + mib(size_bytes) +
                                        ", available " + mib(left.bytes) + under +
                                        "; ask for a smaller capacity" + remedy};
}

}  // namespace rondo::inline RONDO_ABI::detail
