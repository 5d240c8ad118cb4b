// Certificates for the tests of tls:, made where they are needed.
#pragma once

#include <string>

namespace rondo::testing {

struct CertificateWish {
  std::string name = "rondo";  // the CN of its subject
  // Hosts that it is for; empty: none is named.
  std::string alternatives = "IP:127.0.0.1,IP:::1,DNS:localhost";
  std::string issuer{};    // the path of another one; empty: it issues itself
  bool authority = false;  // it may issue others
  // From now on.
  int from_hours = -1;
  int to_hours = 24;
};

// Makes PATH.pem, and PATH.key, which is the owner's alone. Throws std::runtime_error.
void make_certificate(const std::string& path, const CertificateWish& wish = {});

// The path of one that issues itself, for 127.0.0.1: the same within a process and its forked
// children; it goes with the process.
const std::string& common_certificate();
// The options of a URL with which either side shows that one, and trusts it.
std::string common_certificate_options();

}  // namespace rondo::testing
