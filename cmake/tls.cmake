# RONDO_HAVE_TLS: whether tls: is there. Without OpenSSL all else is built, and tls: is an error that
# says so, unless it was asked for.
set(RONDO_HAVE_TLS OFF)
if(RONDO_TLS AND RONDO_TRANSPORTS)
  find_package(OpenSSL 3.0 QUIET)
  if(OpenSSL_FOUND)
    set(RONDO_HAVE_TLS ON)
  elseif(RONDO_TLS STREQUAL "AUTO")
    message(STATUS "OpenSSL 3 (libssl-dev) was not found: rondo will have no tls:")
  else()
    message(FATAL_ERROR "RONDO_TLS=${RONDO_TLS}, but OpenSSL 3 (libssl-dev) was not found; install "
      "it, say where it is (OPENSSL_ROOT_DIR), or leave tls: out with RONDO_TLS=OFF")
  endif()
endif()
