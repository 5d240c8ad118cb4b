// TLS 1.3 over a connection of TCP, by OpenSSL alone: what tls: is measured beside. The two sides
// have a key in common and AES with 128 bits, as tls: with psk= has them, so that the ciphers are
// the same.
#pragma once

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include <cstddef>
#include <memory>
#include <thread>
#include <utility>

#include "rivals/bare_mechanisms.hpp"

namespace rondo::bench {

class TlsMover {
 public:
  // Empty: OpenSSL has refused.
  static std::unique_ptr<TlsMover> make(TwoEnds ends) {
    std::unique_ptr<TlsMover> made(new TlsMover(std::move(ends)));
    bool accepted = false;
    std::thread server([&] { accepted = SSL_accept(made->in_.get()) == 1; });
    const bool connected = SSL_connect(made->out_.get()) == 1;
    server.join();
    return accepted && connected ? std::move(made) : nullptr;
  }

  bool put(const std::byte* from, std::size_t size) {
    std::size_t written = 0;
    return SSL_write_ex(out_.get(), from, size, &written) == 1 && written == size;
  }
  std::size_t get(std::byte* to, std::size_t room) {
    std::size_t n = 0;
    return SSL_read_ex(in_.get(), to, room, &n) == 1 ? n : 0;
  }

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  using Context = std::unique_ptr<SSL_CTX, Free>;
  using Connection = std::unique_ptr<SSL, Free>;

  explicit TlsMover(TwoEnds ends) : ends_(std::move(ends)) {
    const auto context = [](const SSL_METHOD* method) {
      Context made(SSL_CTX_new(method));
      SSL_CTX_set_min_proto_version(made.get(), TLS1_3_VERSION);
      SSL_CTX_set_ciphersuites(made.get(), "TLS_AES_128_GCM_SHA256");
      SSL_CTX_set_num_tickets(made.get(), 0);
      SSL_CTX_set_verify(made.get(), SSL_VERIFY_NONE, nullptr);
      return made;
    };
    Context client = context(TLS_client_method()), server = context(TLS_server_method());
    SSL_CTX_set_psk_use_session_callback(
        client.get(), [](SSL* ssl, const EVP_MD*, const unsigned char** identity, std::size_t* size,
                         SSL_SESSION** used) {
          *identity = reinterpret_cast<const unsigned char*>("bench");
          *size = 5;
          *used = session(ssl);
          return 1;
        });
    SSL_CTX_set_psk_find_session_callback(
        server.get(), [](SSL* ssl, const unsigned char*, std::size_t, SSL_SESSION** found) {
          *found = session(ssl);
          return 1;
        });
    out_.reset(SSL_new(client.get()));
    in_.reset(SSL_new(server.get()));
    SSL_set_fd(out_.get(), ends_.out.get());
    SSL_set_fd(in_.get(), ends_.in.get());
  }

  static SSL_SESSION* session(SSL* ssl) {
    constexpr unsigned char kKey[32] = {7};
    constexpr unsigned char kCipher[] = {0x13, 0x01};
    SSL_SESSION* const made = SSL_SESSION_new();
    SSL_SESSION_set1_master_key(made, kKey, sizeof kKey);
    SSL_SESSION_set_cipher(made, SSL_CIPHER_find(ssl, kCipher));
    SSL_SESSION_set_protocol_version(made, TLS1_3_VERSION);
    return made;
  }

  TwoEnds ends_;
  Connection out_, in_;
};

// As a mover that can be moved itself.
struct TlsMoverRef {
  std::unique_ptr<TlsMover> mover;
  bool put(const std::byte* from, std::size_t size) { return mover->put(from, size); }
  std::size_t get(std::byte* to, std::size_t room) { return mover->get(to, room); }
};

}  // namespace rondo::bench
