// The version of Rondo, in this one place (CMakeLists.txt reads it from here), and the inline
// namespace in which everything of it lies: objects that were compiled against another version, or
// with other atomics, name other symbols, and do not link with these by accident.
#pragma once

#include <compare>
#include <cstdint>

#define RONDO_VERSION_MAJOR 0
#define RONDO_VERSION_MINOR 2
#define RONDO_VERSION_PATCH 0

// Follows the binary interface: while the major version is 0, each minor version is another one.
#ifdef RONDO_ATOMIC_HEADER
#define RONDO_ABI v0_2_other_atomics
#else
#define RONDO_ABI v0_2
#endif

// What a shared library exports: what a public header declares and a source defines, functions and
// classes with functions. All else of it is hidden.
#ifdef _WIN32
#define RONDO_API
#else
#define RONDO_API [[gnu::visibility("default")]]
#endif

namespace rondo::inline RONDO_ABI {

struct Version {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::uint32_t patch = 0;

  friend constexpr auto operator<=>(const Version&, const Version&) noexcept = default;
};

// Of the headers, as they stand where this is compiled.
inline constexpr Version kVersion{RONDO_VERSION_MAJOR, RONDO_VERSION_MINOR, RONDO_VERSION_PATCH};

// Of the library that the program runs with. Opening a channel compares it with the headers'.
[[nodiscard]] RONDO_API Version version() noexcept;

}  // namespace rondo::inline RONDO_ABI
