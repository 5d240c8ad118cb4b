// OpenSSL's objects, each let go of by the function that it is to be let go of by.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

template <auto kFree>
struct FreedBy {
  template <class Object>
  void operator()(Object* object) const noexcept {
    kFree(object);
  }
};
template <class Object, auto kFree>
using Owned = std::unique_ptr<Object, FreedBy<kFree>>;

using OwnedContext = Owned<SSL_CTX, SSL_CTX_free>;
using OwnedSsl = Owned<SSL, SSL_free>;
using OwnedSession = Owned<SSL_SESSION, SSL_SESSION_free>;
using OwnedCertificate = Owned<X509, X509_free>;
using OwnedKey = Owned<EVP_PKEY, EVP_PKEY_free>;
using OwnedBio = Owned<BIO, BIO_free_all>;

}  // namespace rondo::inline RONDO_ABI::detail
