// Message queues of the system's (mq: and sysv:), for tests of channels over them.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <mqueue.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "conformance/channel_fixture.hpp"
#include "support/names.hpp"
#include "support/system_call_filter.hpp"

namespace rondo::testing {

inline OpenOptions patient() { return {.wait = Deadline::after(std::chrono::seconds(60))}; }
inline OpenOptions briefly() { return {.wait = Deadline::after(std::chrono::milliseconds(30))}; }

enum class QueuePart : int { kSender, kReceiver, kMet, kName };

// A kind of queue, and what a test does to one of it without us.
struct QueueKind {
  const char* name;
  std::string (*fresh_url)();
  bool (*there)(const std::string& url);
  // Puts a message into it, and makes it if there is none.
  bool (*put)(const std::string& url, const std::string& message);
  // Whether any process has that part of it (open/queue.hpp).
  bool (*held)(const std::string& url, QueuePart part);
};

inline void PrintTo(const QueueKind& kind, std::ostream* out) { *out << kind.name; }

inline std::string posix_name(const std::string& url) { return url.substr(url.find(':') + 1); }
inline std::uint32_t sysv_key(const std::string& url) {
  return static_cast<std::uint32_t>(std::stoul(url.substr(url.find(':') + 1), nullptr, 0));
}

inline bool posix_there(const std::string& url) {
  const mqd_t queue = mq_open(posix_name(url).c_str(), O_RDONLY | O_CLOEXEC);
  if (queue < 0) return false;
  mq_close(queue);
  return true;
}
// One of somebody else's making.
inline mqd_t foreign_posix(const std::string& url, long slots, long slot_bytes) {
  mq_attr attributes{};
  attributes.mq_maxmsg = slots;
  attributes.mq_msgsize = slot_bytes;
  return mq_open(posix_name(url).c_str(), O_RDWR | O_CREAT | O_EXCL | O_NONBLOCK | O_CLOEXEC, 0600,
                 &attributes);
}
inline bool put_posix(const std::string& url, const std::string& message) {
  mqd_t queue = mq_open(posix_name(url).c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  if (queue < 0) queue = foreign_posix(url, 4, 128);
  if (queue < 0) return false;
  const bool put = mq_send(queue, message.data(), message.size(), 0) == 0;
  mq_close(queue);
  return put;
}

inline bool held_posix(const std::string& url, QueuePart part) {
  const mqd_t queue = mq_open(posix_name(url).c_str(), O_RDWR | O_CLOEXEC);
  if (queue < 0) return false;
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_start = static_cast<off_t>(part);
  lock.l_len = 1;
  const bool held = fcntl(queue, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
  mq_close(queue);
  return held;
}

struct SysvMessage {
  long type;
  char bytes[128];
};
inline bool put_sysv(int queue, long type, const std::string& text) {
  SysvMessage message{type, {}};
  std::copy(text.begin(), text.end(), message.bytes);
  return msgsnd(queue, &message, text.size(), IPC_NOWAIT) == 0;
}
inline int foreign_sysv(const std::string& url) {
  return msgget(static_cast<key_t>(sysv_key(url)), IPC_CREAT | IPC_EXCL | 0600);
}

inline bool sysv_there(const std::string& url) {
  return queue_at(sysv_key(url)) >= 0 || semaphores_at(sysv_key(url)) >= 0;
}
inline bool put_sysv_at(const std::string& url, const std::string& message) {
  const int queue = queue_at(sysv_key(url));
  return put_sysv(queue >= 0 ? queue : foreign_sysv(url), 1, message);
}
inline bool held_sysv(const std::string& url, QueuePart part) {
  return semctl(semaphores_at(sysv_key(url)), static_cast<int>(part), GETVAL) > 0;
}

inline constexpr QueueKind kPosix{"Posix", [] { return "mq:/" + unique_word(); }, posix_there,
                                  put_posix, held_posix};
inline constexpr QueueKind kSysv{"Sysv", [] { return "sysv:" + std::to_string(unique_key()); },
                                 sysv_there, put_sysv_at, held_sysv};

// Has that part of a queue that is there, as another process would.
class HeldPart {
 public:
  HeldPart(const QueueKind& kind, const std::string& url, QueuePart part) : part_(part) {
    if (kind.held == held_sysv) {
      semaphores_ = semaphores_at(sysv_key(url));
      if (!step(1)) ADD_FAILURE() << "semop";
      return;
    }
    queue_ = mq_open(posix_name(url).c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_start = static_cast<off_t>(part);
    lock.l_len = 1;
    if (fcntl(queue_, F_OFD_SETLK, &lock) != 0) ADD_FAILURE() << "F_OFD_SETLK";
  }
  HeldPart(const HeldPart&) = delete;
  HeldPart& operator=(const HeldPart&) = delete;
  ~HeldPart() {
    if (semaphores_ >= 0) step(-1);
    if (queue_ >= 0) mq_close(queue_);
  }

 private:
  bool step(int change) const {
    sembuf made{static_cast<unsigned short>(part_), static_cast<short>(change),
                SEM_UNDO | IPC_NOWAIT};
    return semop(semaphores_, &made, 1) == 0;
  }
  QueuePart part_;
  int semaphores_ = -1;
  mqd_t queue_ = -1;
};

class QueuesOf : public Watchdog {
 protected:
  explicit QueuesOf(const QueueKind& kind) : kind_(kind), url_(kind.fresh_url()) {}
  ~QueuesOf() override {
    EXPECT_FALSE(there()) << url_ << " was left behind";
    static_cast<void>(rondo::remove(url_, true));
  }
  [[nodiscard]] bool there() const { return kind_.there(url_); }
  template <class Handle>
  static Handle opened(Result<Handle> handle) {
    if (!handle) throw std::runtime_error(handle.error().message);
    return std::move(handle).value();
  }
  [[nodiscard]] Sender sender(const std::string& options = "") const {
    return opened(Sender::open(url_ + options, patient()));
  }
  [[nodiscard]] Receiver receiver(const std::string& options = "") const {
    return opened(Receiver::open(url_ + options, patient()));
  }
  struct Failing {
    long call;
    int error;
    Status sending;
    Status receiving;
  };
  void expect_of_calls(std::span<const Failing> table) const;
  void expect_message_of_opening(std::span<const std::pair<long, std::vector<int>>> opening) const;

  const QueueKind& kind_;
  std::string url_;
};

// What becomes of a message where a call fails, once the ends are open.
inline void QueuesOf::expect_of_calls(std::span<const Failing> table) const {
  for (const Failing& failing : table) {
    Child child([&] {
      auto pair = open_pair(url_);
      if (!pair || !forbid_system_call(failing.call, failing.error)) return 77;
      const Status sending = pair->first.try_send(bytes_of("x"));
      const Status receiving = pair->second.next(Deadline::now()).status();
      const bool as_told = sending == failing.sending && receiving == failing.receiving;
      _exit(as_told ? 0 : 10 + static_cast<int>(sending) * 16 + static_cast<int>(receiving));
    });
    const int result = child.join();
    if (result == 77) GTEST_SKIP() << "no seccomp here";
    EXPECT_EQ(result, 0) << failing.call << " " << failing.error;
    static_cast<void>(rondo::remove(url_, true));
  }
}

inline void QueuesOf::expect_message_of_opening(
    std::span<const std::pair<long, std::vector<int>>> opening) const {
  for (const auto& [call, errors] : opening) {
    for (const int error : errors) {
      Child child([&, call = call] {
        if (!forbid_system_call(call, error)) return 77;
        const auto sender = Sender::open(url_, briefly());
        return sender || !sender.error().message.empty() ? 0 : 2;
      });
      EXPECT_EQ(child.join(), 0) << call << " " << error;
      static_cast<void>(rondo::remove(url_, true));
    }
  }
}

}  // namespace rondo::testing
