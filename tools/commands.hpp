// The commands of the program; each returns its exit code.
#pragma once

#include "options.hpp"

namespace rondo::program {

int run_send(const TransferOptions& options);
int run_recv(const TransferOptions& options);
int run_bridge(const BridgeOptions& options);
int run_duplex(const BridgeOptions& options);
int run_call(const TransferOptions& options);
int run_serve(const ServeOptions& options);
int run_transports(const InspectOptions& options);
int run_ls(const InspectOptions& options);
int run_info(const InspectOptions& options);
int run_rm(const InspectOptions& options);
int run_bench(const BenchOptions& options);

}  // namespace rondo::program
