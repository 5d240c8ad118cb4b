// A process of a measurement.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

namespace rondo::bench {

// fork(); the child ends with its parent, however that ends.
inline pid_t fork_child() {
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
  }
  return child;
}

}  // namespace rondo::bench
