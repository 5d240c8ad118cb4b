// Little, but some of it is in the library.
#include <rondo/core/record_ring.hpp>

int main() { return rondo::record_ring::layout_for({}) ? 0 : 1; }
