// Primitives opened by a name, each in a segment of its own:
//
//   auto mutex = sync::named<sync::mutex>("shm:orders");   // any number of processes
//   if (!mutex) { puts(mutex.error().message.c_str()); return 1; }
//   std::lock_guard lock(*mutex);
//
// The first process makes it, the others join it. Several that belong together, and what they
// guard, are better placed in one segment of their own: see common.hpp and member.hpp.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "rondo/core/common.hpp"
#include "rondo/core/opened.hpp"
#include "rondo/core/out_of_memory.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/version.hpp"
#include "rondo/sync/member.hpp"

namespace rondo::inline RONDO_ABI::sync {

namespace detail {

// What lies under a named primitive, at one address from its opening to its end.
template <class Part>
struct Standing {
  Attachment<common<Part>> attachment;
  std::optional<member> who;
  bool keep;
};

}  // namespace detail

// A primitive, and its place in the segment under its name. Leaves in order when it is destroyed;
// the last one takes the name away, unless `keep` was asked for, or the next process would have to
// learn something from the word (of a mutex: that somebody died with it, or that it is not
// recoverable; `rondo rm` does away with it then). One that is destroyed or leaves while it holds
// the primitive counts as dead.
//
// Move it only while no thread uses or holds it. A forked child has no part in it: there forked()
// is true, it can't be used, and nothing happens when it is destroyed; open another one.
template <class Primitive>
class Named : public Primitive {
 public:
  using Part = typename Primitive::Part;

  Named(Named&&) noexcept = default;
  Named& operator=(Named&& other) noexcept {
    if (this != &other) {
      leave();
      Primitive::operator=(std::move(other));
      standing_ = std::move(other.standing_);
    }
    return *this;
  }
  ~Named() { leave(); }

  // Who this process is in the segment. Not after leave().
  [[nodiscard]] const member& who() const noexcept { return *standing_->who; }
  [[nodiscard]] const Attachment<common<Part>>& attachment() const noexcept {
    return standing_->attachment;
  }
  [[nodiscard]] bool forked() const noexcept { return standing_ && attachment().forked(); }

  // Leaves in order, as the destructor does; it is not to be used any more. Blocking, for a second
  // at most. True if no other was left.
  bool leave() noexcept {
    const std::unique_ptr<detail::Standing<Part>> standing = std::move(standing_);
    if (!standing) return false;
    return standing->attachment.leave([&](bool last) {
      return last && !standing->keep && Primitive::settled(*standing->attachment.parts().object);
    });
  }

  // For named().
  explicit Named(std::unique_ptr<detail::Standing<Part>> standing) noexcept
      : Primitive(*standing->attachment.parts().object, *standing->who),
        standing_(std::move(standing)) {}

 private:
  std::unique_ptr<detail::Standing<Part>> standing_;
};

// Joins the primitive at "shm:NAME" or "file:PATH", or makes it there with `params`; one that is
// there is taken as it is. Blocking, for 5 seconds at most while another process is joining or
// leaving. Errors: common::open()'s; kGeometryMismatch (another primitive stands there),
// member::of()'s.
template <class Primitive>
[[nodiscard]] Result<Named<Primitive>> named(
    std::string_view name, const CommonParams<typename Primitive::Part>& params = {},
    const RingOptions& options = {}) {
  using Part = typename Primitive::Part;
  return rondo::detail::refuse_without_memory([&]() -> Result<Named<Primitive>> {
    auto attachment = common<Part>::open(name, params, options);
    if (!attachment) return std::move(attachment).error();
    // A member looks at the participants where they stay.
    std::unique_ptr<detail::Standing<Part>> standing(
        new detail::Standing<Part>{std::move(attachment).value(), std::nullopt, options.keep});
    auto who = member::of(standing->attachment.participants());
    if (!who) {
      standing->attachment.leave([](bool) { return false; });
      return std::move(who).error();
    }
    standing->who = *who;
    return Named<Primitive>(std::move(standing));
  });
}

}  // namespace rondo::inline RONDO_ABI::sync
