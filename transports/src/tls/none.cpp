// A build without TLS.
#include "tls/tls.hpp"

namespace rondo::inline RONDO_ABI::detail {

Result<std::shared_ptr<SecureSide>> secure_side(const Url& url, bool) {
  if (url.scheme != Scheme::kTls) return std::shared_ptr<SecureSide>();
  return Error{ErrorCode::kUnsupported,
               url.name() +
                   ": this build of rondo has no TLS; install OpenSSL 3 for development "
                   "(libssl-dev on Debian), and configure and build rondo anew with "
                   "-DRONDO_TLS=ON"};
}

}  // namespace rondo::inline RONDO_ABI::detail
