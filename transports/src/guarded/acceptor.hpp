// The sender's side of a guarded ring: the ring itself, the socket at its path, and the receivers
// that came in through it.
//
// There is no thread behind it. service() does what there is to do now and never blocks; the
// sender calls it whenever it waits, and while no receiver has come in, at every message.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guarded/wire.hpp"
#include "open/listening_socket.hpp"
#include "open/untrusted_descriptors.hpp"
#include "rondo/core/liveness.hpp"
#include "rondo/core/record_ring.hpp"
#include "rondo/core/segment.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/deadline.hpp"

namespace rondo::inline RONDO_ABI::detail {

// The slots of a receiver's part, each a byte that its owner locks (liveness.hpp).
inline constexpr std::uint32_t kGuardedSenderSlot = 0;
inline constexpr std::uint32_t kGuardedReceiverSlot = 1;

class GuardedAcceptor {
 public:
  // Makes the ring and its name. Errors: those of Segment::create() and listen_at().
  static Result<std::unique_ptr<GuardedAcceptor>> open(const Url& url, const OpenOptions& options);
  // Makes a ring without a name, for the one receiver at the other end of `socket`. Errors: those
  // of Segment::create().
  static Result<std::unique_ptr<GuardedAcceptor>> over(UntrustedSocket socket, const Url& url,
                                                       const OpenOptions& options);
  ~GuardedAcceptor();

  // Accepts those that connect, and goes on with those on their way in. Never blocks.
  void service() noexcept;
  // Waits until there is something to serve, or `deadline`, and serves it.
  void wait(Deadline deadline) noexcept;
  // Closes the socket; the name goes. Those inside stay.
  void close() noexcept;

  // How often a receiver was let in.
  [[nodiscard]] std::uint64_t admissions() const noexcept { return admissions_; }
  // Whether a receiver is inside and lives; whether the one in place `reader` does. Ask the kernel.
  [[nodiscard]] Presence presence() const noexcept;
  [[nodiscard]] Presence presence(std::uint32_t reader) const noexcept;
  // Whether receivers can come, and not only the one that was there when it was made.
  [[nodiscard]] bool lets_others_in() const noexcept { return lets_others_in_; }
  // Where it lets no others in: the file that the one inside has locked.
  [[nodiscard]] std::optional<NativeHandle> closing() const noexcept;
  [[nodiscard]] const RecordParts& parts() const noexcept { return parts_; }
  [[nodiscard]] bool at_its_name() const noexcept;
  void describe(ChannelInfo& info) const;

 private:
  // One on the way in.
  struct PendingHandshake {
    UntrustedSocket socket;
    PeerCredentials credentials;
    Deadline deadline;
    std::uint64_t start;  // that was offered
  };
  // A receiver that came in.
  struct Attached {
    std::optional<LivenessLock> lock;  // over the receiver's part; our lock and the view of its
    PeerCredentials credentials;
    std::uint64_t since_unix_ns = 0;
    std::uint64_t admission = 0;  // its number
  };

  GuardedAcceptor(const Url& url, std::string name, Segment ring, const RecordParts& parts,
                  OwnedFd ring_fd, ListeningSocket listener);
  static Result<std::unique_ptr<GuardedAcceptor>> make(const Url& url, const OpenOptions& options,
                                                       ListeningSocket listener);
  void accept_those_who_came() noexcept;
  void begin_handshake(UntrustedSocket socket);
  [[nodiscard]] bool advance(PendingHandshake& handshake) noexcept;
  [[nodiscard]] std::optional<GuardedJoinReply> admit(const PendingHandshake& handshake,
                                                      OwnedFd part, OwnedFd lock);
  [[nodiscard]] std::optional<std::uint32_t> free_reader() const noexcept;
  [[nodiscard]] std::uint64_t start() const noexcept;

  Url url_;
  std::string name_;  // ours, for people
  Segment ring_;
  RecordParts parts_;
  OwnedFd ring_fd_;  // open for reading: what is handed over
  ListeningSocket listener_;
  const bool lets_others_in_;
  std::vector<PendingHandshake> handshakes_;
  std::vector<Attached> attached_;  // one for each reader of the ring
  std::uint64_t admissions_ = 0;
  bool accept_failed_ = false;  // none could be accepted when last tried, for want of descriptors
  bool out_of_descriptors_ = false;  // the last one that came was turned away for the same reason
};

}  // namespace rondo::inline RONDO_ABI::detail
