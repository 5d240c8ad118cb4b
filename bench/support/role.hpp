// What an engine is to us.
#pragma once

#include <string_view>

namespace rondo::bench {

// An engine says so itself, by a constant kRole; one that says nothing is a rival.
enum class Role {
  kOurs,
  kVariant,   // ours, asked in another way than the others are (batches), or without something that
              // it does: stands beside, and is not what rivals are compared with
  kRival,     // what a user could take instead
  kTextbook,  // what he could write himself in forty lines
  kFloor      // what bounds them all: an exchange without a queue, a copy
};

inline std::string_view to_string(Role role) {
  switch (role) {
    case Role::kOurs: return "ours";
    case Role::kVariant: return "variant";
    case Role::kRival: return "rival";
    case Role::kTextbook: return "textbook";
    case Role::kFloor: return "floor";
  }
  return "?";
}

template <class Engine>
constexpr Role role_of() {
  if constexpr (requires { Engine::kRole; }) {
    return Engine::kRole;
  } else {
    return Role::kRival;
  }
}

}  // namespace rondo::bench
