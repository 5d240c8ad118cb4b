#include "rondo/core/system_v_key.hpp"

#include <charconv>
#include <system_error>

namespace rondo::inline RONDO_ABI::detail {

std::optional<std::uint32_t> system_v_key_of(std::string_view text) noexcept {
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) text.remove_prefix(2);
  std::uint32_t key = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, key, hex ? 16 : 10);
  // A decimal one with a zero in front would be octal to ipcrm(1).
  const bool octal = !hex && text.starts_with('0');
  if (error != std::errc() || rest != end || key == 0 || octal) return std::nullopt;
  return key;
}

}  // namespace rondo::inline RONDO_ABI::detail
