#include "rondo/transports/status.hpp"

namespace rondo::inline RONDO_ABI {

std::string_view to_string(Status status) noexcept {
  switch (status) {
    case Status::kOk: return "ok";
    case Status::kWouldBlock: return "it would have to wait";
    case Status::kTimedOut: return "timed out";
    case Status::kInterrupted: return "interrupted";
    case Status::kTooLarge: return "the message is too large for this channel";
    case Status::kEnded: return "the sender ended the stream";
    case Status::kPeerGone: return "the other side has left";
    case Status::kPeerDied: return "the other side died";
    case Status::kClosed: return "the handle is closed";
    case Status::kForked: return "the handle was inherited by fork(); open a new one in the child";
    case Status::kCorrupt: return "the other side wrote what no honest one writes";
    case Status::kIoError: return "the system refused to read or write";
    case Status::kNoMemory: return "out of memory";
  }
  return "unknown status";
}

}  // namespace rondo::inline RONDO_ABI
