// The ways between two processes that rondo_driver measures.
#pragma once

#include <string>
#include <vector>

#include "rivals/engine.hpp"

namespace rondo::bench {

// `name`: under which what needs a name may be made. Every engine is there, with `largest` as it is
// on this machine.
std::vector<Engine> engines_between_processes(const std::string& name);

// Those of the libraries, each in its own file; built where the library is found.
Engine boost_interprocess();
Engine zeromq();
Engine nng();
Engine nanomsg();
Engine iceoryx();

}  // namespace rondo::bench
