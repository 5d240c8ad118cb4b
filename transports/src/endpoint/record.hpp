// Channels that are a ring: shm:, file:, inproc:. How a side waits for the other, and how it learns
// that the other has left or died.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "endpoint/absence.hpp"
#include "endpoint/backend.hpp"
#include "rondo/core/participants.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// One side's place in a ring channel, and its view of the other side. A membership that goes away
// without leave() is that of a dead participant.
class Membership {
 public:
  virtual ~Membership() = default;

  // Whether the other side is there now, any of it: proved, not guessed.
  [[nodiscard]] virtual Presence peer() noexcept = 0;
  // Whether receiver `i` of several is.
  [[nodiscard]] virtual Presence reader(std::uint32_t) noexcept { return peer(); }
  // A number that changes when its place is taken.
  [[nodiscard]] virtual std::uint64_t reader_joins(std::uint32_t) noexcept { return join_count(); }
  // A number that changes when one of the other side dies, as the kernel says it; beside any other
  // call but leave().
  [[nodiscard]] virtual std::uint64_t peer_pulse() const noexcept { return 0; }
  // As Named's.
  [[nodiscard]] virtual std::optional<NativeHandle> closing() const noexcept {
    return std::nullopt;
  }
  // Whether it is there now, or came and died since this membership was taken.
  [[nodiscard]] virtual bool peer_joined() noexcept = 0;
  // How often its place has been taken so far, and whether that is more often than when this
  // membership was taken; as far as the peers say so themselves.
  [[nodiscard]] virtual std::uint64_t join_count() noexcept { return 0; }
  [[nodiscard]] virtual bool peer_rejoined() noexcept { return false; }
  // Of a peer that is absent: whether it says that it left in order.
  [[nodiscard]] virtual bool peer_left() noexcept { return true; }
  // Whether it is absent, and how: `peer_closed` tells of one that is whether it left in order.
  template <class PeerClosed>
  [[nodiscard]] Absence peer_absence(PeerClosed&& peer_closed) noexcept {
    return probe_absence([this] { return peer(); }, [this] { return join_count(); }, peer_closed);
  }
  // Says to the producer of a ring with several readers that the owner of this membership and of
  // these parts may sleep from now on. Nothing to do where the producer knows.
  virtual void await_records(const RecordParts&) noexcept {}
  // Whether memory has been taken away from under the ring.
  [[nodiscard]] virtual bool damaged() const noexcept = 0;
  // Whether the channel's name still leads to this ring.
  [[nodiscard]] virtual bool at_its_name() const noexcept = 0;
  // Gives the membership back. `name_goes` is called once, as Participants::leave() does: under the
  // lock that a sender and a receiver of this ring share, if they share one.
  virtual void leave(const Participants::NameGoes& name_goes) noexcept = 0;
  virtual void describe(ChannelInfo& info) const = 0;
};

class RingSender final : public RecordSender {
 public:
  // `producer` has just taken up its part; the membership is taken.
  RingSender(std::unique_ptr<Membership> membership, const record_ring::Producer& producer,
             const Url& url, const OpenOptions& options);

  Status wait_for_room(record_ring::Producer& producer, Notifier& notifier, std::size_t size_bytes,
                       Deadline deadline) noexcept override;
  Status published(Notifier& notifier, Deadline deadline) noexcept override;
  Status flush(record_ring::Producer& producer, Notifier& notifier,
               Deadline deadline) noexcept override;
  Status close(record_ring::Producer& producer, Notifier& notifier, Status status,
               Deadline deadline) noexcept override;
  bool receiver_attached() noexcept override { return membership_->peer() == Presence::kPresent; }
  Status wait_for_receiver(Notifier& notifier, Deadline deadline) noexcept override;
  PreparedWait announce(record_ring::Producer& producer, Notifier& notifier,
                        Fence fence) noexcept override;
  bool has_room(record_ring::Producer& producer, std::size_t size_bytes) noexcept override;
  bool has_news(record_ring::Producer& producer, std::size_t size_bytes) noexcept override;
  bool disarm() noexcept override;
  void found_peer() noexcept { strategy_.found_peer(); }
  bool has_pulse() const noexcept override { return false; }
  std::uint64_t deaths() noexcept override;
  std::optional<NativeHandle> closing() const noexcept override { return membership_->closing(); }
  void describe(const record_ring::Producer& producer, ChannelInfo& info) const override;

 private:
  [[nodiscard]] bool peer_closed() const noexcept;
  [[nodiscard]] bool receiver_left() const noexcept;
  [[nodiscard]] Status no_peer_to_wait_for() noexcept;
  template <class Ready>
  Status wait(Deadline deadline, Ready&& ready) noexcept;

  std::unique_ptr<Membership> membership_;
  RecordParts parts_;
  Waiter waiter_;
  WaitStrategy strategy_;
  std::uint64_t capacity_;
  bool await_successor_;
  bool keep_;
  // Another sender's stream came before ours, with a receiver that may still be at it or has left
  // in order: that counts only once something behind start_ has been read.
  bool not_the_first_;
  Position start_;
};

class RingReceiver final : public RecordReceiver {
 public:
  RingReceiver(std::unique_ptr<Membership> membership, const RecordParts& parts, const Url& url,
               const OpenOptions& options);

  Status wait_for_record(record_ring::Consumer& consumer, Deadline deadline) noexcept override;
  PreparedWait announce(Fence fence) noexcept override;
  bool has_message(record_ring::Consumer& consumer, Notifier& notifier) noexcept override;
  bool has_news() noexcept override;
  bool disarm() noexcept override;
  bool has_pulse() const noexcept override { return false; }
  std::uint64_t deaths() noexcept override;
  std::optional<NativeHandle> closing() const noexcept override { return membership_->closing(); }
  void detach(record_ring::Consumer& consumer, Notifier& notifier) noexcept override;
  void describe(const record_ring::Consumer& consumer, ChannelInfo& info) const override;

  // Waits until there is a sender, or something that one has left to be read. kPeerGone when the
  // name leads elsewhere by now, so that no sender will come here.
  [[nodiscard]] Status wait_for_sender(record_ring::Consumer& consumer, Deadline deadline) noexcept;

 private:
  [[nodiscard]] ReadOutcome look(record_ring::Consumer& consumer) noexcept;
  [[nodiscard]] bool sender_is_lost(Absence& absence) noexcept;
  [[nodiscard]] Status how_it_ended(const record_ring::Consumer& consumer,
                                    Absence absence) noexcept;

  std::unique_ptr<Membership> membership_;
  Waiter waiter_;
  WaitStrategy strategy_;
  bool told_ = false;  // of the end of the stream, or that it was broken off
  // One of several receivers that does not begin at the oldest message: what it finds of an earlier
  // life, without a sender, it passes over, and that counts as unread.
  bool selective_;
  bool passed_over_ = false;
  bool await_successor_;
  bool keep_;
};

// Whether a ring has one receiver or several, into info.kind.
void say_kind(const RecordParts& parts, ChannelInfo& info);

// Leaves the mark that `status`, of a sender that closes, stands for: one that failed, gave up or
// lost its peer does not say that this was all.
void end_stream(record_ring::Producer& producer, Status status) noexcept;

// The error of finding a ring corrupt.
[[nodiscard]] Error ring_is_corrupt(const Url& url, std::string_view found);
// The error of a producer's part that could not be taken up: record_ring::Producer::attach()'s.
[[nodiscard]] Error not_taken_up(const Url& url, const Error& why);

// What the URL asks for and the ring at its name does not have. Errors: kGeometryMismatch,
// kInvalidOption.
[[nodiscard]] Result<void> check_requested(const Url& url, const RecordParts& parts);

// Puts the receiving end together once the ring is mapped and the membership taken, and waits for a
// sender. Errors: kCorrupt; kReplaced: the ring has to be looked for anew.
[[nodiscard]] Result<ReceiverParts> make_ring_receiver(std::unique_ptr<Membership> membership,
                                                       const RecordParts& parts, const Url& url,
                                                       const OpenOptions& options);

}  // namespace rondo::inline RONDO_ABI::detail
