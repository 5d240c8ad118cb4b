// OpenSSL's state of our own.
#pragma once

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What the program has set up of its default one (providers, properties) is neither used nor
// changed. Never freed: connections may go after all else. Called before anything else of OpenSSL:
// what it does at exit() would pull the ground from under threads that still send, and whoever
// starts OpenSSL first decides for the whole process whether that is done.
inline OSSL_LIB_CTX* library() noexcept {
  static OSSL_LIB_CTX* const made = [] {
    OPENSSL_init_ssl(OPENSSL_INIT_NO_ATEXIT, nullptr);
    return OSSL_LIB_CTX_new();
  }();
  return made;
}

}  // namespace rondo::inline RONDO_ABI::detail
