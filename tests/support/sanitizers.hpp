// Which sanitizer a test was built with, for the few that can't run under one.
#pragma once

#include "rondo/core/platform.hpp"

namespace rondo::testing {

// clang has no such macro, but __has_feature; gcc 12 has no __has_feature.
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kAddressSanitizer = true;
#elif defined(__has_feature)
inline constexpr bool kAddressSanitizer = __has_feature(address_sanitizer);
#else
inline constexpr bool kAddressSanitizer = false;
#endif

// Why a test that lets descriptors run out, or system calls fail, is skipped: also the checks of
// UndefinedBehaviorSanitizer, which comes with it, open pipes to see whether memory is there.
inline constexpr const char* kSanitizerNeedsIt = "the sanitizer itself needs what fails here";

inline constexpr bool kSanitized = kAddressSanitizer || RONDO_THREAD_SANITIZER != 0;

}  // namespace rondo::testing
