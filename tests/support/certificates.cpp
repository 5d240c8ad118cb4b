#include "support/certificates.hpp"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <stdexcept>

namespace rondo::testing {
namespace {

template <auto kFree>
struct Freed {
  template <class Object>
  void operator()(Object* object) const {
    kFree(object);
  }
};
int close_file(std::FILE* file) { return std::fclose(file); }

using File = std::unique_ptr<std::FILE, Freed<close_file>>;
using Key = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using Certificate = std::unique_ptr<X509, Freed<X509_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<X509_EXTENSION_free>>;

void must(bool done, const char* what) {
  if (!done) throw std::runtime_error(std::string("no certificate: ") + what);
}

File open(const std::string& path, const char* mode) {
  File file(std::fopen(path.c_str(), mode));
  must(file != nullptr, path.c_str());
  return file;
}

void add(X509* certificate, X509* issuer, int kind, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str()));
  must(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1, value.c_str());
}

// Goes with the process that has made it.
class CommonDirectory {
 public:
  CommonDirectory() {
    char path[] = "/tmp/rondo-test-tls-XXXXXX";
    must(mkdtemp(path) != nullptr, "mkdtemp");
    path_ = std::string(path) + "/common";
    make_certificate(path_);
  }
  CommonDirectory(const CommonDirectory&) = delete;
  CommonDirectory& operator=(const CommonDirectory&) = delete;
  ~CommonDirectory() {
    std::error_code ignored;
    if (getpid() == owner_) {
      std::filesystem::remove_all(std::filesystem::path(path_).parent_path(), ignored);
    }
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  pid_t owner_ = getpid();
};

}  // namespace

void make_certificate(const std::string& path, const CertificateWish& wish) {
  const Key key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  const Certificate made(X509_new());
  must(key != nullptr && made != nullptr, "no memory");
  Key issuer_key;
  Certificate issuer;
  if (!wish.issuer.empty()) {
    issuer.reset(PEM_read_X509(open(wish.issuer + ".pem", "r").get(), nullptr, nullptr, nullptr));
    issuer_key.reset(
        PEM_read_PrivateKey(open(wish.issuer + ".key", "r").get(), nullptr, nullptr, nullptr));
    must(issuer != nullptr && issuer_key != nullptr, "its issuer");
  }
  X509* const by = issuer != nullptr ? issuer.get() : made.get();
  X509_set_version(made.get(), X509_VERSION_3);
  static long serial = 0;
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), getpid() * 1000L + ++serial);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), wish.from_hours * 3600L);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), wish.to_hours * 3600L);
  X509_NAME* const name = X509_get_subject_name(made.get());
  const auto* const text = reinterpret_cast<const unsigned char*>(wish.name.c_str());
  must(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, text, -1, -1, 0) == 1, "its name");
  X509_set_issuer_name(made.get(), X509_get_subject_name(by));
  X509_set_pubkey(made.get(), key.get());
  add(made.get(), by, NID_basic_constraints,
      wish.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!wish.alternatives.empty()) add(made.get(), by, NID_subject_alt_name, wish.alternatives);
  must(X509_sign(made.get(), issuer_key != nullptr ? issuer_key.get() : key.get(), nullptr) > 0,
       "its signature");
  must(PEM_write_X509(open(path + ".pem", "w").get(), made.get()) == 1, "its file");
  const mode_t before = umask(077);
  const File file = open(path + ".key", "w");
  umask(before);
  must(PEM_write_PrivateKey(file.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1,
       "the file of its key");
}

const std::string& common_certificate() {
  static const CommonDirectory directory;
  return directory.path();
}

std::string common_certificate_options() {
  const std::string& path = common_certificate();
  return "certificate=" + path + ".pem&key=" + path + ".key&ca=" + path + ".pem";
}

}  // namespace rondo::testing
