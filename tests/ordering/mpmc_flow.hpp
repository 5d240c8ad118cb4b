// Messages through an mpmc_ring between threads, numbered and accounted for.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <ostream>
#include <thread>
#include <vector>

#include "spec/mpmc_ring_fixture.hpp"

namespace rondo::testing {

struct Numbered {
  std::uint64_t producer;
  std::uint64_t number;
  std::uint64_t check;  // a torn message shows
};
inline std::uint64_t check_of(std::uint64_t producer, std::uint64_t number) {
  return (producer << 32 | number) * 0x9E37'79B9'7F4A'7C15u;
}

struct Flow {
  std::uint32_t producers;
  std::uint32_t consumers;
  std::uint32_t batch;
  std::uint64_t capacity;
};

inline void PrintTo(const Flow& flow, std::ostream* out) {
  *out << flow.producers << "P" << flow.consumers << "C, batches of " << flow.batch << ", "
       << flow.capacity << " slots";
}

inline void produce(MpmcFixture<Numbered>::Producer& producer, std::uint64_t id,
                    std::uint64_t messages, std::uint32_t batch, const std::atomic<bool>& failed) {
  for (std::uint64_t i = 0; i < messages && !failed;) {
    auto claim = batch == 1 ? producer.try_claim()
                            : producer.try_claim_some(static_cast<std::uint32_t>(
                                  std::min<std::uint64_t>(batch, messages - i)));
    if (!claim) {
      ASSERT_NE(producer.outcome(), ClaimOutcome::kCorrupt);
      std::this_thread::yield();
      continue;
    }
    for (std::uint32_t k = 0; k < claim->size(); ++k) {
      (*claim)[k] = {id, i + k, check_of(id, i + k)};
    }
    i += claim->size();
    std::move(*claim).commit();
    // A discarded claim now and then, so that tombstones take part.
    if (i % 97 == 0) auto discarded = producer.try_claim();
  }
}

struct Received {
  std::vector<std::uint64_t> next_at_least;  // of each producer: in order for each consumer
  std::uint64_t count = 0;
  bool torn = false;
  bool disordered = false;
};

// Each producer sends `messages` through a fresh ring; each of them has to arrive exactly once,
// whole, and in its producer's order. `watchdog_seconds` is for the case that it hangs.
inline void expect_flow(const Flow& flow, std::uint64_t messages, unsigned watchdog_seconds) {
  alarm(watchdog_seconds);
  MpmcFixture<Numbered> ring(flow.capacity, flow.producers + flow.consumers);
  std::vector<std::vector<std::atomic<std::uint8_t>>> seen(flow.producers);
  for (auto& each : seen) each = std::vector<std::atomic<std::uint8_t>>(messages);
  std::vector<Received> received(flow.consumers);
  std::atomic<std::uint64_t> left{messages * flow.producers};
  std::atomic<bool> failed{false};

  std::vector<std::thread> threads;
  for (std::uint32_t c = 0; c < flow.consumers; ++c) {
    threads.emplace_back([&, c] {
      MpmcFixture<Numbered>::Consumer consumer(ring.ring, flow.producers + c);
      Received& mine = received[c];
      mine.next_at_least.resize(flow.producers);
      while (left.load(std::memory_order_relaxed) != 0 && !failed) {
        const auto taken = consumer.try_next_some(flow.batch);
        if (!taken) {
          ASSERT_NE(consumer.outcome(), ReadOutcome::kCorrupt);
          std::this_thread::yield();
          continue;
        }
        for (std::size_t k = 0; k < taken->size(); ++k) {
          const Numbered value = (*taken)[k];
          mine.torn |= value.check != check_of(value.producer, value.number);
          if (mine.torn) {
            failed = true;
            return;
          }
          mine.disordered |= value.number < mine.next_at_least[value.producer];
          mine.next_at_least[value.producer] = value.number + 1;
          seen[value.producer][value.number].fetch_add(1, std::memory_order_relaxed);
        }
        left.fetch_sub(taken->size(), std::memory_order_relaxed);
      }
    });
  }
  for (std::uint32_t p = 0; p < flow.producers; ++p) {
    threads.emplace_back([&, p] {
      MpmcFixture<Numbered>::Producer producer(ring.ring, p);
      produce(producer, p, messages, flow.batch, failed);
    });
  }
  for (auto& thread : threads) thread.join();

  for (const Received& each : received) {
    EXPECT_FALSE(each.torn);
    EXPECT_FALSE(each.disordered);
  }
  for (const auto& each : seen) {
    for (const auto& times : each) ASSERT_EQ(times.load(), 1);
  }
  alarm(0);
}

}  // namespace rondo::testing
