// One address of rondo bridge --duplex: a connection with both directions, which --restart opens
// anew.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "options.hpp"
#include "passing.hpp"
#include "patience.hpp"
#include "rondo/rondo.hpp"

namespace rondo::program {

class DuplexEnd {
 public:
  explicit DuplexEnd(const TransferOptions& options)
      : options_(options), patience_(options, "the other side"), name_(channel_name(options)) {}

  // Says why if it can't be opened; returns the exit code.
  int open();

  [[nodiscard]] bool is_open() const noexcept { return sender_.has_value(); }
  [[nodiscard]] Sender& sender() noexcept { return *sender_; }
  [[nodiscard]] Receiver& receiver() noexcept { return *receiver_; }
  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] Losses& losses() noexcept { return losses_; }

 private:
  using Handles = std::pair<Sender, Receiver>;
  [[nodiscard]] Result<Handles> open_until(Deadline deadline);
  [[nodiscard]] Result<Connection> accept(const Url& url, Deadline deadline);

  const TransferOptions& options_;
  Patience patience_;
  std::string name_;
  std::optional<Listener> listener_;  // until one has connected
  std::optional<Sender> sender_;
  std::optional<Receiver> receiver_;
  Losses losses_;
};

}  // namespace rondo::program
