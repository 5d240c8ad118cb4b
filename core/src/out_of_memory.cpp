#include "rondo/core/out_of_memory.hpp"

#include <exception>

namespace rondo::inline RONDO_ABI::detail {
namespace {

const SetUp*& innermost() noexcept {
  thread_local const SetUp* set_up = nullptr;
  return set_up;
}

}  // namespace

SetUp::SetUp() noexcept : outer_(innermost()), exceptions_(std::uncaught_exceptions()) {
  innermost() = this;
}
SetUp::~SetUp() { innermost() = outer_; }

bool SetUp::fails() noexcept {
  const SetUp* const here = innermost();
  return here != nullptr && std::uncaught_exceptions() > here->exceptions_;
}

}  // namespace rondo::inline RONDO_ABI::detail
