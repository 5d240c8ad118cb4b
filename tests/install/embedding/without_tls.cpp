// What a build without OpenSSL says of tls:.
#include <cstdio>
#include <rondo/rondo.hpp>

int main() {
  const auto sender = rondo::Sender::open("tls://localhost:1");
  if (sender || sender.error().code != rondo::ErrorCode::kUnsupported) return 1;
  std::puts(sender.error().message.c_str());
  return 0;
}
