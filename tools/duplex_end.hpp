// One address of rondo bridge --duplex: a connection with both directions, which --restart opens
// anew. What takes its time is done beside the thread that moves messages: to open it, and to end
// what it sends, which a slow reader may hold up.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "beside.hpp"
#include "options.hpp"
#include "passing.hpp"
#include "rondo/rondo.hpp"

namespace rondo::program {

class DuplexEnd {
 public:
  // What is done beside.
  enum class Work : std::uint8_t { kNone, kOpening, kClosing };

  explicit DuplexEnd(const TransferOptions& options);
  DuplexEnd(const DuplexEnd&) = delete;
  DuplexEnd& operator=(const DuplexEnd&) = delete;
  ~DuplexEnd() { give_up(); }

  // Whether its URL can be meant. Errors: kInvalidUrl, kInvalidOption.
  [[nodiscard]] Result<void> check() const;
  // Begins to open it, after `rest`. What was open is broken off first: who is there still is not
  // to take what it got for all.
  void begin_open(std::chrono::milliseconds rest = {});
  // Begins to write what was sent, and the end of the stream behind it, however long that takes.
  // The receiver stays as it is.
  void begin_close();
  // Which work has been done since; says it once.
  Work take_done();
  [[nodiscard]] bool busy() const noexcept { return work_ != Work::kNone; }
  // Readable when work has been done; -1: ask now and then.
  [[nodiscard]] int fd() const noexcept { return beside_.fd(); }
  // Work that goes on ends now, and what is still open is broken off.
  void give_up();

  // Of the last opening, once it is done: an exit code; why it failed has been said. kSuccess, and
  // not open: after a stop.
  [[nodiscard]] int code() const noexcept { return code_; }
  [[nodiscard]] bool is_open() const noexcept { return work_ != Work::kOpening && receiver_; }
  [[nodiscard]] bool can_send() const noexcept {
    return is_open() && work_ != Work::kClosing && !closed_;
  }
  // Of the last closing, once it is done: kOk, or why not all that was sent is written.
  [[nodiscard]] Status close_status() const noexcept { return close_status_; }

  // While can_send(), and while is_open().
  [[nodiscard]] Sender& sender() noexcept { return *sender_; }
  [[nodiscard]] Receiver& receiver() noexcept { return *receiver_; }

  // Whether sender().receiver_attached() tells of one that has gone; of descriptors with the
  // framing of ours it says that, too, of one that has ended what it sends.
  [[nodiscard]] bool tells_of_readers() const noexcept { return tells_of_readers_; }
  // Whether the other side sees that receiver() was detached; over a network it goes on sending.
  [[nodiscard]] bool tells_senders() const noexcept { return tells_senders_; }
  [[nodiscard]] const std::string& url() const noexcept { return options_.url; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Losses& losses() noexcept { return losses_; }

 private:
  using Handles = std::pair<Sender, Receiver>;
  void open_anew(std::chrono::milliseconds rest);
  void close_in_order();
  void rest_for(std::chrono::milliseconds time) const;
  [[nodiscard]] bool stopped() const noexcept;
  [[nodiscard]] Result<Handles> open_until(Deadline deadline);
  [[nodiscard]] Result<Connection> accept(const Url& url, Deadline deadline);

  const TransferOptions& options_;
  std::string name_;
  bool tells_of_readers_ = true;
  bool tells_senders_ = true;
  std::atomic<bool> stop_{false};     // of all that waits here
  std::optional<Listener> listener_;  // until one has connected
  std::optional<Sender> sender_;
  std::optional<Receiver> receiver_;
  int code_ = 0;
  bool closed_ = false;
  Status close_status_ = Status::kOk;
  Losses losses_;
  Work work_ = Work::kNone;
  Beside beside_;  // ends before all that it works on
};

}  // namespace rondo::program
