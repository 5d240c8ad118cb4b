#include "segment_memory.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "rondo/core/available_memory.hpp"
#include "rondo/core/os.hpp"
#include "rondo/core/position.hpp"
#include "system_v.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::size_t kTransparentHugePage = std::size_t{2} << 20;

std::string in_words(int error) { return std::generic_category().message(error); }

// Brings all pages in. 0, or the error: EFAULT where a page can't be had.
int populate(const Mapping& mapping, bool for_writing) noexcept {
  const std::span<std::byte> memory = mapping.memory();
  if (const int error = populate_memory(memory, for_writing); error != EINVAL) return error;
  // An older kernel: touch them. Reading does for shared memory, whose pages are all there.
  for (std::size_t offset = 0; offset < memory.size(); offset += mapping.page_bytes()) {
    static_cast<void>(*static_cast<volatile std::byte*>(memory.data() + offset));
  }
  return mapping.truncated() ? EFAULT : 0;
}

void place_on_node(const Mapping& mapping, int node, SegmentReport& report) {
  if (node >= kMaxNumaNodes) {
    report.notes.push_back("there is no NUMA node " + std::to_string(node));
  } else if (const int error = bind_to_node(mapping.memory(), node); error != 0) {
    report.notes.push_back("not placed on NUMA node " + std::to_string(node) + ": " +
                           in_words(error));
  } else {
    report.numa_node = node;
  }
}

// Where a segment that exists lies: it was placed when it was made, or was not.
void look_at_node(const Mapping& mapping, int node, SegmentReport& report) {
  const std::string wish = "NUMA node " + std::to_string(node);
  int found = -1;
  if (const int error = node_of(mapping.memory(), found); error != 0) {
    report.notes.push_back("can't tell whether it lies on " + wish + ": " + in_words(error));
  } else if (found == node) {
    report.numa_node = node;
  } else {
    report.notes.push_back("lies on NUMA node " + std::to_string(found) + ", not on " + wish +
                           "; memory is placed when a channel is made, on a node that there is");
  }
}

void lock(const Mapping& mapping, SegmentReport& report) {
  if (const int error = lock_in_ram(mapping.memory()); error != 0) {
    report.notes.push_back("not locked in RAM: " + in_words(error) + "; raise `ulimit -l`");
  } else {
    report.locked = true;
  }
}

// Looks at what became of the wish for huge pages.
Result<void> account_huge_pages(const Mapping& mapping, HugePages wish, SegmentReport& report,
                                const std::string& what) {
  if (wish == HugePages::kNo) return {};
  report.huge_page_bytes = huge_bytes_in(mapping.memory());
  const std::size_t unit = std::max(mapping.page_bytes(), kTransparentHugePage);
  const std::size_t length = mapping.memory().size();
  const std::size_t whole = length / unit * unit;
  report.huge_pages = whole != 0 && report.huge_page_bytes >= whole;
  if (report.huge_pages) return {};
  const std::string found = std::to_string(report.huge_page_bytes >> 10) + " KiB of " +
                            std::to_string(length >> 10) + " KiB lie in huge pages";
  if (wish == HugePages::kRequire) {
    return Error{ErrorCode::kUnsupported,
                 "can't make " + what + " of huge pages: " + found +
                     "; reserve some (vm.nr_hugepages) for memfd; write 'advise' to "
                     "/sys/kernel/mm/transparent_hugepage/shmem_enabled for anonymous memory; "
                     "remount with huge=advise (mount -o remount,huge=advise /dev/shm) for names"};
  }
  report.notes.push_back(found);
  return {};
}

void start_report(const Mapping& mapping, SegmentReport& report) {
  report.page_bytes = mapping.page_bytes();
  report.guarded = mapping.guarded();
}

// Real memory or disk space for all of the file, so that no access meets SIGBUS for want of it
// later.
Result<void> allocate_in_file(NativeHandle file, const std::string& what) {
  FileStatus status;
  if (const int error = status_of(file, status); error != 0) {
    return system_error(error, "can't look at " + what);
  }
  if (const int error = reserve_space(file, status.size_bytes); error != 0) {
    return system_error(
        error, "can't reserve " + std::to_string(status.size_bytes) + " bytes for " + what);
  }
  return {};
}

}  // namespace

void bring_in_pages(std::span<std::byte> memory) noexcept {
  const std::size_t page_bytes = system_page_bytes();
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  const std::uintptr_t first = round_up(begin, page_bytes);
  const std::uintptr_t last = (begin + memory.size()) / page_bytes * page_bytes;
  if (first >= last) return;
  const std::span<std::byte> pages = memory.subspan(first - begin, last - first);
  if (populate_memory(pages, true) == 0) return;
  // An older kernel, or a filter that does not know the call: touch them. Private memory is there
  // only when it has been written.
  for (std::size_t offset = 0; offset < pages.size(); offset += page_bytes) {
    volatile std::byte& byte = pages[offset];
    byte = byte;
  }
}

Result<Mapping> Mapping::map(NativeHandle file, std::size_t length, Access access,
                             const std::string& what) {
  const std::size_t page_bytes = page_bytes_of(file);
  const std::size_t whole = round_up(length, page_bytes);
  std::byte* const address = map_memory(file, whole, access);
  if (address == nullptr) {
    return system_error(errno, "can't map the " + std::to_string(length) + " bytes of " + what);
  }
  Mapping mapping({address, whole}, page_bytes);
  if (is_handle(file)) {
    auto guard = SigbusGuard::watch(address, whole, page_bytes, access == Access::kReadWrite);
    if (!guard) return guard.error();
    mapping.guard_ = std::move(*guard);
  }
  return mapping;
}

// Nobody can take memory away from it, so there is nothing to be watched.
Result<Mapping> Mapping::attach(SystemVId id, std::size_t length, Access access,
                                const std::string& what) {
  std::byte* const address = attach_system_v(id, access);
  if (address == nullptr) {
    const int error = errno;
    if (has_gone(error)) {
      return Error{ErrorCode::kReplaced,
                   what + " was removed while it was being opened; try again"};
    }
    return system_error(error, "can't attach the " + std::to_string(length) + " bytes of " + what);
  }
  const std::size_t page_bytes = system_page_bytes();
  Mapping mapping({address, round_up(length, page_bytes)}, page_bytes);
  mapping.system_v_ = true;
  return mapping;
}

Mapping::Mapping(Mapping&& other) noexcept
    : memory_(std::exchange(other.memory_, {})),
      page_bytes_(other.page_bytes_),
      system_v_(other.system_v_),
      guard_(std::move(other.guard_)) {}

Mapping::~Mapping() {
  guard_ = SigbusGuard();  // swaps: the old one goes here, before the mapping does
  if (memory_.empty()) return;
  if (system_v_) {
    detach_system_v(memory_.data());
  } else {
    unmap_memory(memory_);
  }
}

Result<void> reserve(const Mapping& mapping, NativeHandle file, const SegmentOptions& options,
                     SegmentReport& report, const std::string& what) {
  start_report(mapping, report);
  if (options.numa_node >= 0) place_on_node(mapping, options.numa_node, report);
  if (options.huge_pages != HugePages::kNo && mapping.page_bytes() == system_page_bytes()) {
    advise_huge_pages(mapping.memory());
    // By page faults first: they take huge pages where advised, reserve_space() takes small ones.
    // What is missing afterwards, and why, reserve_space() finds.
    if (options.prefault) static_cast<void>(populate(mapping, true));
  }
  if (is_handle(file)) {
    if (auto allocated = allocate_in_file(file, what); !allocated) return allocated.error();
  }
  return prepare(mapping, true, options, report, what);
}

Result<void> prepare(const Mapping& mapping, bool for_writing, const SegmentOptions& options,
                     SegmentReport& report, const std::string& what) {
  start_report(mapping, report);
  if (options.prefault) {
    if (const int error = populate(mapping, for_writing); error == EFAULT) {
      return Error{ErrorCode::kTooSmall, what +
                                             " has less memory behind it than its size; remove "
                                             "it and create it anew"};
    } else if (error != 0) {
      return system_error(error, "can't bring in the pages of " + what);
    }
    report.prefaulted = true;
  }
  const bool placed = report.numa_node >= 0 || !report.notes.empty();  // or told why not
  if (options.numa_node >= 0 && !placed) look_at_node(mapping, options.numa_node, report);
  if (options.lock) lock(mapping, report);
  return account_huge_pages(mapping, options.huge_pages, report, what);
}

}  // namespace rondo::inline RONDO_ABI::detail
