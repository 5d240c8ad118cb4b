// The sending end of a ring with several receivers: which it waits for, which it wakes, and which
// are dead or slow. The receiving end is that of any ring (record.hpp).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "endpoint/backend.hpp"
#include "endpoint/record.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/doorbell.hpp"
#include "rondo/sync/wait.hpp"
#include "rondo/transports/open_options.hpp"
#include "rondo/transports/url.hpp"

namespace rondo::inline RONDO_ABI::detail {

// The participant in the slot of that reader: whether it lives, its process and what it is called.
void fill_in_participant(const std::vector<ParticipantInfo>& participants, std::uint32_t slot,
                         ReaderInfo& reader);
// Of a ring with several, fills in its readers and, for them, info.pending_bytes; info.participants
// stands already.
void look_at_readers(const RecordParts& parts, std::uint64_t sent, Position tail,
                     ChannelInfo& info);
// The name in a reader's part, printable.
[[nodiscard]] std::string reader_name(const RecordConsumerPart& part);

class BroadcastSender final : public RecordSender {
 public:
  // `producer` has just taken up its part; the membership is taken.
  BroadcastSender(std::unique_ptr<Membership> membership, const record_ring::Producer& producer,
                  const Url& url, const OpenOptions& options);

  Status wait_for_room(record_ring::Producer& producer, Notifier& notifier, std::size_t size_bytes,
                       Deadline deadline) noexcept override;
  Status published(Notifier& notifier, Deadline deadline) noexcept override;
  bool would_wake(Notifier&) noexcept override;
  Status flush(record_ring::Producer& producer, Notifier& notifier,
               Deadline deadline) noexcept override;
  Status close(record_ring::Producer& producer, Notifier& notifier, Status status,
               Deadline deadline) noexcept override;
  bool receiver_attached() noexcept override { return attached() != 0; }
  Status wait_for_receiver(Notifier& notifier, Deadline deadline) noexcept override {
    return wait_for_receivers(notifier, 1, deadline);
  }
  Status wait_for_receivers(Notifier& notifier, std::uint32_t count,
                            Deadline deadline) noexcept override;
  PreparedWait announce(record_ring::Producer& producer, Notifier& notifier,
                        Fence fence) noexcept override;
  bool has_room(record_ring::Producer& producer, std::size_t size_bytes) noexcept override;
  bool has_news(record_ring::Producer& producer, std::size_t size_bytes) noexcept override;
  bool disarm() noexcept override;
  void found_peer() noexcept { strategy_.found_peer(); }
  std::uint64_t pulse() noexcept override;
  std::uint64_t deaths() noexcept override;
  std::optional<NativeHandle> closing() const noexcept override;
  void describe(const record_ring::Producer& producer, ChannelInfo& info) const override;

 private:
  [[nodiscard]] std::uint32_t attached() noexcept;
  [[nodiscard]] std::uint64_t not_watched_yet() const noexcept;
  void watch_new_readers() noexcept;
  template <class Enough>
  void check_gating_reader(record_ring::Producer& producer, Enough&& enough) noexcept;
  [[nodiscard]] bool eviction_due(const GatingReader& held, std::chrono::nanoseconds standing);
  template <class Ready>
  Status wait(record_ring::Producer& producer, Deadline deadline, Ready&& ready) noexcept;

  std::unique_ptr<Membership> membership_;
  RecordParts parts_;
  BroadcastNotifier bell_;
  std::uint64_t watched_ = 0;  // readers that bell_ looks after
  Waiter waiter_;
  WaitStrategy strategy_;
  bool keep_;
  std::optional<std::chrono::seconds> evict_;
  Callback<bool(const SlowReader&)> on_slow_;
  std::uint64_t pulses_ = 0;              // the other thread's
  std::optional<GatingReader> standing_;  // which one stood there when we last looked
  Deadline::Clock::time_point since_{};
};

// Puts the sending end together, of a ring with one receiver or with several, once the ring is
// mapped and the membership taken. Errors: not_taken_up()'s.
[[nodiscard]] Result<SenderParts> make_record_sender(std::unique_ptr<Membership> membership,
                                                     const RecordParts& parts, const Url& url,
                                                     const OpenOptions& options);

}  // namespace rondo::inline RONDO_ABI::detail
