// Boost.Interprocess message_queue: the one of the two that must not wait for the other keeps a
// mutex for the time of a copy. Asked without sleeping, which is its fastest.
#include <algorithm>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <string>
#include <vector>

#include "rivals/engine.hpp"
#include "rivals/processes.hpp"

namespace rondo::bench {
namespace {

namespace ipc = boost::interprocess;

class InterprocessEnds {
 public:
  static constexpr Manner kManner{.spins = true};

  static void prepare(const Place& place, const Task& task) {
    remove(place.name);
    const std::size_t messages =
        std::clamp<std::size_t>((std::size_t{4} << 20) / task.bytes, 8, 1024);
    for (const bool answers : {false, true}) {
      const ipc::message_queue made(ipc::create_only, name_of(place.name, answers).c_str(),
                                    messages, task.bytes);
    }
  }
  InterprocessEnds(const Place& place, const Task& task)
      : out_(ipc::open_only, name_of(place.name, place.answers).c_str()),
        in_(ipc::open_only, name_of(place.name, !place.answers).c_str()),
        buffer_(task.bytes / 8) {}

  void send(std::size_t bytes, std::uint64_t i) {
    write_message(buffer_.data(), bytes, i);
    while (!out_.try_send(buffer_.data(), bytes, 0)) cpu_relax();
  }
  void receive(Checker& checker, std::size_t bytes, std::uint64_t i) {
    std::size_t size = 0;
    unsigned priority = 0;
    while (!in_.try_receive(buffer_.data(), buffer_.size() * 8, size, priority)) cpu_relax();
    if (size != bytes) fail("a message of another size arrived");
    checker.read_message(buffer_.data(), bytes, i);
  }

  static void remove(const std::string& name) {
    for (const bool answers : {false, true}) {
      ipc::message_queue::remove(name_of(name, answers).c_str());
    }
  }

 private:
  static std::string name_of(const std::string& name, bool answers) {
    return name + (answers ? "-boost-back" : "-boost-there");
  }

  ipc::message_queue out_, in_;
  std::vector<std::uint64_t> buffer_;
};

}  // namespace

Engine boost_interprocess() {
  return engine_of<InterprocessEnds>("Boost message_queue", {1500, 200, 0.3});
}

}  // namespace rondo::bench
