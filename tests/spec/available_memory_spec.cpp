// Contract of available_memory(), over folders that look like a system's /proc and control groups.
//
//  1. WithoutLimitsItIsWhatTheMachineHas
//  2. AVersion2LimitCounts, less what is used
//  3. PageCacheIsLeft: it goes first when memory is wanted
//  4. TheLimitsOfAncestorsCount
//  5. MemoryHighCountsAsALimit
//  6. AVersion1LimitCounts
//  7. SwapOfVersion1IsALimitOfItsOwn: memory and swap together
//  8. GroupsOfOthersDontCount
//  9. AContainerSeesItsOwnGroupAtTheTop: with and without a namespace of its own
// 10. MountPointsMayHoldSpaces
// 11. WhatIsMissingOrNonsenseIsNoLimit
// 12. UsedBeyondTheLimitNothingIsLeft
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "rondo/core/available_memory.hpp"
#include "support/segment_fixture.hpp"

namespace rondo {
namespace {

using namespace rondo::testing;

constexpr const char* kVersion2Mount =
    "31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr const char* kVersion1Mount =
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";

class AvailableMemoryOf : public ::testing::Test {
 protected:
  void write(const std::string& file, const std::string& text) {
    const std::filesystem::path path = root_.path(file);
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }
  void machine(const std::string& groups, const std::string& mounts) {
    write("proc/meminfo", "MemTotal: 9000 kB\nMemAvailable:    8000 kB\nSwapFree: 7000 kB\n");
    write("proc/self/cgroup", groups);
    write("proc/self/mountinfo", "23 1 8:1 / / rw - ext4 /dev/sda rw\n" + mounts);
  }
  void version2(const std::string& group, const std::string& max, const std::string& current) {
    write("sys/fs/cgroup" + group + "/memory.max", max);
    write("sys/fs/cgroup" + group + "/memory.current", current);
  }
  void version1(const std::string& group, const std::string& limit, const std::string& usage) {
    write("sys/fs/cgroup/memory" + group + "/memory.limit_in_bytes", limit);
    write("sys/fs/cgroup/memory" + group + "/memory.usage_in_bytes", usage);
  }
  [[nodiscard]] AvailableMemory left() const { return available_memory(root_.path("")); }
  [[nodiscard]] std::uint64_t bytes() const { return left().bytes; }

  Directory root_;
};

TEST_F(AvailableMemoryOf, WithoutLimitsItIsWhatTheMachineHas) {
  machine("0::/\n", kVersion2Mount);
  EXPECT_EQ(bytes(), 8000u << 10);
  EXPECT_EQ(left().limit, "");
}

TEST_F(AvailableMemoryOf, AVersion2LimitCounts) {
  machine("0::/one\n", kVersion2Mount);
  version2("/one", "1000000\n", "300000\n");
  EXPECT_EQ(bytes(), 700000u);
  EXPECT_EQ(left().limit, "/sys/fs/cgroup/one/memory.max");
}

TEST_F(AvailableMemoryOf, PageCacheIsLeft) {
  machine("0::/one\n", kVersion2Mount);
  version2("/one", "1000000\n", "900000\n");
  write("sys/fs/cgroup/one/memory.stat",
        "anon 100\nfile 990000\nshmem 5\ninactive_anon 400000\nactive_file 200000\n"
        "inactive_file 300000\nslab_reclaimable 1000\n");
  EXPECT_EQ(bytes(), 100000u + 501000u);
}

TEST_F(AvailableMemoryOf, TheLimitsOfAncestorsCount) {
  machine("0::/one/two/three\n", kVersion2Mount);
  version2("/one", "500000\n", "400000\n");
  version2("/one/two", "max\n", "400000\n");
  version2("/one/two/three", "400000\n", "100000\n");
  EXPECT_EQ(bytes(), 100000u);
  EXPECT_EQ(left().limit, "/sys/fs/cgroup/one/memory.max");
  version2("", "450000\n", "400000\n");  // as at the top of a container
  EXPECT_EQ(bytes(), 50000u);
}

TEST_F(AvailableMemoryOf, MemoryHighCountsAsALimit) {
  machine("0::/one\n", kVersion2Mount);
  version2("/one", "1000000\n", "300000\n");
  write("sys/fs/cgroup/one/memory.high", "600000\n");
  EXPECT_EQ(bytes(), 300000u);
}

TEST_F(AvailableMemoryOf, AVersion1LimitCounts) {
  machine("4:memory:/one/two\n1:cpu,cpuacct:/\n0::/\n",
          std::string("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n") +
              kVersion1Mount + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  version1("/one/two", "9223372036854771712\n", "200000\n");
  version1("/one", "1000000\n", "600000\n");
  write("sys/fs/cgroup/memory/one/memory.stat",
        "active_file 7\ntotal_active_file 10000\ntotal_inactive_file 20000\n");
  EXPECT_EQ(bytes(), 430000u);
  EXPECT_EQ(left().limit, "/sys/fs/cgroup/memory/one/memory.limit_in_bytes");
}

TEST_F(AvailableMemoryOf, SwapOfVersion1IsALimitOfItsOwn) {
  machine("4:memory:/one\n", kVersion1Mount);
  version1("/one", "1000000\n", "300000\n");
  write("sys/fs/cgroup/memory/one/memory.memsw.limit_in_bytes", "1000000\n");
  write("sys/fs/cgroup/memory/one/memory.memsw.usage_in_bytes", "950000\n");
  EXPECT_EQ(bytes(), 50000u);
}

TEST_F(AvailableMemoryOf, GroupsOfOthersDontCount) {
  machine("0::/one\n", kVersion2Mount);
  version2("/other", "1000\n", "900\n");
  version2("/one/below", "1000\n", "900\n");
  EXPECT_EQ(bytes(), 8000u << 10);
}

TEST_F(AvailableMemoryOf, AContainerSeesItsOwnGroupAtTheTop) {
  version2("", "1000000\n", "300000\n");
  machine("0::/\n", kVersion2Mount);
  EXPECT_EQ(bytes(), 700000u);
  machine("0::/../../elsewhere\n", kVersion2Mount);
  EXPECT_EQ(bytes(), 700000u);
  // Without a namespace the group has its full path, and the mount shows what is at its top.
  machine("0::/docker/abc/one\n",
          "31 24 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
  version2("/one", "600000\n", "300000\n");
  EXPECT_EQ(bytes(), 300000u);
  machine("0::/docker/abcdef\n", "31 24 0:27 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(bytes(), 700000u);
}

TEST_F(AvailableMemoryOf, MountPointsMayHoldSpaces) {
  machine("0::/one\n", "31 24 0:27 / /control\\040groups rw - cgroup2 cgroup2 rw\n");
  write("control groups/one/memory.max", "1000\n");
  write("control groups/one/memory.current", "300\n");
  EXPECT_EQ(bytes(), 700u);
}

TEST_F(AvailableMemoryOf, WhatIsMissingOrNonsenseIsNoLimit) {
  EXPECT_EQ(bytes(), UINT64_MAX);
  machine("nonsense\n0::/one\n:::\n", std::string("- - -\n31\n") + kVersion2Mount);
  EXPECT_EQ(bytes(), 8000u << 10);
  version2("/one", "many\n", "1\n");
  EXPECT_EQ(bytes(), 8000u << 10);
  write("sys/fs/cgroup/one/memory.max", "1000\n");
  std::filesystem::remove(root_.path("sys/fs/cgroup/one/memory.current"));
  EXPECT_EQ(bytes(), 8000u << 10);
}

TEST_F(AvailableMemoryOf, UsedBeyondTheLimitNothingIsLeft) {
  machine("0::/one\n", kVersion2Mount);
  version2("/one", "1000\n", "2000\n");
  EXPECT_EQ(bytes(), 0u);
}

TEST(AvailableMemoryHere, IsKnown) {
  EXPECT_GT(available_memory().bytes, 0u);
  EXPECT_LT(available_memory().bytes, UINT64_MAX);
}

}  // namespace
}  // namespace rondo
