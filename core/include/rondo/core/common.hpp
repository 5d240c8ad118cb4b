// common<T>: one T in a segment of its own, which all participants may read and write: a place for
// words that many share, such as the locks of sync and what they guard.
//
//   struct Book { sync::MutexPart mutex; std::uint64_t total; };
//   auto book = common<Book>::open("shm:book");   // each process; after a look at `book`
//   book->parts().object->total
//
// T lies behind the participant table, as its default constructor makes it in the first process
// that opens it. It is made of words of fixed width, without pointers: other programs, and other
// compilers, map the same bytes. Two types of one size can be told apart by `static constexpr
// std::uint32_t kCommonTag` in them, a number that is not 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "rondo/core/attachment.hpp"
#include "rondo/core/callback.hpp"
#include "rondo/core/life_cycle.hpp"
#include "rondo/core/opened.hpp"
#include "rondo/core/platform.hpp"
#include "rondo/core/position.hpp"
#include "rondo/core/result.hpp"
#include "rondo/core/segment_header.hpp"
#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI {

// Where everything lies, in bytes from the segment's start.
struct CommonLayout {
  std::uint64_t object;
  std::uint64_t total_bytes;
};

template <class T>
struct CommonParts {
  T* object;
  std::uint32_t participants;
};

template <class T>
struct CommonParams {
  std::uint32_t participants = 64;  // that can be attached at a time; 1 to 1024
  std::uint64_t instance_id = 0;    // 0: a random one
  // Called with a new object, before any other process can see it.
  FunctionRef<void(T&)> begin = {};
};

template <class T>
class common {
  static_assert(std::is_standard_layout_v<T> && std::is_trivially_destructible_v<T>);
  static_assert(alignof(T) <= kSharingRange && sizeof(T) <= (std::size_t{1} << 30));

 public:
  using Parts = CommonParts<T>;
  using Params = CommonParams<T>;

  // The life cycle; see life_cycle.hpp.
  [[nodiscard]] static Result<CommonLayout> layout_for(const Params& params = {}) {
    if (params.participants == 0 || params.participants > kMaxParticipants) {
      return Error{ErrorCode::kInvalidCapacity,
                   "no such segment: it has room for " + std::to_string(params.participants) +
                       " participants; possible are 1 to " + std::to_string(kMaxParticipants)};
    }
    return layout(params.participants);
  }
  [[nodiscard]] static Result<Parts> create(std::span<std::byte> memory,
                                            const Params& params = {}) {
    const Result<CommonLayout> layout = layout_for(params);
    if (!layout) return layout.error();
    const Geometry geometry{.kind = RingKind::kCommon,
                            .capacity = 1,
                            .slot_bytes = sizeof(T),
                            .participants = params.participants,
                            .feature_bits = tag(),
                            .total_bytes = layout->total_bytes,
                            .instance_id = params.instance_id};
    if (auto begun = detail::begin_ring(memory, geometry); !begun) return begun.error();
    T* const object = new (memory.data() + layout->object) T{};
    if (params.begin) params.begin(*object);
    finish_header(memory);
    return Parts{object, params.participants};
  }
  [[nodiscard]] static Result<Parts> attach(std::span<std::byte> memory,
                                            std::string_view what = "the segment") {
    const Result<Geometry> geometry = check_header(memory, RingKind::kCommon, what);
    if (!geometry) return geometry.error();
    return attach(memory, *geometry, what);
  }
  [[nodiscard]] static Result<Parts> attach(std::span<std::byte> memory, const Geometry& geometry,
                                            std::string_view what) {
    if (auto ours = detail::check_kind(geometry, RingKind::kCommon, what); !ours) {
      return ours.error();
    }
    if (geometry.slot_bytes != sizeof(T) || geometry.feature_bits != tag()) {
      return Error{ErrorCode::kGeometryMismatch,
                   std::string(what) + " holds an object of " +
                       std::to_string(geometry.slot_bytes) + " bytes with the tag " +
                       std::to_string(geometry.feature_bits) + ", this program's has " +
                       std::to_string(sizeof(T)) + " and the tag " + std::to_string(tag()) +
                       "; choose another name, or build both sides with the same type"};
    }
    if (geometry.participants == 0) {
      return Error{ErrorCode::kBadGeometry, std::string(what) + " has no participant slot"};
    }
    const CommonLayout place = layout(geometry.participants);
    if (auto sound = detail::check_layout(geometry, place.total_bytes, tag(), what); !sound) {
      return sound.error();
    }
    return Parts{std::launder(reinterpret_cast<T*>(memory.data() + place.object)),
                 geometry.participants};
  }

  // Joins the object at "shm:NAME" or "file:PATH", or makes it there with `params`; one that is
  // there is taken as it is. A participant that does not leave() counts as dead. Blocking, for 5
  // seconds at most while another process is joining or leaving. Errors: kInvalidUrl, kInvalidName,
  // kInvalidCapacity, kNoSlot, attach()'s, Segment::create()'s and attach()'s,
  // Participants::join()'s.
  [[nodiscard]] static Result<Attachment<common>> open(std::string_view name,
                                                       const Params& params = {},
                                                       const RingOptions& options = {}) {
    return detail::refuse_without_memory([&]() -> Result<Attachment<common>> {
      auto place = parse_ring_name(name);
      if (!place) return std::move(place).error();
      JoinRequest request{.role = Role::kBoth, .name = options.participant};
      // Any slot of those that the object was made with: known once it is found, before it is
      // joined.
      const auto any_slot = [&request](const Parts& found) -> Result<void> {
        request.slot_count = found.participants;
        return {};
      };
      return Attachment<common>::open_or_create({std::move(place).value(), options.segment}, params,
                                                request, any_slot);
    });
  }

 private:
  [[nodiscard]] static constexpr std::uint64_t tag() noexcept {
    if constexpr (requires { T::kCommonTag; }) return T::kCommonTag;
    return 0;
  }
  [[nodiscard]] static constexpr CommonLayout layout(std::uint32_t participants) noexcept {
    const std::uint64_t object = after_participants(participants);
    return {object, object + round_up(sizeof(T), kPartAlignment)};
  }
};

}  // namespace rondo::inline RONDO_ABI
