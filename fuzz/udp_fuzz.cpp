// Any network between the senders of udp: and a receiver. Datagrams are lost, doubled, held back,
// overtaken, changed and cut off; a new sender comes while the last one still sends. Against a
// model: each message comes once at the most, whole and in order, and what does not come is counted
// to the datagram. Also with datagrams that somebody has forged, of which no more is said than that
// each is counted once, and nothing is out of bounds.
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "input.hpp"
#include "rondo/core/record_layout.hpp"
#include "rondo/transports/local_memory.hpp"
#include "stream/packets.hpp"
#include "stream/udp_packets.hpp"

using namespace rondo;
using namespace rondo::detail;

namespace {

using Bytes = std::vector<std::byte>;
using Mark = DatagramHeader::Mark;

constexpr std::size_t kMostDatagrams = 600;  // far fewer than the window of a receiver
constexpr std::size_t kMostSenders = 6;
constexpr std::uint64_t kCapacity = 4096;
constexpr std::uint64_t kForger = ~std::uint64_t{0};

// Two ends of what carries datagrams, and loses none.
struct Wire {
  explicit Wire(FdStream::Direction direction) {
    int ends[2];
    RONDO_FUZZ_CHECK(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    near.emplace(UniqueFd(ends[0]), direction);
    far = UniqueFd(ends[1]);
  }
  std::optional<FdStream> near;
  UniqueFd far;
};

void append(Bytes& to, const void* from, std::size_t size) {
  const auto* const bytes = static_cast<const std::byte*>(from);
  to.insert(to.end(), bytes, bytes + size);
}

// A message tells which it is, in the pattern that fills it.
Bytes message_of(std::uint64_t session, std::uint64_t number) {
  Bytes message;
  append(message, &session, sizeof session);
  append(message, &number, sizeof number);
  message.resize(message.size() + number % 23, static_cast<std::byte>(number + session));
  return message;
}

void append_record(Bytes& packet, std::uint64_t session, std::uint64_t number) {
  packet.resize((packet.size() + 7) & ~std::size_t{7});
  const Bytes message = message_of(session, number);
  const auto word =
      record_header::make(RecordKind::kRecord, number, static_cast<std::uint32_t>(message.size()));
  append(packet, &word, sizeof word);
  append(packet, message.data(), message.size());
}

Bytes mark_of(RecordKind kind, std::uint64_t number) {
  Bytes packet;
  const std::uint64_t word = record_header::make(kind, number, 0);
  append(packet, &word, sizeof word);
  return packet;
}

DatagramHeader header_of(const Bytes& datagram) {
  DatagramHeader header;
  std::memcpy(&header, datagram.data(), sizeof header);
  return header;
}

class Source {
 public:
  explicit Source(std::uint64_t session) : session_(session) {
    port_.emplace(*std::move(wire_.near), DatagramNumbers(session, 0));
    port_->say_hello();
  }

  void make(std::size_t packets, std::uint64_t messages) {
    if (ended_) return;
    for (; packets > 0; --packets) {
      Bytes& packet = unsent_.emplace_back();
      for (std::uint64_t i = 0; i < messages; ++i) append_record(packet, session_, messages_++);
    }
  }
  void end(RecordKind kind) {
    if (!std::exchange(ended_, true)) unsent_.push_back(mark_of(kind, messages_));
  }
  // As much as there is room for, and what has gone, into `net`.
  void send(std::vector<Bytes>& net) {
    std::vector<PacketPort::Packet> packets(unsent_.begin(), unsent_.end());
    if (!packets.empty()) {
      const auto [outcome, count] = port_->send(packets);
      RONDO_FUZZ_CHECK(outcome == PacketPort::Outcome::kMoved ||
                       outcome == PacketPort::Outcome::kNotNow);
      unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<std::ptrdiff_t>(count));
    }
    Bytes room(2048);
    for (;;) {
      const ssize_t size = recv(wire_.far.get(), room.data(), room.size(), 0);
      if (size < 0) break;
      net.emplace_back(room.begin(), room.begin() + size);
      const DatagramHeader header = header_of(net.back());
      // One that has no messages says hello again before its end.
      if (header.mark == Mark::kHello && gone_ > 0 && messages_ == 0) continue;
      RONDO_FUZZ_CHECK(header.number == gone_++);
    }
    ChannelInfo info;
    port_->describe(info);
    RONDO_FUZZ_CHECK(info.as<DatagramsInfo>()->datagrams == gone_);
  }

 private:
  Wire wire_{FdStream::Direction::kWrite};
  std::optional<UdpOutgoing> port_;
  std::uint64_t session_;
  std::uint64_t messages_ = 0;
  std::uint64_t gone_ = 0;
  bool ended_ = false;
  std::deque<Bytes> unsent_;
};

// What is to come of datagrams that nobody has forged, by the words of numbered_datagrams.hpp.
struct Model {
  bool follow;
  DatagramsInfo counts{};
  Status status = Status::kOk;
  std::deque<std::pair<std::uint64_t, std::uint64_t>> messages{};
  std::set<std::uint64_t> earlier{};
  std::set<std::uint64_t> heard{};
  std::uint64_t next_number = 0;
  std::uint64_t next_message = 0;

  void hear(const Bytes& datagram) {
    if (status != Status::kOk) return;
    const DatagramHeader header = header_of(datagram);
    if (counts.sessions == 0 || header.session != counts.session) {
      if (header.mark == Mark::kEnd || earlier.contains(header.session)) {
        ++counts.stale;
        return;
      }
      if (!begin(header)) return;
    }
    const bool again = !heard.insert(header.number).second;
    if (header.number < next_number) {
      if (!again || header.mark != Mark::kEnd) ++(again ? counts.duplicates : counts.late);
      return;
    }
    ++counts.datagrams;
    counts.lost += header.first - next_message;
    next_number = header.number + 1;
    next_message = header.first + header.messages;
    for (std::uint64_t i = header.first; i < next_message; ++i) {
      messages.emplace_back(header.session, i);
    }
    if (header.mark == Mark::kEnd) {
      const bool well = datagram == [&] {
        Bytes end(datagram.begin(), datagram.begin() + sizeof header);
        const Bytes mark = mark_of(RecordKind::kEnd, header.first);
        append(end, mark.data(), mark.size());
        return end;
      }();
      status = well ? Status::kEnded : Status::kPeerGone;
    }
  }
  bool begin(const DatagramHeader& header) {
    if (counts.sessions == 0) {
      counts.before = next_message = header.first;
      next_number = header.number;
    } else if (!follow) {
      status = Status::kPeerDied;
      return false;
    } else {
      earlier.insert(counts.session);
      next_number = next_message = 0;
    }
    heard.clear();
    counts.session = header.session;
    ++counts.sessions;
    return true;
  }
};

class Destination {
 public:
  explicit Destination(bool follow) : model_{follow} {
    const RecordParts parts{
        new (memory_.take_zeroed(sizeof(RecordProducerPart), kSharingRange).data())
            RecordProducerPart{},
        new (memory_.take_zeroed(sizeof(RecordConsumerPart), kSharingRange).data())
            RecordConsumerPart{},
        memory_.take_zeroed(kCapacity, kSharingRange).data(), kCapacity};
    auto producer = record_ring::Producer::attach(parts, EarlyWrap::kNever);
    consumer_.emplace(
        record_ring::Consumer::attach(parts, Acknowledge::kLazily, Pacing::kOff).value());
    auto port = std::make_unique<UdpIncoming>(*std::move(wire_.near), DatagramOrder(0, follow),
                                              std::chrono::nanoseconds(0));
    const std::size_t chunk = PacketInlet::chunk_bytes(port->max_packet_bytes());
    inlet_.emplace(std::move(port), *std::move(producer), memory_.take_zeroed(chunk, 8),
                   PacketForm::kRecords, PacketStart::kEach);
  }

  [[nodiscard]] bool over() const { return inlet_->state() != Status::kOk; }
  void bring_honest(const Bytes& datagram) {
    if (!bring(datagram)) return;
    model_.hear(datagram);
    if (header_of(datagram).mark == Mark::kEnd) ++ends_;
  }
  void bring_spoilt(const Bytes& datagram) {
    if (!bring(datagram)) return;
    const std::uint64_t magic = DatagramHeader::kMagic;
    const bool ours = datagram.size() >= sizeof(DatagramHeader) &&
                      std::memcmp(datagram.data(), &magic, sizeof magic) == 0;
    if (model_.status == Status::kOk) ++(ours ? model_.counts.corrupt : model_.counts.foreign);
  }
  void bring_forged(const Bytes& datagram) {
    forged_ = true;
    static_cast<void>(bring(datagram));
    ++ends_;  // it may be one
  }
  void take_all() {
    for (;;) {
      const bool drained = inlet_->take_in();
      if (consumer_->try_peek() == ReadOutcome::kMessage) {
        take(Bytes(consumer_->data(), consumer_->data() + consumer_->size()));
        consumer_->give_back();
      } else if (drained && (over() || inlet_->let_in() == Inlet::Outcome::kNotNow)) {
        // It says so of datagrams that are not taken, too, of which more may lie there.
        if (over() || !is_readable()) break;
      }
    }
    check_counts();
  }

 private:
  [[nodiscard]] bool is_readable() const {
    pollfd one{inlet_->fd(), POLLIN, 0};
    return poll(&one, 1, 0) == 1;
  }
  // False: the stream is over.
  [[nodiscard]] bool bring(const Bytes& datagram) {
    if (send(wire_.far.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL) < 0) {
      take_all();
      if (over()) return false;
      RONDO_FUZZ_CHECK(send(wire_.far.get(), datagram.data(), datagram.size(), MSG_NOSIGNAL) >= 0);
    }
    ++brought_;
    return true;
  }
  void take(const Bytes& message) {
    if (forged_) return;
    RONDO_FUZZ_CHECK(!model_.messages.empty());
    const auto [session, number] = model_.messages.front();
    RONDO_FUZZ_CHECK(message == message_of(session, number));
    model_.messages.pop_front();
  }
  void check_counts() const {
    ChannelInfo info;
    inlet_->describe(info);
    const DatagramsInfo& counts = *info.as<DatagramsInfo>();
    const std::uint64_t counted = counts.datagrams + counts.duplicates + counts.late +
                                  counts.stale + counts.foreign + counts.corrupt;
    RONDO_FUZZ_CHECK(counted <= brought_);
    // An end that is said again is not counted.
    if (!over()) RONDO_FUZZ_CHECK(brought_ - counted <= ends_);
    if (forged_) return;
    RONDO_FUZZ_CHECK(model_.messages.empty());
    RONDO_FUZZ_CHECK(inlet_->state() == model_.status);
    const DatagramsInfo& expected = model_.counts;
    RONDO_FUZZ_CHECK(counts.lost >= expected.lost && counts.before == expected.before);
    if (over()) return;  // what came behind the end may have been counted, too
    RONDO_FUZZ_CHECK(counts.datagrams == expected.datagrams && counts.lost == expected.lost &&
                     counts.late == expected.late && counts.duplicates == expected.duplicates &&
                     counts.stale == expected.stale && counts.foreign == expected.foreign &&
                     counts.corrupt == expected.corrupt && counts.sessions == expected.sessions);
  }

  Wire wire_{FdStream::Direction::kRead};
  LocalMemory memory_;
  std::optional<record_ring::Consumer> consumer_;
  std::optional<PacketInlet> inlet_;
  Model model_;
  bool forged_ = false;
  std::uint64_t brought_ = 0;
  std::uint64_t ends_ = 0;  // of these; repeated ones are not counted
};

// One whose check sum is right, of a session that is there, or of any.
Bytes forged(fuzz::Input& input) {
  const auto shape = input.take<std::uint8_t>();
  DatagramHeader header;
  header.session = (shape & 1) != 0 ? 1 + input.take<std::uint8_t>() % kMostSenders
                                    : input.take<std::uint64_t>();
  header.number = (shape & 2) != 0 ? input.take<std::uint8_t>() : input.take<std::uint64_t>();
  header.first = (shape & 4) != 0 ? input.take<std::uint8_t>() : input.take<std::uint64_t>();
  header.messages = shape >> 6;
  header.header_bytes = (shape & 8) != 0 ? 0 : input.take<std::uint32_t>();
  header.mark = static_cast<Mark>(shape >> 4 & 3);
  Bytes packet;
  for (std::uint64_t i = 0; i < header.messages; ++i) {
    append_record(packet, kForger, header.first + i);
  }
  if (packet.empty()) {
    packet = mark_of(static_cast<RecordKind>(input.take<std::uint8_t>() & 0xf), header.first);
  }
  header.crc = crc_of(header, packet);
  Bytes datagram;
  append(datagram, &header, sizeof header);
  append(datagram, packet.data(), packet.size());
  return datagram;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  Destination destination((input.take<std::uint8_t>() & 1) != 0);
  std::deque<Source> sources;
  std::vector<Bytes> net;  // sent, and neither lost nor arrived
  const auto pick = [&] { return input.take<std::uint8_t>() % net.size(); };
  for (std::size_t acts = 0; !input.empty() && acts < kMostDatagrams / 8; ++acts) {
    const auto drawn = input.take<std::uint8_t>();
    const unsigned amount = drawn >> 4;
    if (sources.empty() || (drawn % 16 == 0 && sources.size() < kMostSenders)) {
      sources.emplace_back(1 + sources.size());
      sources.back().send(net);
      continue;
    }
    Source& source = amount % 4 == 3 ? sources.front() : sources.back();
    switch (drawn % 16) {
      case 1:
      case 2:
        source.make(1 + amount % 8, 1 + amount / 4);
        source.send(net);
        break;
      case 3: source.send(net); break;
      case 4:
        source.end(amount < 12 ? RecordKind::kEnd : RecordKind::kBrokenOff);
        source.send(net);
        break;
      case 5:  // arrives, and may do so again
        if (!net.empty()) destination.bring_honest(net[pick()]);
        break;
      case 6:
        if (!net.empty()) net.erase(net.begin() + static_cast<std::ptrdiff_t>(pick()));
        break;
      case 7:
        if (!net.empty()) {
          Bytes changed = net[pick()];
          changed[input.take<std::uint16_t>() % changed.size()] ^=
              static_cast<std::byte>(1 + amount);
          destination.bring_spoilt(changed);
        }
        break;
      case 8:
        if (!net.empty()) {
          Bytes cut = net[pick()];
          cut.resize(input.take<std::uint16_t>() % cut.size());
          destination.bring_spoilt(cut);
        }
        break;
      case 9: destination.bring_forged(forged(input)); break;
      case 10: destination.take_all(); break;
      default:  // those in front arrive, in order
        for (unsigned i = 0; i <= amount && !net.empty() && !destination.over(); ++i) {
          destination.bring_honest(net.front());
          net.erase(net.begin());
        }
    }
    if (destination.over()) break;
  }
  destination.take_all();
  return 0;
}
