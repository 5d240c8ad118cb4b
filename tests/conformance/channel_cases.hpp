// The transports that owe the contract of the channel_*_conformance tests. A new one joins with a
// line.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <ostream>
#include <string>
#include <string_view>
#include <system_error>

#include "support/certificates.hpp"
#include "support/names.hpp"
#include "support/ports.hpp"

namespace rondo::testing {

struct ChannelCase {
  std::string_view name;
  std::string_view scheme;  // with its colon
  enum class Target { kName, kPath, kNone, kAbstract, kPort, kQueue, kKey } target;
  bool processes = true;       // both ends may be in different processes, which find it by its name
  bool ring = false;           // the channel is a ring: the far end's state is known exactly
  bool slots = false;          // kind=mpmc
  bool frames = false;         // kind=frames
  std::string_view options{};  // that make it what it is
  bool headers = false;        // in front of its messages

  // Whether a ring of several receivers can be had of it, by readers=.
  [[nodiscard]] constexpr bool has_readers() const noexcept {
    return ring && !slots && target != Target::kPort;
  }
  // Whether the mechanism has a descriptor, which tells of all that moves.
  [[nodiscard]] constexpr bool has_descriptor() const noexcept {
    return !ring && target != Target::kKey;
  }
};

inline void PrintTo(const ChannelCase& channel, std::ostream* out) { *out << channel.name; }

inline constexpr std::array kChannelCases{
    ChannelCase{"Shm", "shm:", ChannelCase::Target::kName, true, true},
    ChannelCase{"File", "file:", ChannelCase::Target::kPath, true, true},
    ChannelCase{"Inproc", "inproc:", ChannelCase::Target::kName, false, true},
    ChannelCase{"ShmSlots", "shm:", ChannelCase::Target::kName, true, true, true},
    ChannelCase{"FileSlots", "file:", ChannelCase::Target::kPath, true, true, true},
    ChannelCase{"InprocSlots", "inproc:", ChannelCase::Target::kName, false, true, true},
    ChannelCase{"SysvShm", "sysv-shm:", ChannelCase::Target::kKey, true, true},
    ChannelCase{"SysvShmSlots", "sysv-shm:", ChannelCase::Target::kKey, true, true, true},
    ChannelCase{"Guarded", "shm+guarded:", ChannelCase::Target::kPath, true, true},
    ChannelCase{"Pipe", "pipe:", ChannelCase::Target::kNone, false, false},
    ChannelCase{"Fifo", "fifo:", ChannelCase::Target::kPath, true, false},
    ChannelCase{"Unix", "unix:", ChannelCase::Target::kPath, true, false},
    ChannelCase{"UnixChecked", "unix:", ChannelCase::Target::kPath, true, false, false, false,
                "crc=1"},
    ChannelCase{"UnixSeqpacket", "unix-seqpacket:", ChannelCase::Target::kPath, true, false},
    ChannelCase{"UnixDgram", "unix-dgram:", ChannelCase::Target::kPath, true, false},
    ChannelCase{"UnixDgramAbstract", "unix-dgram:", ChannelCase::Target::kAbstract, true, false},
    ChannelCase{"UnixAbstract", "unix:", ChannelCase::Target::kAbstract, true, false},
    ChannelCase{"Tcp", "tcp:", ChannelCase::Target::kPort, true, false},
    // Both ends are on one machine, so it is a ring; and one side listens until they have met.
    ChannelCase{"Auto", "auto:", ChannelCase::Target::kPort, true, true},
    // Small: a user may have so many bytes in queues (RLIMIT_MSGQUEUE), of all that run at once.
    ChannelCase{"Mq", "mq:", ChannelCase::Target::kQueue, true, false, false, false,
                "slots=10&slot_size=2KiB"},
    ChannelCase{"Sysv", "sysv:", ChannelCase::Target::kKey, true, false},
#ifdef RONDO_HAVE_TLS
    ChannelCase{"Tls", "tls:", ChannelCase::Target::kPort, true, false},
#endif
};

// The same with headers in front of their messages.
inline constexpr auto kHeaderCases = [] {
  auto cases = kChannelCases;
  for (ChannelCase& channel : cases) channel.headers = true;
  return cases;
}();

// Those whose sender waits for no receiver: they owe the contract of several receivers alone
// (readers_conformance_test), as far as it is about lossy ones.
inline constexpr std::array kLossyChannelCases{
    ChannelCase{"ShmFrames", "shm:", ChannelCase::Target::kName, true, true, false, true},
    ChannelCase{"FileFrames", "file:", ChannelCase::Target::kPath, true, true, false, true},
    ChannelCase{"SysvShmFrames", "sysv-shm:", ChannelCase::Target::kKey, true, true, false, true},
    ChannelCase{"InprocFrames", "inproc:", ChannelCase::Target::kName, false, true, false, true},
};

// A directory for the paths of a test, which is part of its fixture or lives in it. The test fails
// if it leaves anything there.
class ScratchDirectory {
 public:
  ScratchDirectory() {
    char path[] = "/tmp/rondo-test-XXXXXX";
    if (mkdtemp(path) == nullptr) std::abort();
    path_ = path;
  }
  ScratchDirectory(const ScratchDirectory&) = delete;
  ScratchDirectory& operator=(const ScratchDirectory&) = delete;
  ~ScratchDirectory() {
    std::error_code ignored;
    for (const auto& left : std::filesystem::directory_iterator(path_, ignored)) {
      ADD_FAILURE() << left.path().filename() << " was left behind";
    }
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

// The options without which there is no channel: of tls:, both sides of which show a certificate.
inline std::string needed_options(const ChannelCase& channel) {
#ifdef RONDO_HAVE_TLS
  if (channel.scheme == "tls:") return common_certificate_options();
#endif
  static_cast<void>(channel);
  return {};
}

inline std::string fresh_url(const ChannelCase& channel, const std::string& directory) {
  // Made before a child is forked, which would make files of its own.
  static_cast<void>(needed_options(channel));
  std::string url(channel.scheme);
  if (channel.target == ChannelCase::Target::kPort) {
    return url + free_tcp_url().substr(std::string_view("tcp:").size());
  }
  if (channel.target == ChannelCase::Target::kAbstract) url += "@" + unique_word();
  if (channel.target == ChannelCase::Target::kName) url += unique_word();
  if (channel.target == ChannelCase::Target::kPath) url += directory + "/" + unique_word();
  if (channel.target == ChannelCase::Target::kQueue) url += "/" + unique_word();
  if (channel.target == ChannelCase::Target::kKey) url += std::to_string(unique_key());
  return url;
}

// What one that was killed may have left at the path of `url`.
inline void remove_what_the_dead_left(const std::string& url) {
  const std::string path = url.substr(url.find(':') + 1);
  std::error_code ignored;
  std::filesystem::remove(path, ignored);
  std::filesystem::remove(path + ".rondo-lock", ignored);
}

// The options of a channel that some messages fill, at `capacity` 4KiB; and larger ones.
inline std::string options_of(const ChannelCase& channel, std::uint64_t capacity) {
  std::string options = channel.slots
                            ? "kind=mpmc&slot_size=2KiB&slots=" + std::to_string(capacity / 256)
                            : "capacity=" + std::to_string(capacity);
  if (!channel.options.empty()) options.append("&").append(channel.options);
  if (channel.headers) options += "&header=20";
  if (const std::string needed = needed_options(channel); !needed.empty()) options += "&" + needed;
  return options;
}
// What ChannelInfo calls the capacity of such a channel.
inline std::uint64_t capacity_of(const ChannelCase& channel, std::uint64_t capacity) {
  return channel.slots ? capacity / 256 * 2048 : capacity;
}

}  // namespace rondo::testing
