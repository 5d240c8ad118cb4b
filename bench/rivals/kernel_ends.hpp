// What the kernel offers between two processes. Descriptors are made before the fork; a sample
// leaves them empty.
#pragma once

#include <fcntl.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/eventfd.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "rivals/engine.hpp"

namespace rondo::bench {

// One of each for each way, and a pair of sockets. What has no name goes with its last descriptor;
// System V queues are removed here.
struct KernelObjects {
  struct Way {
    int write_end = -1, read_end = -1;
  };
  Way pipes[2], fifos[2];
  int unix_sockets[2] = {-1, -1}, tcp_sockets[2] = {-1, -1};
  int events[2] = {-1, -1};
  int system_v[2] = {-1, -1};

  // `queues`: those of System V as well, which stay when the process is killed.
  explicit KernelObjects(bool queues = true) {
    for (const int way : {0, 1}) {
      int ends[2];
      if (pipe2(ends, O_CLOEXEC) == 0) pipes[way] = {ends[1], ends[0]};
      fifos[way] = make_fifo();
      // The largest pipe that an ordinary user may have: better than the default for all sizes.
      for (const Way& each : {pipes[way], fifos[way]}) {
        fcntl(each.write_end, F_SETPIPE_SZ, 1 << 20);
      }
      events[way] = eventfd(0, EFD_CLOEXEC);
      if (!queues) continue;
      system_v[way] = msgget(IPC_PRIVATE, 0600);
      // More room needs root; it stays as it is without.
      msqid_ds state{};
      if (msgctl(system_v[way], IPC_STAT, &state) == 0) {
        state.msg_qbytes = 1 << 20;
        msgctl(system_v[way], IPC_SET, &state);
      }
    }
    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, unix_sockets);
    connect_tcp();
  }
  KernelObjects(const KernelObjects&) = delete;
  KernelObjects& operator=(const KernelObjects&) = delete;
  ~KernelObjects() {
    for (const int way : {0, 1}) {
      for (const int fd : {pipes[way].write_end, pipes[way].read_end, fifos[way].write_end,
                           fifos[way].read_end, unix_sockets[way], tcp_sockets[way], events[way]}) {
        close(fd);
      }
      msgctl(system_v[way], IPC_RMID, nullptr);
    }
  }

 private:
  static Way make_fifo() {
    char directory[] = "/tmp/rondo-bench-XXXXXX";
    if (mkdtemp(directory) == nullptr) return {};
    const std::string path = std::string(directory) + "/fifo";
    Way way;
    if (mkfifo(path.c_str(), 0600) == 0) {
      way.read_end = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);  // no writer yet
      way.write_end = open(path.c_str(), O_WRONLY | O_CLOEXEC);
      fcntl(way.read_end, F_SETFL, 0);
      unlink(path.c_str());
    }
    rmdir(directory);
    return way;
  }
  void connect_tcp() {
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    const int one = 1;
    if (bind(listener, any, length) == 0 && listen(listener, 1) == 0 &&
        getsockname(listener, any, &length) == 0) {
      tcp_sockets[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      if (connect(tcp_sockets[0], any, length) == 0) {
        tcp_sockets[1] = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
      }
      for (const int end : tcp_sockets) setsockopt(end, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    close(listener);
  }
};

// Blocking read and write.
class StreamEnds {
 public:
  static constexpr Manner kManner{};

  StreamEnds(int out, int in, std::size_t bytes) : out_(out), in_(in), buffer_(bytes / 8) {}

  void send(std::size_t bytes, std::uint64_t i) {
    write_message(buffer_.data(), bytes, i);
    for (std::size_t done = 0; done < bytes;) {
      const ssize_t n = write(out_, reinterpret_cast<char*>(buffer_.data()) + done, bytes - done);
      if (n <= 0) fail("write failed");
      done += static_cast<std::size_t>(n);
    }
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    for (std::size_t done = 0; done < bytes;) {
      const ssize_t n = read(in_, reinterpret_cast<char*>(buffer_.data()) + done, bytes - done);
      if (n <= 0) fail("read failed");
      done += static_cast<std::size_t>(n);
    }
    checker.read_message(buffer_.data(), bytes, i);
  }

 private:
  int out_, in_;
  std::vector<std::uint64_t> buffer_;
};

struct PipeEnds : StreamEnds {
  PipeEnds(const Place& place, const Task& task)
      : StreamEnds(place.kernel->pipes[place.answers].write_end,
                   place.kernel->pipes[!place.answers].read_end, task.bytes) {}
};
struct FifoEnds : StreamEnds {
  FifoEnds(const Place& place, const Task& task)
      : StreamEnds(place.kernel->fifos[place.answers].write_end,
                   place.kernel->fifos[!place.answers].read_end, task.bytes) {}
};
struct UnixEnds : StreamEnds {
  UnixEnds(const Place& place, const Task& task)
      : StreamEnds(place.kernel->unix_sockets[place.answers],
                   place.kernel->unix_sockets[place.answers], task.bytes) {}
};
struct TcpEnds : StreamEnds {
  TcpEnds(const Place& place, const Task& task)
      : StreamEnds(place.kernel->tcp_sockets[place.answers],
                   place.kernel->tcp_sockets[place.answers], task.bytes) {}
};

// A POSIX message queue each way, as deep as the system allows.
class PosixQueueEnds {
 public:
  static constexpr Manner kManner{};

  static void prepare(const Place& place, const Task& task) {
    for (const bool answers : {false, true}) {
      const mqd_t made = make(name_of(place, answers), task.bytes);
      if (made < 0) fail("mq_open failed");
      mq_close(made);
    }
  }
  PosixQueueEnds(const Place& place, const Task& task)
      : out_(mq_open(name_of(place, place.answers).c_str(), O_WRONLY)),
        in_(mq_open(name_of(place, !place.answers).c_str(), O_RDONLY)),
        buffer_(task.bytes / 8) {
    if (out_ < 0 || in_ < 0) fail("mq_open failed");
  }
  PosixQueueEnds(const PosixQueueEnds&) = delete;
  PosixQueueEnds& operator=(const PosixQueueEnds&) = delete;
  ~PosixQueueEnds() {
    mq_close(out_);
    mq_close(in_);
  }

  void send(std::size_t bytes, std::uint64_t i) {
    write_message(buffer_.data(), bytes, i);
    if (mq_send(out_, reinterpret_cast<char*>(buffer_.data()), bytes, 0) != 0) {
      fail("mq_send failed");
    }
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    const ssize_t n =
        mq_receive(in_, reinterpret_cast<char*>(buffer_.data()), buffer_.size() * 8, nullptr);
    if (n < 0 || static_cast<std::size_t>(n) != bytes) fail("a message of another size arrived");
    checker.read_message(buffer_.data(), bytes, i);
  }

  static void remove(const std::string& place_name) {
    for (const char* way : {"-there", "-back"}) mq_unlink(("/" + place_name + way).c_str());
  }
  // The largest message that a queue may be made for.
  static std::size_t largest(const std::string& place_name) {
    for (const std::size_t bytes : {kLargestMessage, kLargestMessage / 16, kLargestMessage / 128}) {
      const mqd_t made = make("/" + place_name + "-there", bytes);
      if (made < 0) continue;
      mq_close(made);
      remove(place_name);
      return bytes;
    }
    return 0;
  }

 private:
  static std::string name_of(const Place& place, bool answers) {
    return "/" + place.name + (answers ? "-back" : "-there");
  }
  static mqd_t make(const std::string& name, std::size_t bytes) {
    mq_unlink(name.c_str());  // that of the last sample
    // For root; without, 800 kB.
    const rlimit much{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_MSGQUEUE, &much);
    mq_attr attributes{};
    attributes.mq_msgsize = static_cast<long>(bytes);
    mqd_t made = -1;
    for (const std::size_t deep : {kLargestMessage / bytes, std::size_t{64}, std::size_t{10}}) {
      attributes.mq_maxmsg = static_cast<long>(std::clamp<std::size_t>(deep, 8, 1024));
      made = mq_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600, &attributes);
      if (made >= 0) break;
    }
    return made;
  }

  mqd_t out_, in_;
  std::vector<std::uint64_t> buffer_;
};

// A System V message queue each way.
class SystemVEnds {
 public:
  static constexpr Manner kManner{};

  SystemVEnds(const Place& place, const Task& task)
      : out_(place.kernel->system_v[place.answers]),
        in_(place.kernel->system_v[!place.answers]),
        buffer_(1 + task.bytes / 8) {}

  void send(std::size_t bytes, std::uint64_t i) {
    buffer_[0] = 1;  // the type
    write_message(&buffer_[1], bytes, i);
    if (msgsnd(out_, buffer_.data(), bytes, 0) != 0) fail("msgsnd failed");
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    const ssize_t n = msgrcv(in_, buffer_.data(), (buffer_.size() - 1) * 8, 0, 0);
    if (n < 0 || static_cast<std::size_t>(n) != bytes) fail("a message of another size arrived");
    checker.read_message(&buffer_[1], bytes, i);
  }

  static std::size_t largest() {
    std::size_t bytes = 0;
    std::ifstream("/proc/sys/kernel/msgmax") >> bytes;
    return bytes / 8 * 8;
  }

 private:
  static_assert(sizeof(long) == sizeof(std::uint64_t));
  int out_, in_;
  std::vector<std::uint64_t> buffer_;
};

// Floors of a round trip that sleeps: the message lies in shared memory, and only the wake-up goes
// through the kernel. One message at a time.
class EventEnds {
 public:
  static constexpr Manner kManner{.streams = false};

  EventEnds(const Place& place, const Task&)
      : out_(place.way_out()),
        in_(place.way_in()),
        wake_(place.kernel->events[place.answers]),
        wait_(place.kernel->events[!place.answers]) {}

  void send(std::size_t bytes, std::uint64_t i) {
    write_message(out_, bytes, i);
    const std::uint64_t one = 1;
    if (write(wake_, &one, sizeof one) != sizeof one) fail("write failed");
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    std::uint64_t count = 0;
    if (read(wait_, &count, sizeof count) != sizeof count) fail("read failed");
    checker.read_message(in_, bytes, i);
  }

 private:
  std::byte *out_, *in_;
  int wake_, wait_;
};

class FutexEnds {
 public:
  static constexpr Manner kManner{.streams = false};

  static void prepare(const Place& place, const Task&) {
    for (std::byte* way : {place.way_out(), place.way_in()}) count_of(way).store(0);
  }
  FutexEnds(const Place& place, const Task&) : out_(place.way_out()), in_(place.way_in()) {}

  void send(std::size_t bytes, std::uint64_t i) {
    write_message(out_ + kHeader, bytes, i);
    auto& count = count_of(out_);
    // relaxed: nobody else writes it.
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_release);
    syscall(SYS_futex, &count, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    auto& count = count_of(in_);
    while (count.load(std::memory_order_acquire) == received_) {
      syscall(SYS_futex, &count, FUTEX_WAIT, received_, nullptr, nullptr, 0);
    }
    ++received_;
    checker.read_message(in_ + kHeader, bytes, i);
  }

 private:
  static constexpr std::size_t kHeader = kSharingRange;
  static std::atomic<std::uint32_t>& count_of(std::byte* way) {
    return *reinterpret_cast<std::atomic<std::uint32_t>*>(way);
  }

  std::byte *out_, *in_;
  std::uint32_t received_ = 0;
};

}  // namespace rondo::bench
