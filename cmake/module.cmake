# rondo_module(NAME [DEPENDS target...]): a library rondo::NAME from the *.cpp below src/ and the public headers
# below include/. It sees the headers of itself and of what it depends on, and no others.
# Files that end in _linux.cpp or _windows.cpp are left out on other systems.
function(rondo_module name)
  cmake_parse_arguments(arg "" "" "DEPENDS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS src/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/src/(local_heap|tls)/")  # some of them are chosen by option
  file(GLOB_RECURSE headers CONFIGURE_DEPENDS include/*.hpp)
  if(NOT LINUX)
    list(FILTER sources EXCLUDE REGEX "_linux\\.cpp$")
  endif()
  if(NOT WIN32)
    list(FILTER sources EXCLUDE REGEX "_windows\\.cpp$")
  endif()
  if(NOT sources)
    file(TOUCH ${CMAKE_CURRENT_BINARY_DIR}/empty.cpp)
    set(sources ${CMAKE_CURRENT_BINARY_DIR}/empty.cpp)
  endif()

  add_library(rondo_${name} ${sources})  # static, unless BUILD_SHARED_LIBS says otherwise
  add_library(rondo::${name} ALIAS rondo_${name})
  # Installed as librondo_NAME, imported as rondo::NAME. As long as the major version is 0, another
  # minor one is another library.
  set_target_properties(rondo_${name} PROPERTIES EXPORT_NAME ${name} LINKER_LANGUAGE CXX
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  # Shared ones export what is marked RONDO_API (version.hpp), and nothing else.
  get_target_property(type rondo_${name} TYPE)
  if(type STREQUAL "SHARED_LIBRARY")
    set_target_properties(rondo_${name} PROPERTIES
      CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  endif()
  # Shared ones find each other, wherever the tree is moved to.
  if(NOT DEFINED CMAKE_INSTALL_RPATH)
    set_target_properties(rondo_${name} PROPERTIES INSTALL_RPATH "$ORIGIN")
  endif()
  # So that archives go into plugins and other shared libraries, too.
  if(NOT DEFINED CMAKE_POSITION_INDEPENDENT_CODE)
    set_target_properties(rondo_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endif()
  # That alone would keep g++ from inlining what another library might replace; nobody does.
  target_compile_options(rondo_${name} PRIVATE
    $<$<CXX_COMPILER_ID:GNU,Clang>:-fno-semantic-interposition>)
  target_include_directories(rondo_${name} PRIVATE src)
  target_sources(rondo_${name} PUBLIC FILE_SET HEADERS BASE_DIRS include FILES ${headers})
  target_compile_features(rondo_${name} PUBLIC cxx_std_20)
  target_link_libraries(rondo_${name} PUBLIC ${arg_DEPENDS})
  set_property(GLOBAL APPEND PROPERTY RONDO_INSTALLED_TARGETS rondo_${name})
endfunction()
