// The schemes of a URL: one row for each. What opens them stands in open/transports.hpp, which has
// a row for each, too.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

#include "rondo/core/result.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// What a target must be. Errors: kInvalidName.
using CheckTarget = Result<void> (*)(std::string_view scheme, std::string_view target);
[[nodiscard]] Result<void> check_name(std::string_view scheme, std::string_view name);
[[nodiscard]] Result<void> check_name_or_none(std::string_view scheme, std::string_view name);
[[nodiscard]] Result<void> check_path(std::string_view scheme, std::string_view path);
[[nodiscard]] Result<void> check_socket_path(std::string_view scheme, std::string_view path);
// A path, or '@' and the bytes of an abstract name.
[[nodiscard]] Result<void> check_unix_name(std::string_view scheme, std::string_view name);
// "//HOST:PORT" (host_port.hpp).
[[nodiscard]] Result<void> check_host_port(std::string_view scheme, std::string_view target);
[[nodiscard]] Result<void> check_queue_name(std::string_view scheme, std::string_view name);
// A key of 32 bits (rondo/core/system_v_key.hpp).
[[nodiscard]] Result<void> check_sysv_key(std::string_view scheme, std::string_view key);
[[nodiscard]] Result<void> check_descriptor(std::string_view scheme, std::string_view number);
[[nodiscard]] Result<void> check_nothing(std::string_view scheme, std::string_view target);

// Why a scheme does not take an option that one may miss, as whole sentences; empty: no comment.
using WhyNot = std::string_view (*)(std::string_view option);
[[nodiscard]] std::string_view why_not_guarded(std::string_view option);

struct SchemeRow {
  Scheme scheme;
  std::string_view name;
  std::string_view target;  // as help shows it; empty: there is none
  CheckTarget check;
  std::string_view kinds;          // of ring that kind= can ask for; empty: there is no choice
  std::string_view options;        // all that it takes, of any kind of ring
  std::optional<Backing> segment;  // of the segment that lies at the target, for outsiders to see
  std::string_view help;
  WhyNot why_not = nullptr;
};

inline constexpr std::array kSchemes{
    SchemeRow{
        Scheme::kShm, "shm", "NAME", check_name, "record mpmc frames",
        "kind capacity slots slot_size on_consumer_death frames frame_size header align wait ack "
        "await_successor "
        "keep start from mode group huge lock numa readers policy name evict "
        "wake_every wake_bytes wake_after",
        Backing::kSharedMemory, "a ring in shared memory, by name: the fastest"},
    SchemeRow{
        Scheme::kGuarded,
        "shm+guarded",
        "PATH",
        check_socket_path,
        {},
        "capacity header align wait ack await_successor from mode lock numa uid gid readers policy "
        "evict "
        "wake_every wake_bytes wake_after",
        std::nullopt,
        "a ring in shared memory that its receivers can't write to, handed over the UNIX "
        "socket at PATH to those that its sender allows",
        why_not_guarded},
    SchemeRow{
        Scheme::kFile, "file", "PATH", check_path, "record mpmc frames",
        "kind capacity slots slot_size on_consumer_death frames frame_size header align wait ack "
        "await_successor "
        "keep start from mode group huge lock numa readers policy name evict "
        "wake_every wake_bytes wake_after",
        Backing::kFile, "a ring in a memory-mapped file"},
    SchemeRow{
        Scheme::kInproc, "inproc", "NAME", check_name_or_none, "record mpmc frames",
        "kind capacity slots slot_size on_consumer_death frames frame_size header align wait ack "
        "await_successor from readers policy name evict wake_every wake_bytes wake_after",
        std::nullopt, "a ring between threads of this process"},
    SchemeRow{Scheme::kPipe,
              "pipe",
              {},
              check_nothing,
              {},
              "capacity max framing crc block header wait wake_every wake_bytes wake_after",
              std::nullopt,
              "an anonymous pipe; opened as a pair"},
    SchemeRow{Scheme::kFd,
              "fd",
              "N",
              check_descriptor,
              {},
              "capacity max framing crc block header wait wake_every wake_bytes wake_after",
              std::nullopt,
              "a pipe, socket or file that is open already, by its descriptor"},
    SchemeRow{
        Scheme::kFifo,
        "fifo",
        "PATH",
        check_path,
        {},
        "capacity max framing crc block header wait keep mode wake_every wake_bytes wake_after",
        std::nullopt,
        "a named pipe"},
    SchemeRow{
        Scheme::kUnix,
        "unix",
        "PATH",
        check_unix_name,
        {},
        "capacity max framing crc block header wait mode uid gid listen wake_every wake_bytes "
        "wake_after",
        std::nullopt,
        "a UNIX stream socket; unix:@NAME: with an abstract name, which stands in no "
        "directory, and which processes in the same network namespace find (containers mostly "
        "have their own); a file whose name begins with @ is ./@NAME"},
    SchemeRow{
        Scheme::kUnixSeqpacket,
        "unix-seqpacket",
        "PATH",
        check_socket_path,
        {},
        "capacity max framing header wait mode uid gid listen wake_every wake_bytes wake_after",
        std::nullopt,
        "a UNIX socket that keeps messages apart: up to about 200 KiB each, or as many as "
        "net.core.wmem_max lets max= ask for"},
    SchemeRow{Scheme::kUnixDgram,
              "unix-dgram",
              "PATH",
              check_unix_name,
              {},
              "capacity max framing header wait mode uid gid wake_every wake_bytes wake_after",
              std::nullopt,
              "a UNIX socket of datagrams, as programs have it that log; unix-dgram:@NAME as of "
              "unix"},
    SchemeRow{Scheme::kTcp,
              "tcp",
              "//HOST:PORT",
              check_host_port,
              {},
              "capacity max framing crc block header wait listen keepalive wake_every wake_bytes "
              "wake_after",
              std::nullopt,
              "TCP, neither authenticated nor encrypted: whoever reaches the port can be the other "
              "side; :PORT is every address of this machine, port 0 of a listener any free one"},
    SchemeRow{Scheme::kAuto,
              "auto",
              "//HOST:PORT",
              check_host_port,
              {},
              "capacity header wait listen keepalive uid gid wake_every wake_bytes wake_after",
              std::nullopt,
              "tcp:// that becomes a ring in shared memory where both ends are on one machine and "
              "may see each other: of one user, or of those that uid= and gid= name"},
    SchemeRow{Scheme::kUdp,
              "udp",
              "//HOST:PORT",
              check_host_port,
              {},
              "capacity max framing header wait await_successor silence buffer ttl interface "
              "wake_every wake_bytes wake_after",
              std::nullopt,
              "UDP, which loses messages, never repeats or reorders those that come, and tells how "
              "many did not; neither authenticated nor encrypted; the receiver binds the address"},
    SchemeRow{Scheme::kTls,
              "tls",
              "//HOST:PORT",
              check_host_port,
              {},
              "capacity max framing crc block header wait listen keepalive certificate key ca psk "
              "psk_identity wake_every wake_bytes wake_after",
              std::nullopt,
              "TCP with TLS 1.3: encrypted, and each side knows the other one by a certificate or "
              "by a key that both have"},
    SchemeRow{Scheme::kMq,
              "mq",
              "/NAME",
              check_queue_name,
              {},
              "capacity slots slot_size max framing header wait keep mode wake_every wake_bytes "
              "wake_after",
              std::nullopt,
              "a POSIX message queue"},
    SchemeRow{Scheme::kSysv,
              "sysv",
              "KEY",
              check_sysv_key,
              {},
              "capacity max framing header wait keep mode wake_every wake_bytes wake_after",
              std::nullopt,
              "a System V message queue, by its key: a number, decimal or with 0x, and not 0"},
    SchemeRow{
        Scheme::kSysvShm, "sysv-shm", "KEY", check_sysv_key, "record mpmc frames",
        "kind capacity slots slot_size on_consumer_death frames frame_size header align wait "
        "ack await_successor keep start from mode group lock numa readers policy name evict "
        "wake_every wake_bytes wake_after",
        Backing::kSystemV,
        "a ring in a System V segment, by its key, as of sysv: where shm has too little room, "
        "as in containers"},
};

// Whether `rows` have each of the first rows.size() schemes once.
template <class Rows>
[[nodiscard]] consteval bool one_row_each(const Rows& rows) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto scheme = static_cast<Scheme>(i);
    found += std::ranges::count(rows, scheme, [](const auto& row) { return row.scheme; }) == 1;
  }
  return found == rows.size();
}
static_assert(one_row_each(kSchemes));

[[nodiscard]] constexpr const SchemeRow& row_of(Scheme scheme) noexcept {
  return *std::ranges::find(kSchemes, scheme, &SchemeRow::scheme);
}

}  // namespace rondo::inline RONDO_ABI::detail
