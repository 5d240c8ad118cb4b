# The queues of others that stand beside ours in the benchmarks. Each is used where it is found;
# otherwise the program that would have measured it says at its top that it is left out, and what
# would bring it. `./dev bench` installs them all.
#
# rondo_forget(VARIABLE PATH): what was found before and is gone from there is looked for anew.
function(rondo_forget variable path)
  if(NOT EXISTS "${path}")
    unset(${variable} CACHE)
  endif()
endfunction()

# rondo_rival(ID NAME PACKAGE HEADERS h... [SUFFIXES s...] [LIBRARIES l...] [PROGRAM p])
#
# Looks for it. If found, the target rondo_rival_ID defines RONDO_RIVAL_ID for those who link it.
function(rondo_rival id name package)
  cmake_parse_arguments(PARSE_ARGV 3 rival "" "PROGRAM" "HEADERS;SUFFIXES;LIBRARIES")
  add_library(rondo_rival_${id} INTERFACE)
  set(found TRUE)
  foreach(header IN LISTS rival_HEADERS)
    rondo_forget(RONDO_${id}_${header} "${RONDO_${id}_${header}}/${header}")
    # What `./dev bench` unpacks without installing it lies under build/rivals.
    find_path(RONDO_${id}_${header} ${header} PATH_SUFFIXES ${rival_SUFFIXES}
              HINTS ${PROJECT_SOURCE_DIR}/build/rivals/usr/include)
    mark_as_advanced(RONDO_${id}_${header})
    if(RONDO_${id}_${header})
      target_include_directories(rondo_rival_${id} SYSTEM INTERFACE ${RONDO_${id}_${header}})
    else()
      set(found FALSE)
    endif()
  endforeach()
  foreach(library IN LISTS rival_LIBRARIES)
    rondo_forget(RONDO_${id}_${library} "${RONDO_${id}_${library}}")
    find_library(RONDO_${id}_${library} ${library})
    mark_as_advanced(RONDO_${id}_${library})
    if(RONDO_${id}_${library})
      target_link_libraries(rondo_rival_${id} INTERFACE ${RONDO_${id}_${library}})
    else()
      set(found FALSE)
    endif()
  endforeach()
  if(rival_PROGRAM)
    rondo_forget(RONDO_${id}_PROGRAM "${RONDO_${id}_PROGRAM}")
    find_program(RONDO_${id}_PROGRAM ${rival_PROGRAM})
    mark_as_advanced(RONDO_${id}_PROGRAM)
    if(NOT RONDO_${id}_PROGRAM)
      set(found FALSE)
    endif()
  endif()
  target_compile_definitions(rondo_rival_${id} INTERFACE RONDO_RIVAL_${id})
  set(RONDO_RIVAL_${id} ${found} PARENT_SCOPE)
  set(RONDO_RIVAL_${id}_LEFT_OUT "${name} (not installed: apt-get install ${package})" PARENT_SCOPE)
endfunction()

# rondo_add_rivals(PROGRAM ID...): to this program those that are there, with ID.cpp if there is one,
# and word of the others.
function(rondo_add_rivals program)
  set(left_out "")
  foreach(id IN LISTS ARGN)
    if(RONDO_RIVAL_${id})
      target_link_libraries(${program} PRIVATE rondo_rival_${id})
      string(TOLOWER ${id} file)
      set(file ${CMAKE_CURRENT_SOURCE_DIR}/rivals/${file}.cpp)
      if(EXISTS ${file})
        target_sources(${program} PRIVATE ${file})
      endif()
    else()
      list(APPEND left_out "${RONDO_RIVAL_${id}_LEFT_OUT}")
      message(STATUS "${program} goes without ${RONDO_RIVAL_${id}_LEFT_OUT}")
    endif()
  endforeach()
  list(JOIN left_out "|" left_out)
  target_compile_definitions(${program} PRIVATE "RONDO_LEFT_OUT=\"${left_out}\"")
endfunction()

# In one process.
rondo_rival(READERWRITERQUEUE "ReaderWriterQueue" libreaderwriterqueue-dev
            HEADERS readerwriterqueue/readerwriterqueue.h)
rondo_rival(ATOMIC_QUEUE "atomic_queue" libatomic-queue-dev HEADERS atomic_queue/atomic_queue.h)
rondo_rival(CONCURRENTQUEUE "ConcurrentQueue" libconcurrentqueue-dev
            HEADERS concurrentqueue/concurrentqueue.h)
rondo_rival(TBB "TBB" libtbb-dev HEADERS tbb/concurrent_queue.h LIBRARIES tbb)
rondo_rival(XENIUM "xenium" libxenium-dev HEADERS xenium/vyukov_bounded_queue.hpp)
rondo_rival(CK "concurrencykit" libck-dev HEADERS ck_ring.h)
# libdpdk-dev depends on 230 packages, and its headers alone will do: its calls are inline.
rondo_rival(RTE_RING "DPDK rte_ring" libdpdk-dev
            HEADERS rte_ring.h rte_config.h SUFFIXES dpdk ${CMAKE_LIBRARY_ARCHITECTURE}/dpdk)

# Between two processes.
rondo_rival(INTERPROCESS_QUEUE "Boost message_queue" libboost-dev
            HEADERS boost/interprocess/ipc/message_queue.hpp)
rondo_rival(ICEORYX "iceoryx" "iceoryx libiceoryx-posh-dev libiceoryx-hoofs-dev"
            HEADERS iceoryx_posh/popo/untyped_publisher.hpp iceoryx_hoofs/log/logmanager.hpp
            SUFFIXES iceoryx/v2.0.3 iceoryx/v2.0.2
            LIBRARIES iceoryx_posh iceoryx_hoofs iceoryx_platform PROGRAM iox-roudi)
rondo_rival(ZEROMQ "ZeroMQ" libzmq3-dev HEADERS zmq.h LIBRARIES zmq)
rondo_rival(NNG "nng" libnng-dev HEADERS nng/nng.h LIBRARIES nng)
rondo_rival(NANOMSG "nanomsg" libnanomsg-dev HEADERS nanomsg/nn.h LIBRARIES nanomsg)
