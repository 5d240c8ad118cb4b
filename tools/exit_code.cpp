#include "exit_code.hpp"

namespace rondo::program {

ExitCode exit_code_of(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::kInvalidName:
    case ErrorCode::kInvalidUrl:
    case ErrorCode::kInvalidOption:
    case ErrorCode::kInvalidCapacity: return kUsage;
    case ErrorCode::kTimedOut: return kTimedOut;
    case ErrorCode::kPeerGone: return kPeerVanished;
    case ErrorCode::kCorrupt: return kCorruptData;
    default: return kCannotOpen;
  }
}

ExitCode exit_code_of(Status status) noexcept {
  switch (status) {
    case Status::kOk:
    case Status::kEnded:
    case Status::kInterrupted: return kSuccess;
    case Status::kWouldBlock:
    case Status::kTimedOut: return kTimedOut;
    case Status::kPeerGone:
    case Status::kPeerDied: return kPeerVanished;
    case Status::kCorrupt: return kCorruptData;
    case Status::kTooLarge:
    case Status::kClosed:
    case Status::kForked:
    case Status::kIoError:
    case Status::kNoMemory: return kInOut;
  }
  return kInOut;
}

}  // namespace rondo::program
