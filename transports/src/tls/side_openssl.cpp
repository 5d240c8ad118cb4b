// What all connections of one side have in common: an SSL_CTX.
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <memory>
#include <new>
#include <string>
#include <utility>

#include "tls/error_queue_openssl.hpp"
#include "tls/files_openssl.hpp"
#include "tls/library_openssl.hpp"
#include "tls/owned_openssl.hpp"
#include "tls/session_openssl.hpp"
#include "tls/tls.hpp"
#include "url/host_port.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// A key that both sides have comes without a choice of ciphers: those of its hash (RFC 8446,
// 4.2.11), which is SHA-256, as of the other programs that take such keys.
constexpr const char* kCiphersOfKeys = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
constexpr unsigned char kCipherOfSession[] = {0x13, 0x01};
// Of 112 bits, as RSA of 2048.
constexpr int kSecurityLevel = 2;

// Whom a client wants to reach, as its certificate has to say.
struct WantedHost {
  std::string name;
  bool digits = false;  // an address
};
WantedHost host_of(const Url& url) {
  WantedHost host{parse_host_port(url.target)->host};  // Url::parse() saw to it
  if (host.name.empty()) host.name = "localhost";
  std::string address = host.name.substr(0, host.name.find('%'));  // without a zone
  ASN1_OCTET_STRING* const found = a2i_IPADDRESS(address.c_str());
  host.digits = found != nullptr;
  ASN1_OCTET_STRING_free(found);
  if (host.digits) host.name = std::move(address);
  return host;
}

class TlsSide final : public SecureSide {
 public:
  TlsSide(OwnedContext context, Secret key, const Url& url, bool accepts)
      : context_(std::move(context)),
        key_(std::move(key)),
        identity_(url.options.tls.psk_identity.empty() ? TlsOptions::kDefaultIdentity
                                                       : url.options.tls.psk_identity),
        accepts_(accepts) {
    if (!accepts) host_ = host_of(url);
    SSL_CTX_set_app_data(context_.get(), this);
    if (!has_key()) return;
    if (accepts) {
      SSL_CTX_set_psk_find_session_callback(context_.get(), find_session);
    } else {
      SSL_CTX_set_psk_use_session_callback(context_.get(), use_session);
    }
  }

  std::unique_ptr<SecureLayer> begin(NativeHandle socket) override {
    const ErrorQueue here;
    OwnedSsl ssl(SSL_new(context_.get()));
    if (ssl == nullptr) return nullptr;
    if (accepts_) {
      SSL_set_accept_state(ssl.get());
    } else {
      SSL_set_connect_state(ssl.get());
      if (!has_key() && !expect_host(ssl.get())) return nullptr;
    }
    return TlsSession::make(std::move(ssl), socket,
                            {has_key(), has_key() ? identity_ : std::string()});
  }

 private:
  [[nodiscard]] bool has_key() const noexcept { return !key_.bytes().empty(); }
  [[nodiscard]] bool expect_host(SSL* ssl) const noexcept {
    if (host_.digits) {
      return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host_.name.c_str()) == 1;
    }
    // A common name is what whoever is issued a certificate is called, and no host (RFC 9525).
    SSL_set_hostflags(ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    return SSL_set1_host(ssl, host_.name.c_str()) == 1 &&
           SSL_set_tlsext_host_name(ssl, host_.name.c_str()) == 1;
  }

  static const TlsSide& of(SSL* ssl) noexcept {
    return *static_cast<const TlsSide*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
  }
  // The key as OpenSSL has it: that of a session that never was.
  [[nodiscard]] OwnedSession session_for(SSL* ssl) const noexcept {
    OwnedSession session(SSL_SESSION_new());
    const SSL_CIPHER* const cipher = SSL_CIPHER_find(ssl, kCipherOfSession);
    if (session == nullptr || cipher == nullptr ||
        SSL_SESSION_set1_master_key(session.get(), key_.bytes().data(), key_.bytes().size()) != 1 ||
        SSL_SESSION_set_cipher(session.get(), cipher) != 1 ||
        SSL_SESSION_set_protocol_version(session.get(), TLS1_3_VERSION) != 1) {
      return nullptr;
    }
    return session;
  }
  static int find_session(SSL* ssl, const unsigned char* identity, std::size_t size,
                          SSL_SESSION** found) noexcept {
    const TlsSide& side = of(ssl);
    *found = nullptr;
    if (std::string_view(reinterpret_cast<const char*>(identity), size) != side.identity_) return 1;
    *found = side.session_for(ssl).release();
    return *found != nullptr ? 1 : 0;
  }
  static int use_session(SSL* ssl, const EVP_MD* hash, const unsigned char** identity,
                         std::size_t* size, SSL_SESSION** used) noexcept {
    const TlsSide& side = of(ssl);
    *used = nullptr;
    *identity = reinterpret_cast<const unsigned char*>(side.identity_.data());
    *size = side.identity_.size();
    if (hash != nullptr && EVP_MD_get_type(hash) != NID_sha256) return 1;  // of another cipher
    *used = side.session_for(ssl).release();
    return *used != nullptr ? 1 : 0;
  }

  OwnedContext context_;
  Secret key_;
  std::string identity_;
  bool accepts_;
  WantedHost host_;
};

Error no_memory_for_tls(const Url& url) {
  return Error{ErrorCode::kNoSpace, url.name() + ": OpenSSL has no memory for TLS, or can't start"};
}

Result<OwnedContext> make_context(const Url& url, bool accepts) {
  OwnedContext context(
      SSL_CTX_new_ex(library(), nullptr, accepts ? TLS_server_method() : TLS_client_method()));
  if (context == nullptr) return no_memory_for_tls(url);
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_security_level(raw, kSecurityLevel);
  if (SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) != 1) {
    return no_memory_for_tls(url);
  }
  SSL_CTX_set_mode(raw, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // One who sends new keys and nothing else does not keep a reader within one SSL_read().
  SSL_CTX_clear_mode(raw, SSL_MODE_AUTO_RETRY);
  // Tickets would lie unread at a client that only sends, whose socket is then reset when it is
  // closed; and nobody takes a session up again.
  SSL_CTX_set_options(raw, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(raw, 0);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_read_ahead(raw, 1);
  return context;
}

// A listener without anything to show for itself.
Error nothing_to_show(const Url& url) {
  return Error{
      ErrorCode::kInvalidOption,
      url.name() +
          " needs certificate=FILE and key=FILE on the side that listens, or psk=FILE on both; a "
          "certificate to try it with: openssl req -x509 -newkey ed25519 -nodes -days 30 -subj "
          "/CN=localhost -addext subjectAltName=DNS:localhost -addext "
          "basicConstraints=critical,CA:FALSE -keyout key.pem -out cert.pem (the "
          "other side then says ca=cert.pem); a key: (umask 077; openssl rand -hex 32 > psk)"};
}

Result<std::shared_ptr<SecureSide>> make_side(const Url& url, bool accepts) {
  const TlsOptions& options = url.options.tls;
  const bool by_key = !options.psk.empty();
  if (accepts && !by_key && options.certificate.empty()) return nothing_to_show(url);
  auto made = make_context(url, accepts);
  if (!made) return std::move(made).error();
  SSL_CTX* const context = made->get();
  if (by_key) {
    auto key = shared_key(url);
    if (!key) return std::move(key).error();
    if (SSL_CTX_set_ciphersuites(context, kCiphersOfKeys) != 1) return no_memory_for_tls(url);
    // No certificate is trusted; and a server that has none to show has no other way than the key.
    SSL_CTX_set_verify(context, accepts ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, nullptr);
    return std::shared_ptr<SecureSide>(
        std::make_shared<TlsSide>(std::move(made).value(), std::move(key).value(), url, accepts));
  }
  if (!options.certificate.empty()) {
    if (auto used = use_certificate(context, url); !used) return std::move(used).error();
  }
  if (!options.ca.empty()) {
    if (auto trusted = trust(context, url, accepts); !trusted) return std::move(trusted).error();
  } else if (!accepts && SSL_CTX_set_default_verify_paths(context) != 1) {
    return Error{ErrorCode::kNotFound,
                 url.name() +
                     ": the system has no list of authorities that OpenSSL can read; say "
                     "ca=FILE"};
  }
  const bool judges = !accepts || !options.ca.empty();
  SSL_CTX_set_verify(context,
                     judges ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_NONE,
                     nullptr);
  return std::shared_ptr<SecureSide>(
      std::make_shared<TlsSide>(std::move(made).value(), Secret(), url, accepts));
}

}  // namespace

Result<std::shared_ptr<SecureSide>> secure_side(const Url& url, bool accepts) {
  if (url.scheme != Scheme::kTls) return std::shared_ptr<SecureSide>();
  // Before the queue of errors, which would start OpenSSL in its own way.
  if (library() == nullptr) return no_memory_for_tls(url);
  const ErrorQueue here;
  return make_side(url, accepts);
}

}  // namespace rondo::inline RONDO_ABI::detail
