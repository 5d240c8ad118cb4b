# mpmc_versus: the slot ring against its rivals from Debian (libatomic-queue-dev, libboost-dev,
# libconcurrentqueue-dev, libtbb-dev, libxenium-dev). Not built where one of them is missing. DPDK's
# rte_ring is not among them: libdpdk-dev pulls in 230 packages.
find_package(TBB QUIET)
find_path(RONDO_ATOMIC_QUEUE atomic_queue/atomic_queue.h)
find_path(RONDO_CONCURRENTQUEUE concurrentqueue/concurrentqueue.h)
find_path(RONDO_XENIUM xenium/vyukov_bounded_queue.hpp)
if(TBB_FOUND AND RONDO_ATOMIC_QUEUE AND RONDO_CONCURRENTQUEUE AND RONDO_XENIUM)
  add_executable(mpmc_versus mpmc_versus.cpp)
  target_include_directories(mpmc_versus PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(mpmc_versus PRIVATE rondo::core Boost::headers fmt::fmt TBB::tbb)
else()
  message(STATUS "mpmc_versus is not built: libatomic-queue-dev, libconcurrentqueue-dev, "
                 "libtbb-dev or libxenium-dev is missing")
endif()
