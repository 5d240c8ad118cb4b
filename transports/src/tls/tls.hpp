// TLS, as far as this build has it: tls/*_openssl.cpp, or tls/none.cpp.
#pragma once

#include <memory>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"
#include "stream/secure_layer.hpp"

namespace rondo::inline RONDO_ABI::detail {

// For the side that listens (`accepts`), or for the one that connects; null for a URL that is not
// tls:. Reads the files that the URL names. Errors: kUnsupported (a build without TLS), kNotFound,
// kPermission (a file that can't be read, or a key that others can read), kInvalidOption (what is
// in a file, or is missing), kSystem.
[[nodiscard]] Result<std::shared_ptr<SecureSide>> secure_side(const Url& url, bool accepts);

}  // namespace rondo::inline RONDO_ABI::detail
