// What the options of a kind of ring may not be together.
#include "url/kinds.hpp"

namespace rondo::inline RONDO_ABI::detail {

Result<void> reject_for_frames(const ChannelOptions& options) {
  if (options.policy_given && options.reader.policy == ReaderPolicy::kReliable) {
    return Error{ErrorCode::kInvalidOption,
                 "the sender of a pool of frames does not wait: policy=reliable is not "
                 "possible; policy=lossy gets every frame that is still there, and readers=N "
                 "without kind=frames makes a ring whose sender waits"};
  }
  if (options.reader.from == ReaderStart::kSequence || options.reader.from == ReaderStart::kNext) {
    return Error{ErrorCode::kInvalidOption,
                 "in a pool of frames one starts at from=oldest or from=newest"};
  }
  if (options.reader_name.empty() && !options.evict && !options.capacity) return {};
  return Error{ErrorCode::kInvalidOption,
               "a pool of frames has no capacity=, name= or evict=; frames=, frame_size= and "
               "readers= say how large it is"};
}

}  // namespace rondo::inline RONDO_ABI::detail
