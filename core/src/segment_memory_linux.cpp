#include "segment_memory_linux.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <sstream>
#include <string_view>
#include <system_error>

#include "rondo/core/position.hpp"
#include "system_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr std::size_t kTransparentHugePage = std::size_t{2} << 20;
constexpr int kPopulateRead = 22;   // MADV_POPULATE_READ, since Linux 5.14
constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE

// The value of "NAME:   123 kB" in a line of /proc; 0 if the line is another.
std::uint64_t kilobytes_in(const std::string& line, std::string_view name) {
  if (line.rfind(name, 0) != 0) return 0;
  return std::strtoull(line.c_str() + name.size(), nullptr, 10);
}

// How much of the mapping lies in huge pages, as /proc/self/smaps has it.
std::size_t huge_bytes_in(const Mapping& mapping) {
  constexpr std::array<std::string_view, 5> kFields = {
      "AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:"};
  std::istringstream smaps(read_text("/proc/self/smaps"));
  const auto begin = reinterpret_cast<std::uintptr_t>(mapping.address());
  std::uint64_t kilobytes = 0;
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
      inside = from >= begin && to <= begin + mapping.length();
    } else if (inside) {
      for (const std::string_view field : kFields) kilobytes += kilobytes_in(line, field);
    }
  }
  return static_cast<std::size_t>(kilobytes) << 10;
}

// Brings all pages in. 0, or the error: EFAULT where a page can't be had.
int populate(const Mapping& mapping, bool for_writing) noexcept {
  const int advice = for_writing ? kPopulateWrite : kPopulateRead;
  if (retry_interrupted([&] { return madvise(mapping.address(), mapping.length(), advice); }) ==
      0) {
    return 0;
  }
  if (errno != EINVAL) return errno;
  // An older kernel: touch them. Reading does for shared memory, whose pages are all there.
  for (std::size_t offset = 0; offset < mapping.length(); offset += mapping.page_bytes()) {
    static_cast<void>(*static_cast<volatile std::byte*>(mapping.address() + offset));
  }
  return mapping.truncated() ? EFAULT : 0;
}

void place_on_node(const Mapping& mapping, int node, SegmentReport& report) {
  constexpr unsigned long kBits = sizeof(unsigned long) * 8;
  std::array<unsigned long, 16> nodes{};
  const auto number = static_cast<unsigned long>(node);
  if (number >= nodes.size() * kBits) {
    report.notes.push_back("there is no NUMA node " + std::to_string(node));
    return;
  }
  nodes[number / kBits] = 1UL << (number % kBits);
  // By system call, as glibc has no wrapper. One more bit than there are: see mbind(2), BUGS.
  if (syscall(SYS_mbind, mapping.address(), mapping.length(), MPOL_BIND, nodes.data(),
              nodes.size() * kBits + 1, 0) == 0) {
    report.numa_node = node;
  } else {
    report.notes.push_back("not placed on NUMA node " + std::to_string(node) + ": " +
                           std::generic_category().message(errno));
  }
}

// Where a segment that exists lies: it was placed when it was made, or was not.
void look_at_node(const Mapping& mapping, int node, SegmentReport& report) {
  const std::string wish = "NUMA node " + std::to_string(node);
  int found = -1;
  if (syscall(SYS_get_mempolicy, &found, nullptr, 0, mapping.address(),
              MPOL_F_NODE | MPOL_F_ADDR) != 0) {
    report.notes.push_back("can't tell whether it lies on " + wish + ": " +
                           std::generic_category().message(errno));
  } else if (found == node) {
    report.numa_node = node;
  } else {
    report.notes.push_back("lies on NUMA node " + std::to_string(found) + ", not on " + wish +
                           "; memory is placed when a channel is made, on a node that there is");
  }
}

void lock_in_ram(const Mapping& mapping, SegmentReport& report) {
  if (mlock(mapping.address(), mapping.length()) == 0) {
    report.locked = true;
  } else {
    report.notes.push_back(std::string("not locked in RAM: ") +
                           std::generic_category().message(errno) + "; raise `ulimit -l`");
  }
}

// Looks at what became of the wish for huge pages.
Result<void> account_huge_pages(const Mapping& mapping, HugePages wish, SegmentReport& report,
                                const std::string& what) {
  if (wish == HugePages::kNo) return {};
  report.huge_page_bytes = huge_bytes_in(mapping);
  const std::size_t unit = std::max(mapping.page_bytes(), kTransparentHugePage);
  const std::size_t whole = mapping.length() / unit * unit;
  report.huge_pages = whole != 0 && report.huge_page_bytes >= whole;
  if (report.huge_pages) return {};
  const std::string found = std::to_string(report.huge_page_bytes >> 10) + " KiB of " +
                            std::to_string(mapping.length() >> 10) + " KiB lie in huge pages";
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
Result<void> allocate_in_file(int fd, const std::string& what) {
  struct stat status = {};
  if (fstat(fd, &status) != 0) return system_error(errno, "can't look at " + what);
  int error;
  do {
    error = posix_fallocate(fd, 0, status.st_size);
  } while (error == EINTR);
  if (error != 0) {
    return system_error(error,
                        "can't reserve " + std::to_string(status.st_size) + " bytes for " + what);
  }
  return {};
}

}  // namespace

std::size_t system_page_bytes() noexcept { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

std::size_t page_bytes_of(int fd) noexcept {
  struct statfs file_system = {};
  if (fd >= 0 && fstatfs(fd, &file_system) == 0 && file_system.f_type == HUGETLBFS_MAGIC) {
    return static_cast<std::size_t>(file_system.f_bsize);
  }
  return system_page_bytes();
}

Result<Mapping> Mapping::map(int fd, std::size_t length, Access access, const std::string& what) {
  const bool writable = access == Access::kReadWrite;
  const std::size_t page_bytes = page_bytes_of(fd);
  const std::size_t whole = round_up(length, page_bytes);
  void* address = mmap(nullptr, whole, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                       MAP_SHARED | (fd < 0 ? MAP_ANONYMOUS : 0), fd, 0);
  if (address == MAP_FAILED) {
    return system_error(errno, "can't map the " + std::to_string(length) + " bytes of " + what);
  }
  Mapping mapping(static_cast<std::byte*>(address), whole, page_bytes);
  if (fd >= 0) {
    auto guard = SigbusGuard::watch(mapping.address_, whole, page_bytes, writable);
    if (!guard) return guard.error();
    mapping.guard_ = std::move(*guard);
  }
  return mapping;
}

Mapping::Mapping(Mapping&& other) noexcept
    : address_(std::exchange(other.address_, nullptr)),
      length_(other.length_),
      page_bytes_(other.page_bytes_),
      guard_(std::move(other.guard_)) {}

Mapping::~Mapping() {
  guard_ = SigbusGuard();  // swaps: the old one goes here, before the mapping does
  if (address_ != nullptr) munmap(address_, length_);
}

Result<void> reserve(const Mapping& mapping, int fd, const SegmentOptions& options,
                     SegmentReport& report, const std::string& what) {
  start_report(mapping, report);
  if (options.numa_node >= 0) place_on_node(mapping, options.numa_node, report);
  if (options.huge_pages != HugePages::kNo && mapping.page_bytes() == system_page_bytes()) {
    madvise(mapping.address(), mapping.length(), MADV_HUGEPAGE);
    // By page faults first: they take huge pages where advised, posix_fallocate takes small ones.
    // What is missing afterwards, and why, posix_fallocate finds.
    if (options.prefault) static_cast<void>(populate(mapping, true));
  }
  if (fd >= 0) {
    if (auto allocated = allocate_in_file(fd, what); !allocated) return allocated.error();
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
  if (options.lock) lock_in_ram(mapping, report);
  return account_huge_pages(mapping, options.huge_pages, report, what);
}

}  // namespace rondo::inline RONDO_ABI::detail
