// What the command line says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace rondo::program {

// How standard input and output are cut into messages.
enum class Format : std::uint8_t {
  kLines,    // a line each, without its newline
  kRecords,  // bytes after their length, a little-endian 32-bit number
  kBlocks    // raw bytes
};

struct TransferOptions {
  std::string url;
  Format format = Format::kLines;
  std::optional<std::uint64_t> count;        // stop after so many messages
  std::optional<std::uint64_t> block_bytes;  // of each block; else whatever a read brings
  std::optional<double> wait_seconds;        // for the other side to come; else without limit
  std::optional<double> idle_seconds;        // recv: end when nothing has come for so long
  std::optional<std::uint32_t> receivers;    // send: so many have to be there first
  std::string policy;                        // recv, of several: whether it is waited for
  std::string from;                          // recv, of several: where it starts
  std::string name;                          // recv, of several: under which it comes back
  std::optional<std::uint64_t> senders;      // recv: end when so many have come and gone
  bool progress = false;
  bool keep = false;             // the channel outlives its last participant
  bool await_successor = false;  // when the other side dies, wait for another
  bool quiet = false;
};

struct BridgeOptions {
  TransferOptions from;  // await_successor: as `restart`
  TransferOptions to;
  std::optional<std::uint64_t> count;  // stop after so many messages
  bool duplex = false;                 // in both directions
  bool restart = false;                // when an end is lost, open it anew
  bool progress = false;
};

struct ServeOptions {
  TransferOptions transfer;
  std::string command;  // for the shell
  bool once = false;    // end with the first caller
};

struct InspectOptions {
  std::string url;
  bool json = false;
  bool force = false;
};

struct BenchOptions {
  double seconds = 20;  // about so long, all in all
  bool json = false;
};

}  // namespace rondo::program
