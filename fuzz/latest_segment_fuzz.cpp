// Any bytes as a last-value cell's segment: attaching, loading and storing stay inside the memory,
// and come to an end, whatever stands there.
#include <array>
#include <cstring>
#include <optional>

#include "input.hpp"
#include "rondo/core/latest.hpp"

using namespace rondo;

namespace {
using Value = std::array<unsigned char, 43>;
using Cell = latest<Value>;
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const LatestParams params{.buffers = 2u << input.take<std::uint8_t>() % 4,
                            .waiters = input.take<std::uint8_t>() % 4u};
  const auto layout = Cell::layout_for(params);
  fuzz::Memory memory(layout->total_bytes);
  if (!Cell::create(memory.bytes(), params)) __builtin_trap();

  std::optional<LatestParts> parts;
  std::optional<Cell::Writer> writer;
  std::optional<Cell::Reader> reader;
  Value last{};
  std::uint64_t stored_among = 0;  // buffers, for the writer that stored last
  bool honest = false;             // no word was overwritten since that store
  while (!input.empty()) {
    const auto operation = input.take<std::uint8_t>();
    switch (operation % 6) {
      case 0:
        memory.scribble(input, layout->writer);
        honest = false;
        break;
      case 1:
        if (auto attached = Cell::attach(memory.bytes())) parts = *attached;
        break;
      case 2:
        if (parts) writer.emplace(*parts);
        break;
      case 3:
        if (parts) reader.emplace(*parts);
        break;
      case 4:
        if (writer) {
          last.fill(operation);
          writer->store(last);
          stored_among = writer->parts().buffers;
          honest = writer->version() != 0;
        }
        break;
      case 5:
        if (reader) {
          Value seen{};
          const LatestRead read = reader->try_load(seen);
          // A handle attached when the header lied knows another number of buffers.
          if (honest && reader->parts().buffers == stored_among) {
            RONDO_FUZZ_CHECK(read == LatestRead::kValue && seen == last);
          }
          static_cast<void>(reader->changed());
        }
        break;
    }
  }
  return 0;
}
