# What `cmake --install` puts in place: libraries, headers, the CMake package and rondo.pc.
include(CMakePackageConfigHelpers)

get_property(targets GLOBAL PROPERTY RONDO_INSTALLED_TARGETS)
install(TARGETS ${targets} EXPORT rondo-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

list(TRANSFORM targets REPLACE "^rondo_" "" OUTPUT_VARIABLE components)
list(JOIN components ", " RONDO_COMPONENTS)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/rondo)
install(EXPORT rondo-targets NAMESPACE rondo:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/rondo-config.cmake.in
  ${PROJECT_BINARY_DIR}/rondo-config.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/rondo-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/rondo-config.cmake
  ${PROJECT_BINARY_DIR}/rondo-config-version.cmake DESTINATION ${package_dir})

# All for a static link, the order included; shared libraries bring along what they need.
list(REMOVE_ITEM targets rondo_rondo)
list(REVERSE targets)
list(TRANSFORM targets PREPEND "-l" OUTPUT_VARIABLE RONDO_PC_LIBS)
if(RONDO_MIMALLOC AND NOT BUILD_SHARED_LIBS)
  list(APPEND RONDO_PC_LIBS -lmimalloc)
endif()
if(RONDO_HAVE_TLS AND NOT BUILD_SHARED_LIBS)
  list(APPEND RONDO_PC_LIBS -lssl -lcrypto)
endif()
list(JOIN RONDO_PC_LIBS " " RONDO_PC_LIBS)
file(RELATIVE_PATH RONDO_PC_TO_PREFIX
  ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig ${CMAKE_INSTALL_PREFIX})
configure_file(${CMAKE_CURRENT_LIST_DIR}/rondo.pc.in ${PROJECT_BINARY_DIR}/rondo.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/rondo.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
