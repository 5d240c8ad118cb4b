// The thread's queue of OpenSSL's errors, which is the program's, too: what the program has in it
// is not taken for ours, and is there again afterwards. (A handshake clears the queue, marks
// included, so that ERR_set_mark() does not keep it.)
#pragma once

#include <openssl/err.h>

#include <array>
#include <cstddef>
#include <cstdio>

#include "rondo/core/version.hpp"

namespace rondo::inline RONDO_ABI::detail {

// The queue is empty when it is made, and as it was before when it is gone.
class ErrorQueue {
 public:
  ErrorQueue() noexcept {
    Saved one;
    while (count_ < saved_.size() &&
           (one.code = ERR_get_error_all(&one.file, &one.line, &one.function, &one.data,
                                         &one.flags)) != 0) {
      // The strings are the queue's own, which are written over.
      saved_[count_].code = one.code;
      saved_[count_].line = one.line;
      copy(saved_[count_].file, one.file);
      copy(saved_[count_].function, one.function);
      copy(saved_[count_].data, (one.flags & ERR_TXT_STRING) != 0 ? one.data : nullptr);
      ++count_;
    }
  }
  ErrorQueue(const ErrorQueue&) = delete;
  ErrorQueue& operator=(const ErrorQueue&) = delete;
  ~ErrorQueue() {
    ERR_clear_error();
    for (std::size_t i = 0; i < count_; ++i) {
      const Kept& one = saved_[i];
      ERR_new();
      ERR_set_debug(one.file.data(), one.line, one.function.data());
      if (one.data[0] != '\0') {
        ERR_set_error(ERR_GET_LIB(one.code), ERR_GET_REASON(one.code), "%s", one.data.data());
      } else {
        ERR_set_error(ERR_GET_LIB(one.code), ERR_GET_REASON(one.code), nullptr);
      }
    }
  }

 private:
  using Text = std::array<char, 128>;
  struct Saved {
    unsigned long code = 0;
    const char* file = nullptr;
    const char* function = nullptr;
    const char* data = nullptr;
    int line = 0;
    int flags = 0;
  };
  struct Kept {
    unsigned long code;
    int line;
    Text file;
    Text function;
    Text data;
  };

  static void copy(Text& to, const char* from) noexcept {
    std::snprintf(to.data(), to.size(), "%s", from != nullptr ? from : "");
  }

  std::array<Kept, 16> saved_;  // ERR_NUM_ERRORS; not written to where there is nothing to keep
  std::size_t count_ = 0;
};

}  // namespace rondo::inline RONDO_ABI::detail
