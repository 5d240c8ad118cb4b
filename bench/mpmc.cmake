# mpmc_versus: the mpmc ring against its rivals from Debian (libatomic-queue-dev, libboost-dev,
# libconcurrentqueue-dev, libtbb-dev, libxenium-dev). Not built where one of them is missing. DPDK's
# rte_ring takes part where its headers are found: libdpdk-dev depends on 230 packages, and the
# headers alone will do, as `dpkg -x` unpacks them, with CMAKE_PREFIX_PATH set to the usr/ there.
find_package(TBB QUIET)
find_path(RONDO_ATOMIC_QUEUE atomic_queue/atomic_queue.h)
find_path(RONDO_CONCURRENTQUEUE concurrentqueue/concurrentqueue.h)
find_path(RONDO_XENIUM xenium/vyukov_bounded_queue.hpp)
find_path(RONDO_DPDK rte_ring.h PATH_SUFFIXES dpdk)
find_path(RONDO_DPDK_CONFIG rte_config.h PATH_SUFFIXES dpdk)
if(TBB_FOUND AND RONDO_ATOMIC_QUEUE AND RONDO_CONCURRENTQUEUE AND RONDO_XENIUM)
  add_executable(mpmc_versus mpmc_versus.cpp)
  target_include_directories(mpmc_versus PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(mpmc_versus PRIVATE rondo::core Boost::headers fmt::fmt TBB::tbb)
  if(RONDO_DPDK AND RONDO_DPDK_CONFIG)
    target_include_directories(mpmc_versus SYSTEM PRIVATE ${RONDO_DPDK} ${RONDO_DPDK_CONFIG})
    target_compile_definitions(mpmc_versus PRIVATE RONDO_RTE_RING)
  else()
    message(STATUS "mpmc_versus goes without DPDK's rte_ring: rte_ring.h is not found")
  endif()
else()
  message(STATUS "mpmc_versus is not built: libatomic-queue-dev, libconcurrentqueue-dev, "
                 "libtbb-dev or libxenium-dev is missing")
endif()
