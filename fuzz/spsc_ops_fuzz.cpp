// Any operations on an spsc ring, against a deque and against Boost.Lockfree's queue.
#include <boost/lockfree/spsc_queue.hpp>
#include <deque>
#include <optional>
#include <vector>

#include "input.hpp"
#include "rondo/core/spsc_ring.hpp"

using namespace rondo;

namespace {
constexpr std::size_t kCapacity = 8;
using Ring = spsc_ring<std::uint32_t>;
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  fuzz::Memory memory(Ring::layout_for({.capacity = kCapacity})->total_bytes);
  const auto parts = Ring::create(memory.bytes(), {.capacity = kCapacity}).value();
  std::optional<Ring::Producer> producer(parts);
  std::optional<Ring::Consumer> consumer(std::in_place, parts, Acknowledge::kEagerly);
  boost::lockfree::spsc_queue<std::uint32_t> boost_queue(kCapacity);
  std::deque<std::uint32_t> model;

  std::uint32_t next = 1;
  while (!input.empty()) {
    const auto operation = input.take<std::uint8_t>();
    const std::size_t count = operation >> 3;
    switch (operation & 7) {
      case 0: {
        const bool pushed = producer->try_push(next);
        RONDO_FUZZ_CHECK(pushed == (model.size() < kCapacity));
        RONDO_FUZZ_CHECK(pushed == boost_queue.push(next));
        if (pushed) model.push_back(next);
        ++next;
        break;
      }
      case 1: {
        std::uint32_t value = 0;
        std::uint32_t boost_value = 0;
        const bool popped = consumer->try_pop(value);
        RONDO_FUZZ_CHECK(popped == !model.empty());
        RONDO_FUZZ_CHECK(popped == boost_queue.pop(boost_value) && value == boost_value);
        if (popped) {
          RONDO_FUZZ_CHECK(value == model.front());
          model.pop_front();
        }
        break;
      }
      case 2: {
        std::vector<std::uint32_t> values(count);
        for (std::uint32_t& value : values) value = next++;
        const std::size_t pushed = producer->try_push_some(values);
        // As many as there was room for when the ring was last looked at; never none of some.
        RONDO_FUZZ_CHECK(pushed <= std::min(count, kCapacity - model.size()));
        RONDO_FUZZ_CHECK(pushed > 0 || count == 0 || model.size() == kCapacity);
        RONDO_FUZZ_CHECK(pushed == boost_queue.push(values.data(), pushed));
        model.insert(model.end(), values.begin(),
                     values.begin() + static_cast<std::ptrdiff_t>(pushed));
        break;
      }
      case 3: {
        std::vector<std::uint32_t> values(count);
        std::vector<std::uint32_t> boost_values(count);
        const std::size_t popped = consumer->try_pop_some(values);
        RONDO_FUZZ_CHECK(popped <= std::min(count, model.size()));
        RONDO_FUZZ_CHECK(popped > 0 || count == 0 || model.empty());
        RONDO_FUZZ_CHECK(popped == boost_queue.pop(boost_values.data(), popped));
        for (std::size_t i = 0; i < popped; ++i) {
          RONDO_FUZZ_CHECK(values[i] == model.front() && values[i] == boost_values[i]);
          model.pop_front();
        }
        break;
      }
      case 4: {  // claimed, written, and published in part
        auto claim = producer->try_claim(count);
        RONDO_FUZZ_CHECK(claim.has_value() == (count > 0 && count <= kCapacity - model.size()));
        if (!claim) break;
        std::vector<std::uint32_t> values;
        for (std::uint32_t& slot : claim->first()) values.push_back(slot = next++);
        for (std::uint32_t& slot : claim->second()) values.push_back(slot = next++);
        const std::size_t kept = input.take<std::uint8_t>() % (values.size() + 1);
        claim->shrink(kept);
        std::move(*claim).commit();
        RONDO_FUZZ_CHECK(boost_queue.push(values.data(), kept) == kept);
        model.insert(model.end(), values.begin(),
                     values.begin() + static_cast<std::ptrdiff_t>(kept));
        break;
      }
      case 5: {
        auto messages = consumer->try_next_some(count);
        if (!messages) break;
        for (const auto run : {messages->first(), messages->second()}) {
          for (const std::uint32_t value : run) {
            std::uint32_t boost_value = 0;
            RONDO_FUZZ_CHECK(!model.empty() && value == model.front());
            RONDO_FUZZ_CHECK(boost_queue.pop(boost_value) && value == boost_value);
            model.pop_front();
          }
        }
        break;
      }
      case 6: producer.emplace(parts); break;
      case 7: consumer.emplace(parts, Acknowledge::kEagerly); break;
    }
    RONDO_FUZZ_CHECK(producer->outcome() != ClaimOutcome::kCorrupt &&
                     consumer->outcome() != ReadOutcome::kCorrupt);
  }
  return 0;
}
