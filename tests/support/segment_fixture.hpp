// What the tests of segments share: names that are this test's alone, a directory of its own, and
// segments that are easy to make.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

#include "rondo/core/participants.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/segment_header.hpp"
#include "support/names.hpp"

namespace rondo::testing {

// The error's code, or kNothing if there is none; for EXPECT_EQ with a readable failure.
template <class T>
std::string code_of(const Result<T>& result) {
  return result ? "no error" : std::string(to_string(result.error().code));
}
inline std::string code_of(ErrorCode code) { return std::string(to_string(code)); }

// The error's message; empty if there is none.
template <class T>
std::string message_of(const Result<T>& result) {
  return result ? std::string() : result.error().message;
}

// A name in shared memory that nothing else has, free again at the end.
class ShmName {
 public:
  ~ShmName() { unlink(path().c_str()); }
  [[nodiscard]] std::string path() const { return "/dev/shm/rondo-" + name_.name; }
  [[nodiscard]] const std::string& word() const { return name_.name; }
  operator const SegmentName&() const { return name_; }  // NOLINT: it is one

 private:
  SegmentName name_{Backing::kSharedMemory, unique_word()};
};

// A directory for files, gone with all it holds at the end.
class Directory {
 public:
  explicit Directory(const std::string& where = "/tmp") : path_(where + "/rondo-" + unique_word()) {
    std::filesystem::create_directories(path_);
  }
  ~Directory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] std::string path(const std::string& file) const { return path_ + "/" + file; }
  [[nodiscard]] SegmentName name(const std::string& file) const {
    return {Backing::kFile, path(file)};
  }
  [[nodiscard]] bool empty() const { return std::filesystem::is_empty(path_); }

 private:
  std::string path_;
};

// The smallest ring that has room for four participants.
inline Geometry small_geometry() {
  return {.kind = RingKind::kRecord,
          .capacity = 4096,
          .participants = 4,
          .total_bytes = after_participants(4) + 4096,
          .instance_id = 1};
}

inline auto finished(const Geometry& geometry) {
  return [geometry](std::span<std::byte> bytes) -> Result<void> {
    initialise_header(bytes, geometry);
    finish_header(bytes);
    return {};
  };
}

inline Result<Segment> create_small(const SegmentName& name, const SegmentOptions& options = {}) {
  const Geometry geometry = small_geometry();
  return Segment::create(name, geometry.total_bytes, options, finished(geometry));
}

// A segment, or the end of the test program with the reason why there is none.
inline Segment sound(Result<Segment> segment) {
  if (!segment) {
    std::fprintf(stderr, "%s\n", segment.error().message.c_str());
    std::abort();
  }
  return std::move(*segment);
}

inline Participants participants_of(const Segment& segment) {
  auto participants = Participants::open(segment, small_geometry());
  if (!participants) {
    std::fprintf(stderr, "%s\n", participants.error().message.c_str());
    std::abort();
  }
  return std::move(*participants);
}

}  // namespace rondo::testing
