#include "tls/session_openssl.hpp"

#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

#include "rondo/core/cancellation_disabled.hpp"
#include "stream/fd_stream.hpp"
#include "tls/error_queue_openssl.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

// In one call, so that one who sends without end does not keep the reader from its own deadline.
constexpr std::size_t kMostRead = std::size_t{256} << 10;
// Of what comes over the socket, which may be nothing but new keys, each of which is some work: so
// that all of one call is over in a moment, whatever is sent.
constexpr std::size_t kMostGiven = std::size_t{64} << 10;

std::string subject_of(X509* certificate) {
  const OwnedBio text(BIO_new(BIO_s_mem()));
  // Escaped, as another one has written it.
  if (text == nullptr ||
      X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0, XN_FLAG_RFC2253) < 0) {
    return {};
  }
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(text.get(), &bytes);
  return size > 0 ? std::string(bytes, static_cast<std::size_t>(size)) : std::string();
}

// What a peer means that sends such an alert (RFC 8446, 6.2).
std::string words_of_alert(int alert) {
  switch (alert) {
    case SSL_AD_UNKNOWN_CA: return "it does not trust who has issued our certificate (its ca=)";
    case SSL_AD_CERTIFICATE_EXPIRED: return "our certificate has expired";
    case SSL_AD_CERTIFICATE_REQUIRED:
      return "it wants to see a certificate; say certificate= and key=";
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
      return std::string("it does not accept our certificate (") +
             SSL_alert_desc_string_long(alert) + ")";
    case SSL_AD_PROTOCOL_VERSION: return "it does not speak TLS 1.3";
    case SSL_AD_DECRYPT_ERROR: return "it can't verify what is signed with our certificate's key";
    case SSL_AD_HANDSHAKE_FAILURE:
      return "it has no certificate for us, or no key in common; compare certificate=, psk= and "
             "psk_identity= of both sides";
    default: return SSL_alert_desc_string_long(alert);
  }
}

constexpr int kFirstAlert = SSL_AD_REASON_OFFSET;

// Of TLS itself; 0: of a part of OpenSSL whose reasons have other meanings, or of the system.
int reason_of(unsigned long error) noexcept {
  return ERR_GET_LIB(error) == ERR_LIB_SSL ? ERR_GET_REASON(error) : 0;
}

// Whether that is the reason of an error that the other side has sent.
bool is_alert(int reason) noexcept { return reason >= kFirstAlert && reason < kFirstAlert + 256; }

// What a socket says that is of no use any more.
bool is_lost(ByteStream::Outcome outcome) noexcept {
  return outcome != ByteStream::Outcome::kMoved && outcome != ByteStream::Outcome::kNotNow;
}

}  // namespace

std::unique_ptr<TlsSession> TlsSession::make(OwnedSsl ssl, NativeHandle socket, Wants wants) {
  const ErrorQueue here;
  BIO* const bio = bio_method() != nullptr ? BIO_new(bio_method()) : nullptr;
  if (bio == nullptr || ssl == nullptr) {
    BIO_free(bio);
    return nullptr;
  }
  SSL_set_bio(ssl.get(), bio, bio);
  std::unique_ptr<TlsSession> made(new TlsSession(std::move(ssl), socket, std::move(wants)));
  BIO_set_data(bio, made.get());
  BIO_set_init(bio, 1);
  return made;
}

TlsSession::~TlsSession() {
  // In a forked child another thread of the parent's may have been in the midst of it.
  if (fork_check_.forked()) {
    static_cast<void>(ssl_.release());
    return;
  }
  const ErrorQueue here;
  ssl_.reset();
}

TlsSession& TlsSession::of(BIO* bio) noexcept {
  return *static_cast<TlsSession*>(BIO_get_data(bio));
}

// OpenSSL's own BIO for sockets writes with write(2), which raises SIGPIPE.
BIO_METHOD* TlsSession::bio_method() noexcept {
  static BIO_METHOD* const method = [] {
    BIO_METHOD* const made =
        BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "rondo's socket");
    if (made == nullptr) return made;
    BIO_meth_set_write(made, [](BIO* bio, const char* bytes, int size) {
      return of(bio).take(std::as_bytes(std::span(bytes, static_cast<std::size_t>(size))), bio);
    });
    BIO_meth_set_read(made, [](BIO* bio, char* bytes, int size) {
      return of(bio).give(std::as_writable_bytes(std::span(bytes, static_cast<std::size_t>(size))),
                          bio);
    });
    BIO_meth_set_ctrl(made, [](BIO* bio, int what, long, void*) -> long {
      if (what == BIO_CTRL_FLUSH) return 1;  // in flush(), in time
      return what == BIO_CTRL_EOF && of(bio).read_from_ == Outcome::kEnd ? 1 : 0;
    });
    return made;
  }();
  return method;
}

int TlsSession::take(std::span<const std::byte> bytes, BIO* bio) noexcept {
  BIO_clear_retry_flags(bio);
  const std::size_t size = bytes.size();
  if (flush()) {
    const std::array<std::span<const std::byte>, 1> pieces{bytes};
    const Moved moved = write_socket(socket_, pieces);
    written_to_ = moved.outcome;
    if (moved.outcome == Outcome::kMoved) bytes = bytes.subspan(moved.bytes);
  }
  if (is_lost(written_to_)) return -1;
  if (unsent_begin_ > 0) {
    std::memmove(unsent_.data(), unsent_.data() + unsent_begin_, unsent_end_ - unsent_begin_);
    unsent_end_ -= std::exchange(unsent_begin_, 0);
  }
  // More than there is room for are the certificates of a handshake, which is asked again.
  const std::size_t kept = std::min(bytes.size(), unsent_.size() - unsent_end_);
  std::memcpy(unsent_.data() + unsent_end_, bytes.data(), kept);
  unsent_end_ += kept;
  bytes = bytes.subspan(kept);
  if (bytes.size() < size) return static_cast<int>(size - bytes.size());
  BIO_set_retry_write(bio);
  return -1;
}

int TlsSession::give(std::span<std::byte> room, BIO* bio) noexcept {
  BIO_clear_retry_flags(bio);
  // Asked for more, OpenSSL has taken all that it was given: the rest is the socket's to tell of.
  if (!reads_ || given_ >= kMostGiven) {
    BIO_set_retry_read(bio);
    return -1;
  }
  const Moved moved = read_socket(socket_, {room, {}});
  read_from_ = moved.outcome;
  switch (moved.outcome) {
    case Outcome::kMoved: given_ += moved.bytes; return static_cast<int>(moved.bytes);
    case Outcome::kNotNow: BIO_set_retry_read(bio); return -1;
    case Outcome::kEnd: return 0;
    default: return -1;
  }
}

// Whether all that TLS has written has gone to the socket.
bool TlsSession::flush() noexcept {
  while (unsent_begin_ < unsent_end_) {
    const std::array<std::span<const std::byte>, 1> pieces{
        std::span(unsent_).subspan(unsent_begin_, unsent_end_ - unsent_begin_)};
    const Moved moved = write_socket(socket_, pieces);
    written_to_ = moved.outcome;
    if (moved.outcome != Outcome::kMoved) return false;
    unsent_begin_ += moved.bytes;
  }
  unsent_begin_ = unsent_end_ = 0;
  return true;
}

void TlsSession::begin_call(bool reads) noexcept {
  reads_ = reads;
  given_ = 0;
}

// What a call that did not succeed has come to. With the queue of errors as it has left it.
TlsSession::Outcome TlsSession::judge(int result) noexcept {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return Outcome::kNotNow;
    case SSL_ERROR_ZERO_RETURN: return Outcome::kEnd;
    default: break;
  }
  fail(ERR_peek_last_error());
  return failed_;
}

TlsSession::Outcome TlsSession::judge_read(int result) noexcept {
  const Outcome outcome = judge(result);
  if (outcome != Outcome::kNotNow || !SSL_want_write(ssl_.get())) return outcome;
  // A record's worth of answers waits already: who asks so often without taking one never will.
  // (OpenSSL 3 as it is answers a request for new keys with the next write, many with one.)
  floods_ = true;
  return failed_ = Outcome::kCorrupt;
}

void TlsSession::fail(unsigned long error) noexcept {
  error_ = error;
  verdict_ = SSL_get_verify_result(ssl_.get());
  const int reason = reason_of(error);
  const bool lost = error == 0 || is_alert(reason) ||
                    reason == SSL_R_UNEXPECTED_EOF_WHILE_READING || is_lost(read_from_);
  failed_ = lost ? Outcome::kCutOff : Outcome::kCorrupt;
  if (read_from_ == Outcome::kRefused) failed_ = Outcome::kRefused;
}

SecureLayer::Handshake TlsSession::shake_hands() noexcept {
  const CancellationDisabled no_cancellation;
  const std::lock_guard lock(mutex_);
  const ErrorQueue here;
  if (failed_ != Outcome::kMoved) return Handshake::kRefused;
  begin_call(true);
  static_cast<void>(flush());
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    // Without it, the other side would have chosen to show a certificate instead.
    if (!wants_.key || SSL_session_reused(ssl_.get()) == 1) return Handshake::kDone;
    failed_ = Outcome::kRefused;
    return Handshake::kRefused;
  }
  const Outcome outcome = judge(result);
  if (outcome == Outcome::kNotNow) return Handshake::kNotNow;
  if (outcome == Outcome::kEnd) failed_ = Outcome::kCutOff;
  return judge_failure() == Refusal::kNone ? Handshake::kGone : Handshake::kRefused;
}

SecureLayer::Refusal TlsSession::judge_failure() const noexcept {
  if (failed_ == Outcome::kMoved) return Refusal::kNone;
  const int reason = reason_of(error_);
  if (is_alert(reason)) return Refusal::kStranger;
  if (failed_ == Outcome::kRefused) return error_ == 0 ? Refusal::kStranger : Refusal::kNone;
  if (failed_ != Outcome::kCorrupt) return Refusal::kNone;
  switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    case SSL_R_BINDER_DOES_NOT_VERIFY: return Refusal::kStranger;
    default: return Refusal::kNoTls;
  }
}

SecureLayer::Refusal TlsSession::refusal() const noexcept {
  const std::lock_guard lock(mutex_);
  return judge_failure();
}

std::string TlsSession::why() const {
  const std::lock_guard lock(mutex_);
  if (failed_ == Outcome::kMoved) return {};
  if (floods_) return "it asks for new keys again and again, and takes none of the answers";
  if (error_ == 0) {
    return failed_ == Outcome::kRefused && wants_.key ? "it does not use the key of psk="
                                                      : "the connection is lost";
  }
  const int reason = reason_of(error_);
  if (reason != 0) {
    // So a server says that the proof of the key is not right (RFC 8446 asks for decrypt_error).
    const int alert = reason - kFirstAlert;
    if (wants_.key && (alert == SSL_AD_ILLEGAL_PARAMETER || alert == SSL_AD_DECRYPT_ERROR)) {
      return "it has another key than that of psk=";
    }
    if (is_alert(reason)) return words_of_alert(alert);
    switch (reason) {
      case SSL_R_CERTIFICATE_VERIFY_FAILED:
        return std::string("its certificate is not accepted: ") +
               X509_verify_cert_error_string(verdict_);
      case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
        return "it shows no certificate, which ca= of this side asks for";
      case SSL_R_UNSUPPORTED_PROTOCOL:
      case SSL_R_NO_PROTOCOLS_AVAILABLE: return "it does not speak TLS 1.3";
      case SSL_R_BINDER_DOES_NOT_VERIFY: return "it has another key than that of psk=";
      case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
      case SSL_R_NO_SHARED_CIPHER:
        return "it knows no key called as that of psk=, or has no signatures or ciphers in "
               "common with this side";
      case SSL_R_UNEXPECTED_EOF_WHILE_READING: return "it has closed the connection";
      case SSL_R_HTTP_REQUEST:
      case SSL_R_HTTPS_PROXY_REQUEST:
      case SSL_R_WRONG_VERSION_NUMBER:
      case SSL_R_PACKET_LENGTH_TOO_LONG:
      case SSL_R_ENCRYPTED_LENGTH_TOO_LONG:
      case SSL_R_BAD_RECORD_TYPE:
      case SSL_R_UNEXPECTED_MESSAGE:
      case SSL_R_UNEXPECTED_RECORD: return "what it sends is not TLS";
      default: break;
    }
  }
  const char* const words = ERR_reason_error_string(error_);
  return words != nullptr ? words : "TLS failed";
}

std::string TlsSession::peer_identity() const {
  if (wants_.key) return wants_.identity;
  const std::lock_guard lock(mutex_);
  const ErrorQueue here;
  const OwnedCertificate certificate(SSL_get1_peer_certificate(ssl_.get()));
  const bool proved = certificate != nullptr && SSL_get_verify_result(ssl_.get()) == X509_V_OK;
  return proved ? subject_of(certificate.get()) : std::string();
}

void TlsSession::gather(std::span<const std::span<const std::byte>> pieces) noexcept {
  for (const auto& piece : pieces) {
    const std::size_t fits = std::min(piece.size(), plain_.size() - plain_bytes_);
    if (fits == 0) continue;
    std::memcpy(plain_.data() + plain_bytes_, piece.data(), fits);
    plain_bytes_ += fits;
  }
}

TlsSession::Moved TlsSession::write(std::span<const std::span<const std::byte>> pieces) noexcept {
  const CancellationDisabled no_cancellation;
  const std::lock_guard lock(mutex_);
  const ErrorQueue here;
  begin_call(false);
  if (ended_) return {Outcome::kRefused, 0};
  if (failed_ != Outcome::kMoved) return {failed_, 0};
  if (!flush()) return {written_to_, 0};
  if (!encrypted_) {
    if (plain_bytes_ == 0) gather(pieces);
    const int size = static_cast<int>(plain_bytes_);
    const int result = SSL_write(ssl_.get(), plain_.data(), size);
    // The reader may find what the other side has sent before that.
    if (result <= 0) {
      wants_reader_ = SSL_want_read(ssl_.get());
      return {is_lost(written_to_) ? written_to_ : judge(result), 0};
    }
    wants_reader_ = false;
    encrypted_ = true;
  }
  // Told as written once the system has it: else nobody would come back for the rest.
  if (!flush()) return {written_to_, 0};
  encrypted_ = false;
  return {Outcome::kMoved, std::exchange(plain_bytes_, 0)};
}

TlsSession::Moved TlsSession::read(const std::array<std::span<std::byte>, 2>& room) noexcept {
  const CancellationDisabled no_cancellation;
  const std::lock_guard lock(mutex_);
  const ErrorQueue here;
  std::size_t total = 0;
  begin_call(true);
  static_cast<void>(flush());  // answers of an earlier call, which nobody else may come for
  holds_more_ = false;
  for (std::span<std::byte> left : room) {
    while (!left.empty()) {
      if (total >= kMostRead) {
        holds_more_ = true;
        return {Outcome::kMoved, total};
      }
      if (failed_ != Outcome::kMoved) return {total > 0 ? Outcome::kMoved : failed_, total};
      const int most = static_cast<int>(std::min(left.size(), kMostRead));
      ERR_clear_error();  // SSL_get_error() takes any that is there for this call's
      const int result = SSL_read(ssl_.get(), left.data(), most);
      if (result <= 0) {
        const Outcome outcome = judge_read(result);
        // What ended it is told once what came before has been taken.
        if (total == 0) return {outcome, 0};
        holds_more_ = outcome != Outcome::kNotNow;
        return {Outcome::kMoved, total};
      }
      total += static_cast<std::size_t>(result);
      left = left.subspan(static_cast<std::size_t>(result));
    }
  }
  holds_more_ = true;
  return {Outcome::kMoved, total};
}

bool TlsSession::has_unsent() const noexcept {
  const std::lock_guard lock(mutex_);
  return unsent_begin_ < unsent_end_;
}

bool TlsSession::wants_reader() const noexcept {
  const std::lock_guard lock(mutex_);
  return wants_reader_ && failed_ == Outcome::kMoved;
}

bool TlsSession::end() noexcept {
  const CancellationDisabled no_cancellation;
  const std::lock_guard lock(mutex_);
  const ErrorQueue here;
  begin_call(false);
  if (failed_ != Outcome::kMoved || (!ended_ && plain_bytes_ > 0)) return true;
  if (!ended_) {
    if (SSL_is_init_finished(ssl_.get()) != 1) return true;
    ended_ = true;
    static_cast<void>(SSL_shutdown(ssl_.get()));
  }
  return flush() || written_to_ != Outcome::kNotNow;
}

}  // namespace rondo::inline RONDO_ABI::detail
