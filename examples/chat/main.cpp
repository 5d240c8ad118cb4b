// A chat: what one says, all others hear. One thread at each side waits for all there is.
//
//   chat serve unix:@chat      until Ctrl-C; and then, in other terminals, as often as you like:
//   chat join unix:@chat anna
//
// Who does not read what the others say is let go of, when its buffers are full: one that is slow
// holds nobody up.
#include <unistd.h>

#include <array>
#include <cstdio>
#include <map>
#include <rondo/rondo.hpp>
#include <string>
#include <string_view>

namespace {

using rondo::Connection;
using rondo::Status;
using rondo::WaitSet;
using Key = WaitSet::Key;

int complain(std::string_view what) {
  std::fprintf(stderr, "chat: %.*s\n", static_cast<int>(what.size()), what.data());
  return 1;
}

int serve(const char* url) {
  auto listener = rondo::Listener::open(url, {.connections = 100});
  if (!listener) return complain(listener.error().message);
  std::printf("%s\n", listener->info().name.c_str());
  std::fflush(stdout);
  auto set = WaitSet::make();
  if (!set) return complain(set.error().message);
  constexpr Key kListener = 0;
  if (auto added = set->add(*listener, kListener); !added) return complain(added.error().message);

  std::map<Key, Connection> people;  // a map: a member of the set stays in its place
  Key last = kListener;
  std::array<Key, 16> room{};
  while (const auto ready = set->wait(room)) {
    for (const Key key : *ready) {
      if (key == kListener) {
        auto connection = listener->accept(rondo::Deadline::now());
        if (connection.status() == Status::kPeerGone || connection.status() == Status::kIoError) {
          return complain("nobody can come any more");  // and the listener stays ready
        }
        if (!connection) continue;
        auto& one = people.emplace(++last, std::move(*connection)).first->second;
        if (!set->add(one.receiver, last)) people.erase(last);
        continue;
      }
      const auto speaker = people.find(key);
      if (speaker == people.end()) continue;
      while (const auto message = speaker->second.receiver.try_next()) {
        for (auto& [other, one] : people) {
          // One without room has not read for a long time; its receiver finds the end.
          if (other != key && one.sender.try_send(message->bytes()) != Status::kOk) {
            one.sender.close(rondo::Deadline::now());
          }
        }
      }
      const bool over = speaker->second.receiver.status() != Status::kOk;
      if (over || speaker->second.sender.status() != Status::kOk) {
        set->remove(key);
        people.erase(speaker);
      }
    }
  }
  return 0;
}

int join(const char* url, const std::string& name) {
  auto connection = Connection::open(url);
  if (!connection) return complain(connection.error().message);
  auto set = WaitSet::make();
  if (!set) return complain(set.error().message);
  constexpr Key kInput = 0;
  constexpr Key kOthers = 1;
  if (!set->add_descriptor(STDIN_FILENO, false, kInput)) return complain("no input");
  if (!set->add(connection->receiver, kOthers)) return complain("can't wait for the others");
  std::string line;
  std::array<Key, 2> room{};
  while (const auto ready = set->wait(room)) {
    for (const Key key : *ready) {
      if (key == kInput) {
        std::array<char, 512> typed{};
        const ssize_t size = read(STDIN_FILENO, typed.data(), typed.size());
        if (size <= 0) return connection->sender.close() == Status::kOk ? 0 : 1;
        for (const char c : std::string_view(typed.data(), static_cast<std::size_t>(size))) {
          if (c != '\n') {
            line += c;
          } else if (connection->sender.send(name + ": " + std::exchange(line, {})) !=
                     Status::kOk) {
            return complain("the server has gone");
          }
        }
        continue;
      }
      while (const auto message = connection->receiver.try_next()) {
        std::printf("%.*s\n", static_cast<int>(message->size()), message->text().data());
        std::fflush(stdout);
      }
      if (connection->receiver.status() != Status::kOk) return complain("the server has gone");
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (argc == 3 && what == "serve") return serve(argv[2]);
  if (argc == 4 && what == "join") return join(argv[2], argv[3]);
  return complain("usage: chat serve URL | chat join URL NAME"), 2;
}
