#include "receiving_end.hpp"

#include <string_view>

#include "rondo/rondo.hpp"
#include "say.hpp"
#include "units.hpp"

namespace rondo::program {
namespace {

// What of datagrams is neither a message nor one that is lost.
void say_what_else_came(const DatagramsInfo& datagrams) {
  struct Told {
    std::uint64_t count;
    std::string_view what;
  };
  for (const auto& [count, what] : {
           Told{datagrams.before, "messages had been sent before the first that came"},
           Told{datagrams.late, "datagrams came behind a later one: too late"},
           Told{datagrams.duplicates, "datagrams came twice"},
           Told{datagrams.stale, "datagrams were an earlier sender's"},
           Told{datagrams.foreign, "datagrams were none of ours"},
           Told{datagrams.corrupt, "datagrams were changed on their way"},
           Told{datagrams.too_large, "datagrams were too large (capacity= makes room)"},
           Told{datagrams.overflows, "datagrams found no room in the buffer (buffer= makes more)"},
       }) {
    if (count > 0) say_note("{} {}", grouped(count), what);
  }
}

}  // namespace

void say_what_did_not_come(const Receiver& receiver, std::uint64_t received) {
  if (receiver.evicted()) say_note("was too slow; the sender waited for it no longer");
  if (receiver.lost() != 0) {
    say_note("received {} messages, lost {}", grouped(received), grouped(receiver.lost()));
  }
  const ChannelInfo info = receiver.info();
  const auto* const datagrams = info.as<DatagramsInfo>();
  if (datagrams != nullptr) say_what_else_came(*datagrams);
}

}  // namespace rondo::program
