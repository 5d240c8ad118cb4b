#include "rondo/core/user_ids.hpp"

#include <cstdio>

#include "rondo/core/os.hpp"

namespace rondo::inline RONDO_ABI::detail {

bool is_own_user(std::uint32_t told) noexcept { return is_user(told, effective_user()); }

std::string octal(Permissions mode) {
  char text[16];
  std::snprintf(text, sizeof text, "%04o", mode & 07777);
  return text;
}

std::string explain_mode(std::uint32_t owner, std::uint32_t group, Permissions mode,
                         Permissions asked) {
  constexpr unsigned kOthersMay = 0066;
  const bool shared = (mode & kOthersMay) != 0;
  const bool asks = (asked & kOthersMay) != 0;
  std::string words = "belongs to " + describe_user(owner) + " and group " + std::to_string(group) +
                      ", with mode " + octal(mode) + "; this is user " +
                      std::to_string(effective_user()) + ", with mode=" + octal(asked) + ". ";
  if (shared && asks) {
    return words +
           "It lets others in, but not this process: the side that makes it has to say which group "
           "it shares it with (group=), one of this process's";
  }
  if (shared) return words + "It is shared: say mode=" + octal(mode & 0777) + " on this side too";
  words +=
      "To share it, the side that makes it has to say mode=0660 (and group=, one of this "
      "process's)";
  return asks ? words + ", as this side does" : words + ", and this side mode=0660";
}

}  // namespace rondo::inline RONDO_ABI::detail
