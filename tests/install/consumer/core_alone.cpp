// A ring over memory of one's own: header-only but for its set-up, and without an operating system.
#include <cstdio>
#include <memory>
#include <new>
#include <rondo/core/spsc_ring.hpp>
#include <span>

int main() {
  using Ring = rondo::spsc_ring<int>;
  const rondo::SpscParams params{.capacity = 8};
  const auto layout = Ring::layout_for(params);
  if (!layout) return 1;
  constexpr std::align_val_t kAlignment{rondo::kPartAlignment};
  auto* bytes = static_cast<std::byte*>(operator new(layout->total_bytes, kAlignment));
  auto parts = Ring::create({bytes, layout->total_bytes}, params);
  if (!parts) return 2;
  {
    Ring::Producer producer(*parts);
    Ring::Consumer consumer(*parts);
    int value = 0;
    if (!producer.try_push(42) || !consumer.try_pop(value) || value != 42) return 3;
  }
  operator delete(bytes, kAlignment);
  std::puts("a value went through");
  return 0;
}
