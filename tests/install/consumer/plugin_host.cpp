// plugin_host FILE: loads a plugin, and runs what is in it.
#include <dlfcn.h>

#include <cstdio>

int main(int, char** argv) {
  void* const plugin = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
  if (plugin == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 1;
  auto* const run = reinterpret_cast<int (*)()>(dlsym(plugin, "run_plugin"));
  return run == nullptr ? 2 : run();
}
