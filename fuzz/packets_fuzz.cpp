// Any bytes as packets of a channel's other side, in any numbers, into rings that the packets fit
// into and into ones that they do not: whole messages with the bytes that were sent, then an end or
// a complaint; never a hang, and nothing out of bounds.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "input.hpp"
#include "rondo/transports/local_memory.hpp"
#include "stream/packets.hpp"
#include "support/packet_queue.hpp"

using namespace rondo;
using namespace rondo::detail;

namespace {

// What of it is a message, by the words of packets.hpp.
struct Model {
  PacketForm form;
  std::size_t largest;
  std::uint64_t sequence = 0;
  std::vector<std::vector<std::byte>> messages{};
  Status status = Status::kOk;

  void message(std::span<const std::byte> bytes) {
    if (bytes.size() > largest) {
      status = Status::kCorrupt;
    } else {
      messages.emplace_back(bytes.begin(), bytes.end());
      ++sequence;
    }
  }
  void packet(std::span<const std::byte> rest, std::size_t most) {
    if (status != Status::kOk) return;
    if (rest.size() > most) {
      status = Status::kCorrupt;
      return;
    }
    if (form == PacketForm::kRaw) return message(rest);
    const bool alone = rest.size() == record_header::kBytes;
    do {
      std::uint64_t word = 0;
      if (rest.size() < sizeof word) break;
      std::memcpy(&word, rest.data(), sizeof word);
      rest = rest.subspan(sizeof word);
      const std::size_t size = word >> 32;
      if (static_cast<std::uint32_t>(word) == static_cast<std::uint32_t>(sequence << 4 | 1)) {
        if (size > rest.size()) break;
        message(rest.first(size));
        rest = rest.subspan(std::min<std::size_t>((size + 7) & ~std::size_t{7}, rest.size()));
        if (status != Status::kOk || rest.empty()) return;
        continue;
      }
      if (!alone || size != 0) break;
      if (word == (sequence << 4 | 2)) return;
      if (word == (sequence << 4 | 3)) status = Status::kEnded;
      if (word == (sequence << 4 | 4)) status = Status::kPeerGone;
      if (status != Status::kOk) return;
      break;
    } while (true);
    status = Status::kCorrupt;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const auto shape = input.take<std::uint8_t>();
  const PacketForm form = (shape & 1) != 0 ? PacketForm::kRaw : PacketForm::kRecords;
  const std::uint64_t capacity = std::uint64_t{1} << (8 + (shape >> 1) % 4);
  testing::PacketQueue queue{.max_packet_bytes = 256, .most_at_once = 1u + (shape >> 3)};

  LocalMemory memory;
  const RecordParts parts{new (memory.take_zeroed(sizeof(RecordProducerPart), kSharingRange).data())
                              RecordProducerPart{},
                          new (memory.take_zeroed(sizeof(RecordConsumerPart), kSharingRange).data())
                              RecordConsumerPart{},
                          memory.take_zeroed(capacity, kSharingRange).data(), capacity};
  auto producer = record_ring::Producer::attach(parts, EarlyWrap::kNever);
  auto consumer = record_ring::Consumer::attach(parts, Acknowledge::kLazily, Pacing::kOff);
  Model model{form, producer->max_record_bytes()};
  PacketInlet inlet(std::make_unique<testing::PacketQueueEnd>(queue), *std::move(producer),
                    memory.take_zeroed(PacketInlet::chunk_bytes(queue.max_packet_bytes), 8), form);

  while (!input.empty()) {
    const auto length = input.take<std::uint16_t>();
    // Lengths beyond the largest packet now and then.
    const std::size_t wished = length % 512 < 300 ? length % 300 : length % 16;
    const auto bytes = std::as_bytes(input.rest().first(std::min(wished, input.rest().size())));
    for (std::size_t i = 0; i < bytes.size(); ++i) static_cast<void>(input.take<std::uint8_t>());
    if (bytes.empty()) continue;
    queue.push(bytes);
    model.packet(bytes, queue.max_packet_bytes);
  }

  for (std::size_t got = 0;;) {
    const bool drained = inlet.take_in();
    if (consumer->try_peek() == ReadOutcome::kMessage) {
      RONDO_FUZZ_CHECK(got < model.messages.size());
      const std::span message(consumer->data(), consumer->size());
      RONDO_FUZZ_CHECK(std::ranges::equal(message, model.messages[got]));
      ++got;
      consumer->give_back();
      continue;
    }
    if (!drained) continue;
    if (inlet.state() != Status::kOk || inlet.let_in() == Inlet::Outcome::kNotNow) {
      RONDO_FUZZ_CHECK(got == model.messages.size());
      RONDO_FUZZ_CHECK(inlet.state() == model.status);
      return 0;
    }
  }
}
