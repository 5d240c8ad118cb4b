// One connection of TLS.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <string>

#include "rondo/core/fork_check.hpp"
#include "rondo/core/version.hpp"
#include "stream/secure_layer.hpp"
#include "tls/owned_openssl.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What TLS writes is taken as a whole by a buffer of this object's, and goes on from there as the
// socket takes it. So a record is never written in part, as far as OpenSSL knows; and the reader,
// who may have to answer to a request for new keys, never waits for the writer.
class TlsSession final : public SecureLayer {
 public:
  // What is asked of a connection beyond what its context sees to.
  struct Wants {
    bool key = false;  // that the other side has the pre-shared key, which is called
    std::string identity;
  };

  // Over a socket, with a handshake to be made. Null: no memory.
  [[nodiscard]] static std::unique_ptr<TlsSession> make(OwnedSsl ssl, NativeHandle socket,
                                                        Wants wants);
  ~TlsSession() override;

  [[nodiscard]] Handshake shake_hands() noexcept override;
  [[nodiscard]] Refusal refusal() const noexcept override;
  [[nodiscard]] std::string why() const override;
  [[nodiscard]] std::string peer_identity() const override;
  [[nodiscard]] Moved write(std::span<const std::span<const std::byte>> pieces) noexcept override;
  [[nodiscard]] Moved read(const std::array<std::span<std::byte>, 2>& room) noexcept override;
  [[nodiscard]] bool holds_more() const noexcept override { return holds_more_; }
  [[nodiscard]] bool has_unsent() const noexcept override;
  [[nodiscard]] bool wants_reader() const noexcept override;
  [[nodiscard]] bool end() noexcept override;

 private:
  // A record of TLS holds so much at the most, and takes so much more.
  static constexpr std::size_t kRecordBytes = 16384;
  static constexpr std::size_t kRecordOverhead = 512;

  TlsSession(OwnedSsl ssl, NativeHandle socket, Wants wants) noexcept
      : ssl_(std::move(ssl)), socket_(socket), wants_(std::move(wants)) {}

  [[nodiscard]] static BIO_METHOD* bio_method() noexcept;
  [[nodiscard]] static TlsSession& of(BIO* bio) noexcept;
  [[nodiscard]] int take(std::span<const std::byte> bytes, BIO* bio) noexcept;
  [[nodiscard]] int give(std::span<std::byte> room, BIO* bio) noexcept;
  void begin_call(bool reads) noexcept;
  [[nodiscard]] bool flush() noexcept;
  [[nodiscard]] Outcome judge(int result) noexcept;
  [[nodiscard]] Outcome judge_read(int result) noexcept;
  [[nodiscard]] Refusal judge_failure() const noexcept;
  void fail(unsigned long error) noexcept;
  void gather(std::span<const std::span<const std::byte>> pieces) noexcept;

  OwnedSsl ssl_;
  NativeHandle socket_;
  Wants wants_;
  mutable std::mutex mutex_;  // of all that follows, and of ssl_, which is one thread's at a time
  // What the socket said when it was last asked for something, or was given something.
  Outcome read_from_ = Outcome::kMoved;
  Outcome written_to_ = Outcome::kMoved;
  // Of this call: whether it may take bytes from the socket, as only the reader knows that it has
  // to come back for what lies behind those that it wants, and how many it took.
  bool reads_ = false;
  std::size_t given_ = 0;
  // kMoved, or what has become of the connection for good.
  Outcome failed_ = Outcome::kMoved;
  bool floods_ = false;      // that is why
  unsigned long error_ = 0;  // OpenSSL's, of that failure
  long verdict_ = 0;         // on the other side's certificate, X509_V_*

  // Two records, as a request for new keys may have to be answered first.
  std::array<std::byte, 2 * (kRecordBytes + kRecordOverhead)> unsent_;
  std::size_t unsent_begin_ = 0;
  std::size_t unsent_end_ = 0;
  // What is being written: gathered from pieces, then encrypted.
  std::array<std::byte, kRecordBytes> plain_;
  std::size_t plain_bytes_ = 0;
  bool encrypted_ = false;
  bool wants_reader_ = false;
  bool ended_ = false;

  bool holds_more_ = true;  // the reader's; what came with the handshake is not known
  ForkCheck fork_check_;
};

}  // namespace rondo::inline RONDO_ABI::detail
