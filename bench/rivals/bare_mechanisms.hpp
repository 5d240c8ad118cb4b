// The system's mechanisms as a program uses them that knows nothing but them: for adapters_compare,
// one direction, from one thread to another. Each is a class
//
//   send(bytes, i)            message i alone: a system call
//   receive(checker, ...)     the same
//   send_batch, receive_batch of kBatch messages: as few system calls as the mechanism has for them
//
// Message i is written in full and read in full (payload.hpp). A byte stream has no boundaries, so
// in a batch each message stands behind a word with its length, as a program would have it whose
// messages are not all of one size.
#pragma once

#include <mqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rondo/core/descriptor.hpp"
#include "support/payload.hpp"

namespace rondo::bench {

inline constexpr std::size_t kBatch = 32;

// One direction of a mechanism. False: a call failed, or something else came than was sent.
class BareWay {
 public:
  virtual ~BareWay() = default;
  virtual bool send(std::size_t bytes, std::uint64_t i) = 0;
  virtual bool receive(Checker& checker, std::size_t bytes, std::uint64_t i) = 0;
  // Messages i to i + kBatch - 1.
  virtual bool send_batch(std::size_t bytes, std::uint64_t i) = 0;
  virtual bool receive_batch(Checker& checker, std::size_t bytes, std::uint64_t i) = 0;
};

using detail::UniqueFd;

struct TwoEnds {
  UniqueFd out, in;
  explicit operator bool() const { return out && in; }
};

inline TwoEnds bare_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return {};
  return {UniqueFd(ends[1]), UniqueFd(ends[0])};
}

inline TwoEnds bare_unix(int type) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) return {};
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

inline UniqueFd loopback_socket(int type, sockaddr_in& address) {
  UniqueFd made(socket(AF_INET, type | SOCK_CLOEXEC, 0));
  address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const any = reinterpret_cast<sockaddr*>(&address);
  if (bind(made.get(), any, length) != 0 || getsockname(made.get(), any, &length) != 0) return {};
  return made;
}

inline TwoEnds bare_tcp() {
  sockaddr_in address{};
  const UniqueFd listener = loopback_socket(SOCK_STREAM, address);
  if (!listener || listen(listener.get(), 1) != 0) return {};
  UniqueFd out(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (connect(out.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return {};
  UniqueFd in(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  const int one = 1;
  setsockopt(out.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return {std::move(out), std::move(in)};
}

inline TwoEnds bare_udp() {
  sockaddr_in there{}, here{};
  UniqueFd in = loopback_socket(SOCK_DGRAM, there);
  UniqueFd out = loopback_socket(SOCK_DGRAM, here);
  if (!in || !out || connect(out.get(), reinterpret_cast<sockaddr*>(&there), sizeof there) != 0 ||
      connect(in.get(), reinterpret_cast<sockaddr*>(&here), sizeof here) != 0) {
    return {};
  }
  return {std::move(out), std::move(in)};
}

// How whole buffers are moved; of a byte stream, a read may bring less than was asked for.
struct PlainMover {
  TwoEnds ends;
  bool put(const std::byte* from, std::size_t size) {
    for (std::size_t done = 0; done < size;) {
      const ssize_t n = write(ends.out.get(), from + done, size - done);
      if (n <= 0) return false;
      done += static_cast<std::size_t>(n);
    }
    return true;
  }
  std::size_t get(std::byte* to, std::size_t room) {
    const ssize_t n = read(ends.in.get(), to, room);
    return n <= 0 ? 0 : static_cast<std::size_t>(n);
  }
};

// A byte stream.
template <class Mover>
class BareStream final : public BareWay {
 public:
  BareStream(Mover mover, std::size_t bytes)
      : mover_(std::move(mover)),
        out_(std::max(kBatch * (bytes + 8), bytes)),
        in_(kRoom + out_.size()) {}

  bool send(std::size_t bytes, std::uint64_t i) override {
    write_message(out_.data(), bytes, i);
    return mover_.put(out_.data(), bytes);
  }
  bool receive(Checker& checker, std::size_t bytes, std::uint64_t i) override {
    for (std::size_t done = 0; done < bytes;) {
      const std::size_t n = mover_.get(in_.data() + done, bytes - done);
      if (n == 0) return false;
      done += n;
    }
    checker.read_message(in_.data(), bytes, i);
    return true;
  }
  bool send_batch(std::size_t bytes, std::uint64_t i) override {
    std::byte* at = out_.data();
    for (std::uint64_t k = i; k < i + kBatch; ++k) {
      const std::uint64_t length = bytes;
      std::memcpy(at, &length, 8);
      write_message(at + 8, bytes, k);
      at += 8 + bytes;
    }
    return mover_.put(out_.data(), static_cast<std::size_t>(at - out_.data()));
  }
  bool receive_batch(Checker& checker, std::size_t bytes, std::uint64_t i) override {
    for (std::uint64_t k = i; k < i + kBatch; ++k) {
      while (end_ - begin_ < 8 + bytes) {
        if (!fill()) return false;
      }
      std::uint64_t length = 0;
      std::memcpy(&length, in_.data() + begin_, 8);
      if (length != bytes) return false;
      checker.read_message(in_.data() + begin_ + 8, bytes, k);
      begin_ += 8 + bytes;
    }
    return true;
  }

 private:
  static constexpr std::size_t kRoom = 65536;

  bool fill() {
    std::memmove(in_.data(), in_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    const std::size_t n = mover_.get(in_.data() + end_, in_.size() - end_);
    end_ += n;
    return n > 0;
  }

  Mover mover_;
  std::vector<std::byte> out_, in_;
  std::size_t begin_ = 0, end_ = 0;  // of what has been read and not looked at
};

// Sockets that keep boundaries.
class BarePackets final : public BareWay {
 public:
  BarePackets(TwoEnds ends, std::size_t bytes)
      : ends_(std::move(ends)), out_(kBatch * bytes), in_(kBatch * bytes) {
    for (auto* const side : {&outgoing_, &incoming_}) {
      auto& buffer = side == &outgoing_ ? out_ : in_;
      for (std::size_t k = 0; k < kBatch; ++k) {
        side->pieces[k] = {buffer.data() + k * bytes, bytes};
        side->heads[k].msg_hdr.msg_iov = &side->pieces[k];
        side->heads[k].msg_hdr.msg_iovlen = 1;
      }
    }
  }

  bool send(std::size_t bytes, std::uint64_t i) override {
    write_message(out_.data(), bytes, i);
    return ::send(ends_.out.get(), out_.data(), bytes, 0) == static_cast<ssize_t>(bytes);
  }
  bool receive(Checker& checker, std::size_t bytes, std::uint64_t i) override {
    if (recv(ends_.in.get(), in_.data(), bytes, 0) != static_cast<ssize_t>(bytes)) return false;
    checker.read_message(in_.data(), bytes, i);
    return true;
  }
  bool send_batch(std::size_t bytes, std::uint64_t i) override {
    for (std::size_t k = 0; k < kBatch; ++k) write_message(out_.data() + k * bytes, bytes, i + k);
    for (std::size_t done = 0; done < kBatch;) {
      const int n = sendmmsg(ends_.out.get(), &outgoing_.heads[done],
                             static_cast<unsigned>(kBatch - done), 0);
      if (n <= 0) return false;
      done += static_cast<std::size_t>(n);
    }
    return true;
  }
  bool receive_batch(Checker& checker, std::size_t bytes, std::uint64_t i) override {
    for (std::size_t done = 0; done < kBatch;) {
      const int n = recvmmsg(ends_.in.get(), incoming_.heads, static_cast<unsigned>(kBatch - done),
                             MSG_WAITFORONE, nullptr);
      if (n <= 0) return false;
      for (std::size_t k = 0; k < static_cast<std::size_t>(n); ++k) {
        if (incoming_.heads[k].msg_len != bytes) return false;
        checker.read_message(in_.data() + k * bytes, bytes, i + done + k);
      }
      done += static_cast<std::size_t>(n);
    }
    return true;
  }

 private:
  struct Side {
    iovec pieces[kBatch]{};
    mmsghdr heads[kBatch]{};
  };
  TwoEnds ends_;
  std::vector<std::byte> out_, in_;
  Side outgoing_, incoming_;
};

// Queues have a call for one message, and none for several.
template <class Queue>
class BareQueue final : public BareWay {
 public:
  BareQueue(std::unique_ptr<Queue> queue, std::size_t bytes)
      : queue_(std::move(queue)), out_(1 + bytes / 8), in_(1 + bytes / 8) {}

  bool send(std::size_t bytes, std::uint64_t i) override {
    write_message(&out_[1], bytes, i);
    return queue_->put(out_.data(), bytes);
  }
  bool receive(Checker& checker, std::size_t bytes, std::uint64_t i) override {
    if (!queue_->get(in_.data(), bytes)) return false;
    checker.read_message(&in_[1], bytes, i);
    return true;
  }
  bool send_batch(std::size_t bytes, std::uint64_t i) override {
    for (std::uint64_t k = i; k < i + kBatch; ++k) {
      if (!send(bytes, k)) return false;
    }
    return true;
  }
  bool receive_batch(Checker& checker, std::size_t bytes, std::uint64_t i) override {
    for (std::uint64_t k = i; k < i + kBatch; ++k) {
      if (!receive(checker, bytes, k)) return false;
    }
    return true;
  }

 private:
  std::unique_ptr<Queue> queue_;
  std::vector<std::uint64_t> out_, in_;  // a word, which System V calls the type, and the message
};

class PosixQueue {
 public:
  // With the depth that the other side of the comparison has, too. Null: the system has no more.
  static std::unique_ptr<PosixQueue> make(const std::string& name, std::size_t bytes, long deep) {
    mq_attr attributes{};
    attributes.mq_msgsize = static_cast<long>(bytes);
    attributes.mq_maxmsg = deep;
    const mqd_t made = mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
    if (made < 0) return nullptr;
    mq_unlink(name.c_str());
    return std::unique_ptr<PosixQueue>(new PosixQueue(made));
  }
  PosixQueue(const PosixQueue&) = delete;
  PosixQueue& operator=(const PosixQueue&) = delete;
  ~PosixQueue() { mq_close(queue_); }

  bool put(const std::uint64_t* from, std::size_t bytes) {
    return mq_send(queue_, reinterpret_cast<const char*>(from + 1), bytes, 0) == 0;
  }
  bool get(std::uint64_t* to, std::size_t bytes) {
    return mq_receive(queue_, reinterpret_cast<char*>(to + 1), bytes, nullptr) ==
           static_cast<ssize_t>(bytes);
  }

 private:
  explicit PosixQueue(mqd_t queue) : queue_(queue) {}
  mqd_t queue_;
};

class SystemVQueue {
 public:
  static std::unique_ptr<SystemVQueue> make() {
    const int made = msgget(IPC_PRIVATE, 0600);
    if (made < 0) return nullptr;
    return std::unique_ptr<SystemVQueue>(new SystemVQueue(made));
  }
  SystemVQueue(const SystemVQueue&) = delete;
  SystemVQueue& operator=(const SystemVQueue&) = delete;
  ~SystemVQueue() { msgctl(queue_, IPC_RMID, nullptr); }

  bool put(std::uint64_t* from, std::size_t bytes) {
    from[0] = 1;
    return msgsnd(queue_, from, bytes, 0) == 0;
  }
  bool get(std::uint64_t* to, std::size_t bytes) {
    return msgrcv(queue_, to, bytes, 0, 0) == static_cast<ssize_t>(bytes);
  }

 private:
  static_assert(sizeof(long) == sizeof(std::uint64_t));
  explicit SystemVQueue(int queue) : queue_(queue) {}
  int queue_;
};

}  // namespace rondo::bench
