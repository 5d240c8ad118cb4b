// Linking Rondo must not change the allocator of a program: what the dynamic linker has bound
// malloc and operator new to, where the program opens channels that take memory, too.
#include <dlfcn.h>

#include <cstdio>
#include <rondo/rondo.hpp>
#include <string_view>

namespace {

// The file that `symbol` is taken from; empty if it can't be told.
std::string_view provider_of(const char* symbol) {
  Dl_info info{};
  void* const address = dlsym(RTLD_DEFAULT, symbol);
  if (address == nullptr || dladdr(address, &info) == 0) return {};
  const std::string_view path = info.dli_fname;
  return path.substr(path.rfind('/') + 1);
}

bool comes_from(const char* symbol, std::string_view library) {
  const std::string_view provider = provider_of(symbol);
  std::printf("%s comes from %.*s\n", symbol, static_cast<int>(provider.size()), provider.data());
  return provider.starts_with(library);
}

}  // namespace

int main() {
  auto pair = rondo::open_pair("inproc:");
  if (!pair || pair->first.send("hello") != rondo::Status::kOk) return 1;
  bool own = true;
  for (const char* symbol : {"malloc", "calloc", "realloc", "free", "aligned_alloc"}) {
    own = comes_from(symbol, "libc.so") && own;
  }
  for (const char* symbol : {"_Znwm", "_Znam", "_ZnwmSt11align_val_t", "_ZdlPv", "_ZdaPv"}) {
    own = comes_from(symbol, "libstdc++.so") && own;
  }
  return own ? 0 : 2;
}
