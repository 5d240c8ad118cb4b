# RONDO_HAVE_TLS: whether tls: is there. Without OpenSSL all else is built, and tls: is an error that
# says so.
set(RONDO_HAVE_TLS OFF)
if(RONDO_TLS AND RONDO_TRANSPORTS)
  find_package(OpenSSL 3.0 QUIET)
  if(OpenSSL_FOUND)
    set(RONDO_HAVE_TLS ON)
  else()
    message(STATUS "OpenSSL 3 (libssl-dev) was not found: rondo will have no tls:")
  endif()
endif()
