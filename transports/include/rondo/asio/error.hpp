// A Status as Asio's error_code: so `error == rondo::Status::kEnded` asks what it says.
#pragma once

#include <string>
#include <type_traits>

#include "rondo/asio/library.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/status.hpp"

namespace rondo::inline RONDO_ABI {
namespace asio {

// Its values are those of Status; each equals the condition of errc that says the same.
class StatusCategory final : public sys::error_category {
 public:
  [[nodiscard]] const char* name() const noexcept override { return "rondo"; }
  [[nodiscard]] std::string message(int value) const override {
    return std::string(to_string(static_cast<Status>(value)));
  }
  [[nodiscard]] sys::error_condition default_error_condition(int value) const noexcept override {
    const auto condition = condition_of(static_cast<Status>(value));
    if (static_cast<int>(condition) == 0) return {value, *this};
    return make_error_condition(condition);
  }

 private:
  using Condition = std::remove_cv_t<decltype(sys::errc::io_error)>;

  [[nodiscard]] static Condition condition_of(Status status) noexcept {
    switch (status) {
      case Status::kWouldBlock: return sys::errc::operation_would_block;
      case Status::kTimedOut: return sys::errc::timed_out;
      case Status::kInterrupted: return sys::errc::interrupted;
      case Status::kTooLarge: return sys::errc::message_size;
      case Status::kPeerGone:
      case Status::kPeerDied: return sys::errc::broken_pipe;
      case Status::kClosed: return sys::errc::bad_file_descriptor;
      case Status::kIoError: return sys::errc::io_error;
      default: return Condition();  // what no other system has
    }
  }
};

[[nodiscard]] inline const sys::error_category& status_category() noexcept {
  static const StatusCategory category;
  return category;
}

}  // namespace asio

// Found by the argument, as Asio's error_code asks for it.
[[nodiscard]] inline asio::sys::error_code make_error_code(Status status) noexcept {
  return {static_cast<int>(status), asio::status_category()};
}

namespace asio {

// What kept fd() from being made.
[[nodiscard]] inline sys::error_code error_of(const Error& error) noexcept {
  switch (error.code) {
    case ErrorCode::kNoDescriptors: return make_error_code(sys::errc::too_many_files_open);
    case ErrorCode::kUnsupported: return make_error_code(sys::errc::operation_not_supported);
    case ErrorCode::kNotFound: return make_error_code(Status::kClosed);
    case ErrorCode::kForked: return make_error_code(Status::kForked);
    default: return make_error_code(Status::kIoError);
  }
}

}  // namespace asio
}  // namespace rondo::inline RONDO_ABI

template <>
struct RONDO_ASIO_SYSTEM::is_error_code_enum<rondo::Status> : std::true_type {};
