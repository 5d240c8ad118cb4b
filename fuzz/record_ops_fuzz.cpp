// Any operations on a record ring, against a deque of strings: sending, shrinking, forgetting,
// batches, closing, reading lazily and eagerly, and successors on both sides.
#include <cstring>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "input.hpp"
#include "support/record_fixture.hpp"

using namespace rondo;

namespace {

struct Model {
  std::deque<std::string> committed;  // not yet given back
  std::vector<std::string> batch;
  bool in_batch = false;
  bool ends = false;  // end marks may lie before the reader, and take room
};

void write(record_ring::Producer& producer, Model& model, fuzz::Input& input, bool commit) {
  const std::size_t size = input.take<std::uint8_t>() % (producer.max_record_bytes() + 1);
  auto claim = producer.try_claim(size);
  // An empty ring has room for anything, unless it is a batch or an end mark that fills it.
  if (!claim) {
    RONDO_FUZZ_CHECK(!model.committed.empty() || model.in_batch || model.ends);
    return;
  }
  std::string text(size, static_cast<char>(model.committed.size() + 1));
  if (size != 0) std::memcpy(claim->bytes().data(), text.data(), size);
  if (!commit) return;
  const std::size_t keep = input.take<std::uint8_t>();
  if (keep < size) {
    claim->shrink(keep);
    text.resize(keep);
  }
  std::move(*claim).commit();
  if (model.in_batch) {
    model.batch.push_back(text);
  } else {
    model.committed.push_back(text);
  }
}

void read(record_ring::Consumer& consumer, Model& model) {
  switch (consumer.try_peek()) {
    case ReadOutcome::kMessage: {
      RONDO_FUZZ_CHECK(!model.committed.empty());
      const std::string& expected = model.committed.front();
      RONDO_FUZZ_CHECK(consumer.size() == expected.size());
      RONDO_FUZZ_CHECK(expected.empty() ||
                       std::memcmp(consumer.data(), expected.data(), expected.size()) == 0);
      consumer.give_back();
      model.committed.pop_front();
      break;
    }
    case ReadOutcome::kEmpty:
      RONDO_FUZZ_CHECK(model.committed.empty());
      model.ends = false;
      break;
    case ReadOutcome::kBrokenOff:
    case ReadOutcome::kEnd: consumer.pass_end(); break;
    case ReadOutcome::kLost:
    case ReadOutcome::kContended:  // no record ring says so, nor the next one
    case ReadOutcome::kNoPin:
    case ReadOutcome::kCorrupt: RONDO_FUZZ_CHECK(false); break;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  testing::RecordFixture ring(std::uint64_t{64} << input.take<std::uint8_t>() % 5);
  ring.start_at(input.take<std::uint64_t>() & ~std::uint64_t{7}, input.take<std::uint32_t>());
  auto producer = ring.producer();
  auto consumer = ring.consumer(Acknowledge::kEagerly);
  Model model;
  while (!input.empty()) {
    switch (input.take<std::uint8_t>() & 7) {
      case 0:
      case 1: write(producer, model, input, true); break;
      case 2: write(producer, model, input, false); break;
      case 3:
      case 4: read(consumer, model); break;
      case 5:
        if (model.in_batch) {
          producer.end_batch();
          model.committed.insert(model.committed.end(), model.batch.begin(), model.batch.end());
          model.batch.clear();
        } else {
          producer.begin_batch();
        }
        model.in_batch = !model.in_batch;
        break;
      case 6:  // the producer dies, in a batch perhaps, and has a successor; or it closes first
        if (!model.in_batch && input.take<std::uint8_t>() % 2 == 0) {
          producer.close();
          model.ends = true;
        }
        producer = ring.producer();
        model.in_batch = false;
        model.batch.clear();
        break;
      case 7: consumer = ring.consumer(Acknowledge::kEagerly); break;
    }
    RONDO_FUZZ_CHECK(producer.outcome() != ClaimOutcome::kCorrupt);
  }
  return 0;
}
