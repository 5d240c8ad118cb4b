// plugin_host FILE...: loads plugins, runs what is in each, and forks beside them all. Each may
// have a copy of the library of its own.
#include <dlfcn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

int main(int count, char** files) {
  alarm(60);
  for (int i = 1; i < count; ++i) {
    void* const plugin = dlopen(files[i], RTLD_NOW | RTLD_LOCAL);
    if (plugin == nullptr) return std::fprintf(stderr, "%s\n", dlerror()), 1;
    auto* const run = reinterpret_cast<int (*)()>(dlsym(plugin, "run_plugin"));
    if (run == nullptr || run() != 0) return 2;
  }
  const pid_t child = fork();
  if (child == 0) _exit(0);
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0 ? 0 : 3;
}
