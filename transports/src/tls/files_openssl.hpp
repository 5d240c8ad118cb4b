// Certificates and keys, out of files.
#pragma once

#include <openssl/ssl.h>

#include <cstddef>
#include <string>
#include <vector>

#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// Bytes that are wiped when they go.
class Secret {
 public:
  Secret() noexcept = default;
  explicit Secret(std::vector<unsigned char> bytes) noexcept : bytes_(std::move(bytes)) {}
  Secret(Secret&& other) noexcept = default;
  Secret& operator=(Secret&&) = delete;
  ~Secret();
  [[nodiscard]] const std::vector<unsigned char>& bytes() const noexcept { return bytes_; }

 private:
  std::vector<unsigned char> bytes_;
};

// All of these: errors kNotFound, kPermission, kInvalidOption, kSystem; each names the option and
// the file, and nothing of what is in it. With no error in the queue of OpenSSL before.

// This side's certificate, those behind it in the file, and its key.
[[nodiscard]] Result<void> use_certificate(SSL_CTX* context, const Url& url);
// The certificates that are trusted. `tells`: the other side is told which.
[[nodiscard]] Result<void> trust(SSL_CTX* context, const Url& url, bool tells);
// The key that both sides have.
[[nodiscard]] Result<Secret> shared_key(const Url& url);

}  // namespace rondo::inline RONDO_ABI::detail
