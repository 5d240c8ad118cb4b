// Shows the newest quote for as long as a process publishes it. Values that came and went between
// two looks are not missed.
#include <chrono>
#include <iostream>
#include <rondo/core/latest_open.hpp>
#include <thread>

#include "quote.hpp"

using namespace std::chrono_literals;

int main() {
  auto reader = rondo::latest<Quote>::open_reader("shm:example-eurusd", {.timeout = 10s});
  if (!reader) return std::cerr << reader.error().message << '\n', 1;
  for (Quote quote; reader->peer() != rondo::Presence::kAbsent; std::this_thread::sleep_for(20ms)) {
    if (!reader->changed() || reader->try_load(quote) != rondo::LatestRead::kValue) continue;
    std::cout << quote.bid << " / " << quote.ask << std::endl;
  }
}
