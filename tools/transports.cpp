// rondo transports: what each way to move bytes can do.
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "exit_code.hpp"
#include "rondo/transports/capabilities.hpp"
#include "say.hpp"

namespace rondo::program {
namespace {

using Json = nlohmann::ordered_json;

struct Column {
  std::string_view title;  // in the table
  std::string_view key;    // in JSON
  bool Capabilities::*can;
};
constexpr std::array kColumns{
    Column{"zero-copy", "zero_copy", &Capabilities::zero_copy},
    Column{"boundaries", "keeps_boundaries", &Capabilities::keeps_boundaries},
    Column{"lossy", "lossy", &Capabilities::lossy},
    Column{"priorities", "priorities", &Capabilities::priorities},
    Column{"senders", "many_senders", &Capabilities::many_senders},
    Column{"receivers", "many_receivers", &Capabilities::many_receivers},
    Column{"processes", "between_processes", &Capabilities::between_processes},
    Column{"hosts", "between_hosts", &Capabilities::between_hosts},
    Column{"death", "sees_death", &Capabilities::sees_death},
    Column{"descriptor", "own_descriptor", &Capabilities::own_descriptor},
    Column{"authenticated", "authenticated", &Capabilities::authenticated},
    Column{"encrypted", "encrypted", &Capabilities::encrypted},
};

struct Entry {
  std::string name;
  Capabilities can;
};

// Each scheme, and behind it what its rings of other kinds can.
std::vector<Entry> entries() {
  std::vector<Entry> all;
  for (const Scheme scheme : all_schemes()) {
    Url url;
    url.scheme = scheme;
    const std::string name = std::string(to_string(scheme)) + ":";
    all.push_back({name, capabilities(url)});
    if (scheme != Scheme::kShm) continue;
    url.options.readers = 2;
    all.push_back({name + " readers=", capabilities(url)});
    url.options.kind = RingKind::kMpmc;
    all.push_back({name + " kind=mpmc", capabilities(url)});
    url.options.kind = RingKind::kFramePool;
    all.push_back({name + " kind=frames", capabilities(url)});
  }
  return all;
}

}  // namespace

int run_transports(const InspectOptions& options) {
  Json json = Json::array();
  std::string head = fmt::format("{:<18}", "");
  for (const Column& column : kColumns) head += fmt::format("{}  ", column.title);
  if (!options.json) fmt::print("{}{}\n", head, "largest message");
  for (const Entry& entry : entries()) {
    Json row{{"transport", entry.name}};
    std::string line = fmt::format("{:<18}", entry.name);
    for (const Column& column : kColumns) {
      row[std::string(column.key)] = entry.can.*column.can;
      line += fmt::format("{:<{}}  ", entry.can.*column.can ? "yes" : "-", column.title.size());
    }
    row["max_message_bytes"] = entry.can.max_message_bytes;
    json.push_back(row);
    if (!options.json) fmt::print("{}{}\n", line, entry.can.max_message_bytes);
  }
  if (options.json) fmt::print("{}\n", json.dump(2));
  return kSuccess;
}

}  // namespace rondo::program
