# Which Asio there is with coroutines, which its older versions have with g++ alone:
# RONDO_HAVE_BOOST_ASIO, and RONDO_HAVE_STANDALONE_ASIO for one with cancellation slots besides.
include(CheckCXXSourceCompiles)

function(rondo_find_asio)
  set(CMAKE_CXX_STANDARD 20)
  set(CMAKE_REQUIRED_QUIET ON)
  check_cxx_source_compiles("
    #include <boost/asio/detail/config.hpp>
    #ifndef BOOST_ASIO_HAS_CO_AWAIT
    #error
    #endif
    int main() {}" RONDO_HAVE_BOOST_ASIO)
  check_cxx_source_compiles("
    #include <asio/cancellation_type.hpp>
    #include <asio/detail/config.hpp>
    #ifndef ASIO_HAS_CO_AWAIT
    #error
    #endif
    int main() {}" RONDO_HAVE_STANDALONE_ASIO)
endfunction()
rondo_find_asio()

# What includes it links this: under sanitizers g++ warns of its fences, which ThreadSanitizer does
# not know, and of an empty allocator.
add_library(rondo_asio INTERFACE)
target_compile_options(rondo_asio INTERFACE
  $<$<CXX_COMPILER_ID:GNU>:-Wno-tsan;-Wno-maybe-uninitialized>)
