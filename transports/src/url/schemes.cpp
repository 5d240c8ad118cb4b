// What the targets of the schemes must be, and what some of them do without.
#include "url/schemes.hpp"

#include <charconv>
#include <string>
#include <system_error>

#include "rondo/core/system_v_key.hpp"
#include "url/quoted.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::size_t kMaxName = 200;  // of a shm: or inproc: name, in bytes
constexpr std::size_t kMaxFileName = 255;
constexpr std::size_t kMaxPath = 4095;   // PATH_MAX less the final zero
constexpr std::size_t kMaxSocket = 107;  // sun_path less the final zero

bool is_name_character(char c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

Result<void> check_path_up_to(std::size_t limit, std::string_view scheme, std::string_view path) {
  if (path.empty()) {
    return Error{ErrorCode::kInvalidName, std::string(scheme) + ": needs a path, as in " +
                                              std::string(scheme) + ":/tmp/ticks"};
  }
  if (path.find('\0') != std::string_view::npos) {
    return Error{ErrorCode::kInvalidName, "the path " + quoted(path) + " holds a zero byte"};
  }
  if (path.size() > limit) {
    return Error{ErrorCode::kInvalidName,
                 "the path " + quoted(path) + " has " + std::to_string(path.size()) + " bytes; " +
                     std::string(scheme) + ": can take " + std::to_string(limit)};
  }
  return {};
}

}  // namespace

Result<void> check_name(std::string_view scheme, std::string_view name) {
  const bool good = !name.empty() && name.size() <= kMaxName && name.front() != '.' &&
                    std::ranges::all_of(name, is_name_character);
  if (good) return {};
  return Error{ErrorCode::kInvalidName,
               std::string(scheme) + ": can't be called " + quoted(name) +
                   "; a name is 1 to 200 letters, digits, '.', '_' or '-', and does not begin "
                   "with '.'"};
}

Result<void> check_name_or_none(std::string_view scheme, std::string_view name) {
  return name.empty() ? Result<void>() : check_name(scheme, name);
}

Result<void> check_path(std::string_view scheme, std::string_view path) {
  return check_path_up_to(kMaxPath, scheme, path);
}

Result<void> check_socket_path(std::string_view scheme, std::string_view path) {
  return check_path_up_to(kMaxSocket, scheme, path);
}

Result<void> check_unix_name(std::string_view scheme, std::string_view name) {
  if (!name.starts_with('@')) return check_socket_path(scheme, name);
  if (name.size() == 1) {
    return Error{ErrorCode::kInvalidName,
                 std::string(scheme) + ":@ needs a name behind the @, as in unix:@ticks"};
  }
  // Their first byte is a zero, in the place of the @, and no zero ends them.
  return check_path_up_to(kMaxSocket + 1, scheme, name);
}

Result<void> check_queue_name(std::string_view scheme, std::string_view name) {
  const bool good = name.size() > 1 && name.size() <= 1 + kMaxFileName && name.front() == '/' &&
                    name.find('/', 1) == std::string_view::npos &&
                    name.find('\0') == std::string_view::npos && name != "/." && name != "/..";
  if (good) return {};
  return Error{ErrorCode::kInvalidName,
               std::string(scheme) + ": can't be called " + quoted(name) +
                   "; the name of a queue is a slash and 1 to 255 bytes without another one, as "
                   "in " +
                   std::string(scheme) + ":/ticks"};
}

Result<void> check_sysv_key(std::string_view scheme, std::string_view key) {
  if (system_v_key_of(key)) return {};
  const std::string name(scheme);
  return Error{ErrorCode::kInvalidName, name +
                                            ": needs a key, a number from 1 to 4294967295 (0 is "
                                            "IPC_PRIVATE, which no other process finds), as in " +
                                            name + ":4711 or " + name + ":0x1267; found " +
                                            quoted(key) +
                                            "; for ftok(3) say the number that it gives"};
}

Result<void> check_descriptor(std::string_view scheme, std::string_view number) {
  int descriptor = -1;
  const char* end = number.data() + number.size();
  const auto [rest, error] = std::from_chars(number.data(), end, descriptor);
  if (error == std::errc() && rest == end && descriptor >= 0) return {};
  const std::string name(scheme);
  return Error{ErrorCode::kInvalidName, name + ": needs the number of an open descriptor, as in " +
                                            name + ":3; found " + quoted(number)};
}

Result<void> check_nothing(std::string_view scheme, std::string_view target) {
  if (target.empty()) return {};
  return Error{ErrorCode::kInvalidName,
               std::string(scheme) + ": has no name, but is followed by " + quoted(target) +
                   "; a pipe with a name is fifo:PATH, one that is open already is fd:N"};
}

std::string_view why_not_guarded(std::string_view option) {
  if (option == "huge") {
    return "a receiver's part is one small page within the sender's mapping of the ring, which "
           "huge pages can't be; use lock=1, or huge= with shm:NAME. ";
  }
  if (option == "name") {
    return "a receiver's stats lie in a page of its own that goes with its process, so there is "
           "nothing to come back to; say from=SEQ with the number of the next message. ";
  }
  if (option == "keep") return "the ring goes with its sender, who alone can hand it over. ";
  return {};
}

}  // namespace rondo::inline RONDO_ABI::detail
