// A peer of tls: that is not ours: OpenSSL over a blocking socket, as its manual has it.
#pragma once

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <csignal>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "support/raw_socket.hpp"

namespace rondo::testing {

class TlsPeer {
 public:
  struct Wishes {
    std::string certificate{};  // the path of one; empty: none
    int version = TLS1_3_VERSION;
  };

  // Connects; shakes no hands yet.
  TlsPeer(const std::string& url, const Wishes& wishes)
      : TlsPeer(TLS_client_method(), RawSocket("tcp" + url.substr(3)), wishes) {
    socket_.connect();
    SSL_set_connect_state(ssl_.get());
  }
  // Of one that has connected to us.
  TlsPeer(RawSocket accepted, const Wishes& wishes)
      : TlsPeer(TLS_server_method(), std::move(accepted), wishes) {
    SSL_set_num_tickets(ssl_.get(), 0);
    SSL_set_accept_state(ssl_.get());
  }

  [[nodiscard]] bool shake_hands() const { return SSL_do_handshake(ssl_.get()) == 1; }
  [[nodiscard]] bool send(std::string_view bytes) const {
    return SSL_write(ssl_.get(), bytes.data(), static_cast<int>(bytes.size())) ==
           static_cast<int>(bytes.size());
  }
  // At most so many bytes; fewer at the end.
  [[nodiscard]] std::string receive(std::size_t most) const {
    std::string bytes(most, '\0');
    std::size_t size = 0;
    while (size < most) {
      const int came = SSL_read(ssl_.get(), bytes.data() + size, static_cast<int>(most - size));
      if (came <= 0) break;
      size += static_cast<std::size_t>(came);
    }
    bytes.resize(size);
    return bytes;
  }
  // That the other side answers with new keys of its own, too.
  [[nodiscard]] bool change_keys() const {
    return SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) == 1;
  }
  // So many changes of keys that want no answer, and then `bytes`, as they go over the wire.
  [[nodiscard]] std::string new_keys_before(std::string_view bytes, int count) const {
    return written_by([&] {
      bool all = true;
      for (int i = 0; i < count; ++i) {
        all = all && SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && shake_hands();
      }
      return all && send(bytes);
    });
  }
  // A message of TLS in several records, as a server may send one at any time.
  [[nodiscard]] std::string message_in_pieces() const {
    return written_by([&] {
      SSL_SESSION* const session = SSL_get_session(ssl_.get());
      const std::string large(2000, 'x');
      return SSL_set_max_send_fragment(ssl_.get(), 512) == 1 &&
             SSL_SESSION_set1_ticket_appdata(session, large.data(), large.size()) == 1 &&
             SSL_new_session_ticket(ssl_.get()) == 1 && shake_hands();
    });
  }
  [[nodiscard]] const RawSocket& socket() const noexcept { return socket_; }
  void say_end() const { SSL_shutdown(ssl_.get()); }
  [[nodiscard]] bool was_told_the_end() const {
    return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
  }
  // The connection ends without a word of TLS.
  void cut() { socket_ = RawSocket(detail::UniqueFd()); }
  // Why the last thing did not work, in OpenSSL's words.
  [[nodiscard]] static std::string why() {
    const char* const words = ERR_reason_error_string(ERR_peek_last_error());
    return words != nullptr ? words : "";
  }

 private:
  TlsPeer(const SSL_METHOD* method, RawSocket socket, const Wishes& wishes)
      : context_(SSL_CTX_new(method), SSL_CTX_free), socket_(std::move(socket)) {
    // OpenSSL's own writes raise it.
    std::signal(SIGPIPE, SIG_IGN);
    SSL_CTX_set_max_proto_version(context_.get(), wishes.version);
    if (!wishes.certificate.empty() &&
        (SSL_CTX_use_certificate_chain_file(context_.get(),
                                            (wishes.certificate + ".pem").c_str()) != 1 ||
         SSL_CTX_use_PrivateKey_file(context_.get(), (wishes.certificate + ".key").c_str(),
                                     SSL_FILETYPE_PEM) != 1)) {
      throw std::runtime_error("no certificate");
    }
    ssl_ = {SSL_new(context_.get()), SSL_free};
    SSL_set_fd(ssl_.get(), socket_.fd());
  }
  // What would go over the wire.
  template <class Write>
  [[nodiscard]] std::string written_by(Write&& write) const {
    BIO* const wire = SSL_get_wbio(ssl_.get());
    BIO_up_ref(wire);
    BIO* const memory = BIO_new(BIO_s_mem());
    SSL_set0_wbio(ssl_.get(), memory);
    if (!write()) throw std::runtime_error("nothing was written: " + why());
    char* written = nullptr;
    const long size = BIO_get_mem_data(memory, &written);
    std::string all(written, static_cast<std::size_t>(size));
    SSL_set0_wbio(ssl_.get(), wire);
    return all;
  }

  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  RawSocket socket_;
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl_{nullptr, SSL_free};
};

}  // namespace rondo::testing
