# What nearly every test includes of other projects, compiled once. None of rondo's headers: a change
# of one would cost every test, and the macros that some tests are built with would not reach them.
# With -DCMAKE_DISABLE_PRECOMPILE_HEADERS=ON each test includes what it says, and no more.

# rondo_use_common_headers(TARGET)
function(rondo_use_common_headers target)
  if(CMAKE_CROSSCOMPILING)
    return()  # few tests, and many compilers
  endif()
  if(NOT TARGET rondo_common_headers)
    file(TOUCH ${PROJECT_BINARY_DIR}/tests/common_headers.cpp)
    add_library(rondo_common_headers OBJECT ${PROJECT_BINARY_DIR}/tests/common_headers.cpp)
    target_compile_features(rondo_common_headers PRIVATE cxx_std_20)
    target_link_libraries(rondo_common_headers PRIVATE GTest::gmock)
    target_precompile_headers(rondo_common_headers PRIVATE <gmock/gmock.h> <gtest/gtest.h>
      <algorithm> <array> <atomic> <chrono> <cstdio> <cstdlib> <cstring> <functional> <memory>
      <optional> <random> <set> <string> <string_view> <thread> <utility> <vector>)
    rondo_let_ccache_precompile(rondo_common_headers)
  endif()
  target_precompile_headers(${target} REUSE_FROM rondo_common_headers)
  rondo_let_ccache_precompile(${target})
endfunction()

# What ccache asks of g++ and of its own settings before it caches with precompiled headers; without
# them it compiles every time. It may then miss that __TIME__ or a macro is another one within them:
# they depend on none of ours.
function(rondo_let_ccache_precompile target)
  target_compile_options(${target} PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
  if(CMAKE_CXX_COMPILER_LAUNCHER MATCHES "(^|/)ccache$")
    set_target_properties(${target} PROPERTIES CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND};-E;env;\
CCACHE_SLOPPINESS=pch_defines,time_macros;${CMAKE_CXX_COMPILER_LAUNCHER}")
  endif()
endfunction()
