// iceoryx: a publisher and a subscriber each way, chunks written and read in place, asked without
// sleeping. Its daemon is started here, if none runs, and ends with this program.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "iceoryx_hoofs/log/logmanager.hpp"
#include "iceoryx_posh/popo/untyped_publisher.hpp"
#include "iceoryx_posh/popo/untyped_subscriber.hpp"
#include "iceoryx_posh/runtime/posh_runtime.hpp"
#include "rivals/engine.hpp"
#include "rivals/processes.hpp"

namespace rondo::bench {
namespace {

class IceoryxEnds {
 public:
  static constexpr Manner kManner{.spins = true, .lasting = true};

  IceoryxEnds(const Place& place, const Task&)
      : runtime_(begin(place)), small_(place, "small", 128), large_(place, "large", 8) {}

  void send(std::size_t bytes, std::uint64_t i) {
    iox::popo::UntypedPublisher& publisher = ports(bytes).publisher;
    for (;;) {
      auto chunk = publisher.loan(static_cast<std::uint32_t>(bytes));
      if (chunk.has_error()) {  // all are on their way
        cpu_relax();
        continue;
      }
      write_message(chunk.value(), bytes, i);
      publisher.publish(chunk.value());
      return;
    }
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    iox::popo::UntypedSubscriber& subscriber = ports(bytes).subscriber;
    for (;;) {
      auto chunk = subscriber.take();
      if (chunk.has_error()) {
        cpu_relax();
        continue;
      }
      const void* const data = chunk.value();
      if (iox::mepoo::ChunkHeader::fromUserPayload(data)->userPayloadSize() != bytes) {
        fail("a message of another size arrived");
      }
      checker.read_message(data, bytes, i);
      subscriber.release(data);
      return;
    }
  }

 private:
  using Text = iox::capro::IdString_t;

  static bool begin(const Place& place) {
    iox::log::LogManager::GetLogManager().SetDefaultLogLevel(
        iox::log::LogLevel::kOff, iox::log::LogLevelOutput::kHideLogLevel);
    const std::string name = place.name + (place.answers ? "-answers" : "-asks");
    iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name));
    return true;
  }
  // One for each way. The queue holds what the daemon has chunks for, of its default kinds: 200 of
  // 128 KiB, 30 of 1 MiB.
  struct Ports {
    Ports(const Place& place, const std::string& kind, std::uint64_t queue)
        : publisher(service(place, kind, place.answers), publisher_options()),
          subscriber(service(place, kind, !place.answers), subscriber_options(queue)) {
      while (!publisher.hasSubscribers() ||
             subscriber.getSubscriptionState() != iox::SubscribeState::SUBSCRIBED) {
        usleep(1000);
      }
    }
    iox::popo::UntypedPublisher publisher;
    iox::popo::UntypedSubscriber subscriber;
  };
  static iox::capro::ServiceDescription service(const Place& place, const std::string& kind,
                                                bool answers) {
    return {Text("rondo-bench"), Text(iox::cxx::TruncateToCapacity, place.name),
            Text(iox::cxx::TruncateToCapacity, kind + (answers ? "-back" : "-there"))};
  }
  // Nothing may be lost.
  static iox::popo::PublisherOptions publisher_options() {
    iox::popo::PublisherOptions options;
    options.subscriberTooSlowPolicy = iox::popo::ConsumerTooSlowPolicy::WAIT_FOR_CONSUMER;
    return options;
  }
  static iox::popo::SubscriberOptions subscriber_options(std::uint64_t queue) {
    iox::popo::SubscriberOptions options;
    options.queueCapacity = queue;
    options.queueFullPolicy = iox::popo::QueueFullPolicy::BLOCK_PRODUCER;
    return options;
  }
  Ports& ports(std::size_t bytes) { return bytes <= 128 << 10 ? small_ : large_; }

  bool runtime_;
  Ports small_, large_;
};

class Daemon {
 public:
  Daemon() {
    int said[2];
    if (pipe2(said, O_CLOEXEC) != 0) return;
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGTERM);  // on which it removes its shared memory
      if (getppid() != owner_) _exit(1);
      setpgid(0, 0);  // a Ctrl-C is not for it: it goes when the two processes have gone
      dup2(said[1], 1);
      dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), 2);
      execlp("iox-roudi", "iox-roudi", "--monitoring-mode", "off", "--log-level", "off", nullptr);
      _exit(1);
    }
    close(said[1]);
    // "RouDi is ready for clients"
    std::string text;
    pollfd ready{said[0], POLLIN, 0};
    char some[256];
    while (poll(&ready, 1, 10'000) == 1) {
      const ssize_t n = read(said[0], some, sizeof some);
      if (n <= 0) break;
      text.append(some, static_cast<std::size_t>(n));
      if (text.find("ready for clients") == text.npos) continue;
      ready_ = true;
      break;
    }
    // It has no more to say, and must not be stopped by a pipe that nobody reads.
    said_ = said[0];
  }
  Daemon(const Daemon&) = delete;
  Daemon& operator=(const Daemon&) = delete;
  ~Daemon() {
    if (getpid() == owner_ && pid_ > 0) {
      kill(pid_, SIGTERM);  // it removes its shared memory
      waitpid(pid_, nullptr, 0);
    }
    close(said_);
  }
  [[nodiscard]] bool ready() const { return ready_; }

 private:
  pid_t owner_ = getpid();  // and not a fork of it, which has this object as well
  pid_t pid_ = 0;
  int said_ = -1;
  bool ready_ = false;
};

bool start_daemon() {
  static const Daemon daemon;
  return daemon.ready();
}

}  // namespace

Engine iceoryx() {
  Engine engine = engine_of<IceoryxEnds>("iceoryx", {1500, 800, 0.1});
  engine.start = &start_daemon;
  return engine;
}

}  // namespace rondo::bench
