// Which Asio it is: Boost's, 1.74 or later, unless RONDO_STANDALONE_ASIO is defined: then the one
// that comes without Boost, 1.22 or later. One of the two in a program. Every `#if` about them
// stands here.
#pragma once

#include "rondo/core/version.hpp"

#if defined(RONDO_STANDALONE_ASIO)

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/basic_waitable_timer.hpp>
#include <asio/compose.hpp>
#include <asio/error.hpp>
#include <asio/execution_context.hpp>
#include <asio/posix/basic_stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/query.hpp>
#include <system_error>

#define RONDO_ASIO_SYSTEM std

namespace rondo::inline RONDO_ABI::asio {
namespace net = ::asio;
}  // namespace rondo::inline RONDO_ABI::asio

#else

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution_context.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/query.hpp>
#include <boost/system/error_code.hpp>

#define RONDO_ASIO_SYSTEM boost::system

namespace rondo::inline RONDO_ABI::asio {
namespace net = boost::asio;
}  // namespace rondo::inline RONDO_ABI::asio

#endif

namespace rondo::inline RONDO_ABI::asio {
namespace sys = RONDO_ASIO_SYSTEM;
}  // namespace rondo::inline RONDO_ABI::asio
