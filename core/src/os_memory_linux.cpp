#include <linux/magic.h>
#include <linux/mempolicy.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "rondo/core/os.hpp"
#include "system_linux.hpp"

namespace rondo::inline RONDO_ABI::detail {
namespace {

constexpr int kPopulateRead = 22;   // MADV_POPULATE_READ, since Linux 5.14
constexpr int kPopulateWrite = 23;  // MADV_POPULATE_WRITE

// The value of "NAME:   123 kB" in a line of /proc; 0 if the line is another.
std::uint64_t kilobytes_in(const std::string& line, std::string_view name) {
  if (line.rfind(name, 0) != 0) return 0;
  return std::strtoull(line.c_str() + name.size(), nullptr, 10);
}

}  // namespace

std::size_t system_page_bytes() noexcept { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

std::size_t page_bytes_of(NativeHandle file) noexcept {
  struct statfs file_system = {};
  if (is_handle(file) && fstatfs(file, &file_system) == 0 &&
      file_system.f_type == HUGETLBFS_MAGIC) {
    return static_cast<std::size_t>(file_system.f_bsize);
  }
  return system_page_bytes();
}

std::byte* map_memory(NativeHandle file, std::size_t length, Access access) noexcept {
  const int protection = access == Access::kReadWrite ? PROT_READ | PROT_WRITE : PROT_READ;
  void* address = mmap(nullptr, length, protection,
                       MAP_SHARED | (is_handle(file) ? 0 : MAP_ANONYMOUS), file, 0);
  return address == MAP_FAILED ? nullptr : static_cast<std::byte*>(address);
}

void unmap_memory(std::span<std::byte> memory) noexcept { munmap(memory.data(), memory.size()); }

int map_over(std::span<std::byte> memory, NativeHandle file) noexcept {
  void* address = mmap(memory.data(), memory.size(), PROT_READ, MAP_SHARED | MAP_FIXED, file, 0);
  return address == memory.data() ? 0 : errno;
}

int populate_memory(std::span<std::byte> memory, bool for_writing) noexcept {
  const int advice = for_writing ? kPopulateWrite : kPopulateRead;
  const int result =
      retry_interrupted([&] { return madvise(memory.data(), memory.size(), advice); });
  return result == 0 ? 0 : errno;
}

int lock_in_ram(std::span<std::byte> memory) noexcept {
  return mlock(memory.data(), memory.size()) == 0 ? 0 : errno;
}

void advise_huge_pages(std::span<std::byte> memory) noexcept {
  madvise(memory.data(), memory.size(), MADV_HUGEPAGE);
}

// As /proc/self/smaps has it.
std::size_t huge_bytes_in(std::span<std::byte> memory) {
  constexpr std::array<std::string_view, 5> kFields = {
      "AnonHugePages:", "ShmemPmdMapped:", "FilePmdMapped:", "Shared_Hugetlb:", "Private_Hugetlb:"};
  std::istringstream smaps(read_text("/proc/self/smaps"));
  const auto begin = reinterpret_cast<std::uintptr_t>(memory.data());
  std::uint64_t kilobytes = 0;
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
      inside = from >= begin && to <= begin + memory.size();
    } else if (inside) {
      for (const std::string_view field : kFields) kilobytes += kilobytes_in(line, field);
    }
  }
  return static_cast<std::size_t>(kilobytes) << 10;
}

int bind_to_node(std::span<std::byte> memory, int node) noexcept {
  constexpr unsigned long kBits = sizeof(unsigned long) * 8;
  std::array<unsigned long, kMaxNumaNodes / kBits> nodes{};
  const auto number = static_cast<unsigned long>(node);
  nodes[number / kBits] = 1UL << (number % kBits);
  // By system call, as glibc has no wrapper. One more bit than there are: see mbind(2), BUGS.
  const long result = syscall(SYS_mbind, memory.data(), memory.size(), MPOL_BIND, nodes.data(),
                              nodes.size() * kBits + 1, 0);
  return result == 0 ? 0 : errno;
}

int node_of(std::span<std::byte> memory, int& node) noexcept {
  const long result =
      syscall(SYS_get_mempolicy, &node, nullptr, 0, memory.data(), MPOL_F_NODE | MPOL_F_ADDR);
  return result == 0 ? 0 : errno;
}

}  // namespace rondo::inline RONDO_ABI::detail
