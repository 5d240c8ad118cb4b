// Stores the newest quote, ten times a second, for any number of readers (watch.cpp).
#include <chrono>
#include <iostream>
#include <rondo/core/latest_open.hpp>
#include <thread>

#include "quote.hpp"

using namespace std::chrono_literals;

int main() {
  auto writer = rondo::latest<Quote>::open_writer("shm:example-eurusd");
  if (!writer) return std::cerr << writer.error().message << '\n', 1;
  for (int i = 0; i < 50; ++i, std::this_thread::sleep_for(100ms)) {
    writer->store({1.0810 + i * 1e-5, 1.0812 + i * 1e-5});
  }
}  // the name goes with its writer
