#include "tls/files_openssl.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "open/small_file.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/user_ids.hpp"
#include "tls/library_openssl.hpp"
#include "tls/owned_openssl.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::size_t kMostFileBytes = std::size_t{4} << 20;  // the system's list has 200 KiB
constexpr std::size_t kLeastKeyBytes = 16;
constexpr std::size_t kMostKeyBytes = 64;

// The contents of a file that an option names.
class NamedFile {
 public:
  NamedFile() = default;
  NamedFile(NamedFile&&) noexcept = default;
  NamedFile& operator=(NamedFile&&) = delete;
  ~NamedFile() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

  // `secret`: others may have no access to it.
  [[nodiscard]] static Result<NamedFile> read(const Url& url, std::string_view option,
                                              const std::string& path, bool secret) {
    NamedFile file;
    file.what_ = url.name() + ": " + std::string(option) + "=" + path;
    FileStatus status;
    const int error = read_small_file(path, kMostFileBytes, file.bytes_, status);
    if (error == EFBIG) return file.wrong(" is too large for what it has to hold");
    if (error != 0) return system_error(error, "can't read " + file.what_);
    if (status.kind != FileKind::kRegular) return file.wrong(" is no file with contents");
    if (secret && (status.mode & 07) != 0) {
      return Error{ErrorCode::kPermission,
                   file.what_ + " has the mode " + octal(Permissions(status.mode & 0777)) +
                       ", so others have access to what has to be secret; chmod o= it, and think "
                       "of who may have read it"};
    }
    return file;
  }

  [[nodiscard]] Error wrong(const std::string& why) const {
    return Error{ErrorCode::kInvalidOption, what_ + why};
  }
  [[nodiscard]] std::string_view text() const noexcept { return {bytes_.data(), bytes_.size()}; }
  [[nodiscard]] OwnedBio bio() const noexcept {
    return OwnedBio(BIO_new_mem_buf(bytes_.data(), static_cast<int>(bytes_.size())));
  }

 private:
  std::string what_;
  std::vector<char> bytes_;
};

// OpenSSL would ask whoever sits at the terminal.
int refuse_passphrase(char*, int, int, void*) { return -1; }

std::string openssl_says() {
  const char* const words = ERR_reason_error_string(ERR_peek_last_error());
  return words != nullptr ? std::string(" (OpenSSL: ") + words + ")" : std::string();
}

OwnedCertificate next_certificate(BIO* bio) {
  X509* made = X509_new_ex(library(), nullptr);
  if (made == nullptr) return nullptr;
  X509* const read = PEM_read_bio_X509(bio, &made, refuse_passphrase, nullptr);
  // Where none can be read, what was made is still ours, or gone.
  if (read == nullptr) X509_free(made);
  return OwnedCertificate(read);
}

// Whether the last certificate was the last thing there, and not a broken one.
bool at_the_end() noexcept {
  const unsigned long error = ERR_peek_last_error();
  const bool end =
      ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (end) ERR_clear_error();
  return end;
}

int digit_of(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<void> use_key(SSL_CTX* context, const Url& url) {
  const TlsOptions& options = url.options.tls;
  const bool apart = !options.key.empty();
  const auto file = NamedFile::read(url, apart ? "key" : "certificate",
                                    apart ? options.key : options.certificate, true);
  if (!file) return file.error();
  const OwnedBio bio = file->bio();
  const OwnedKey key(PEM_read_bio_PrivateKey_ex(bio.get(), nullptr, refuse_passphrase, nullptr,
                                                library(), nullptr));
  if (key == nullptr) {
    return file->wrong(
        " holds no private key in PEM that can be read; one with a passphrase has to be without, "
        "as openssl pkey writes it" +
        std::string(apart ? "" : "; or say where it is with key="));
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return file->wrong(" does not go with the certificate of certificate=" + options.certificate +
                       openssl_says());
  }
  return {};
}

}  // namespace

Secret::~Secret() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

Result<void> use_certificate(SSL_CTX* context, const Url& url) {
  const std::string& path = url.options.tls.certificate;
  const auto file = NamedFile::read(url, "certificate", path, false);
  if (!file) return file.error();
  const OwnedBio bio = file->bio();
  OwnedCertificate certificate = next_certificate(bio.get());
  if (certificate == nullptr) return file->wrong(" holds no certificate in PEM");
  if (SSL_CTX_use_certificate(context, certificate.get()) != 1) {
    return file->wrong(" can't be used" + openssl_says());
  }
  while ((certificate = next_certificate(bio.get())) != nullptr) {
    if (SSL_CTX_add1_chain_cert(context, certificate.get()) != 1) {
      return file->wrong(": one of its certificates can't be used" + openssl_says());
    }
  }
  if (!at_the_end()) return file->wrong(": one of its certificates is broken");
  return use_key(context, url);
}

Result<void> trust(SSL_CTX* context, const Url& url, bool tells) {
  const auto file = NamedFile::read(url, "ca", url.options.tls.ca, false);
  if (!file) return file.error();
  const OwnedBio bio = file->bio();
  X509_STORE* const store = SSL_CTX_get_cert_store(context);
  // What is named there is trusted, whether or not it is an authority that has issued itself.
  X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN);
  std::size_t count = 0;
  while (const OwnedCertificate certificate = next_certificate(bio.get())) {
    if (X509_STORE_add_cert(store, certificate.get()) != 1 ||
        (tells && SSL_CTX_add_client_CA(context, certificate.get()) != 1)) {
      return file->wrong(": one of its certificates can't be used" + openssl_says());
    }
    ++count;
  }
  if (!at_the_end()) return file->wrong(": one of its certificates is broken");
  if (count == 0) return file->wrong(" holds no certificate in PEM");
  return {};
}

Result<Secret> shared_key(const Url& url) {
  const auto file = NamedFile::read(url, "psk", url.options.tls.psk, true);
  if (!file) return file.error();
  std::string_view text = file->text();
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
    text.remove_suffix(1);
  }
  std::vector<unsigned char> bytes;
  bytes.reserve(kMostKeyBytes);  // no copy is left behind
  bool hex = text.size() % 2 == 0 && text.size() / 2 <= kMostKeyBytes;
  for (std::size_t i = 0; hex && i < text.size(); i += 2) {
    const int high = digit_of(text[i]);
    const int low = digit_of(text[i + 1]);
    hex = high >= 0 && low >= 0;
    bytes.push_back(static_cast<unsigned char>(high * 16 + low));
  }
  Secret key(std::move(bytes));
  if (hex && key.bytes().size() >= kLeastKeyBytes) return key;
  return file->wrong(
      " does not hold 32 to 128 hexadecimal digits; openssl rand -hex 32 makes a good key");
}

}  // namespace rondo::inline RONDO_ABI::detail
