// rondo ls, info, rm: what stands in shared memory, without taking part in it.
#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <fmt/chrono.h>
#include <nlohmann/json.hpp>

#include "commands.hpp"
#include "exit_code.hpp"
#include "rondo/core/segment_info.hpp"
#include "rondo/rondo.hpp"
#include "say.hpp"
#include "units.hpp"

namespace rondo::program {
namespace {

using Json = nlohmann::ordered_json;

double age_seconds(std::uint64_t unix_ns) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const double seconds = std::chrono::duration<double>(now).count();
  return std::max(0.0, seconds - static_cast<double>(unix_ns) * 1e-9);
}

std::string who(const ParticipantInfo& participant) {
  return fmt::format("{} {}{}", participant.name, participant.pid,
                     participant.alive ? "" : " (died)");
}

// Those with this role, as one cell of a table.
std::string those_with(Role role, const std::vector<ParticipantInfo>& participants) {
  std::string cell;
  for (const ParticipantInfo& participant : participants) {
    if (participant.role != role && participant.role != Role::kBoth) continue;
    if (!cell.empty()) cell += ", ";
    cell += who(participant);
  }
  return cell.empty() ? "-" : cell;
}

// Whether all participants have died: none is there, and none has left in order since.
bool all_died(const std::vector<ParticipantInfo>& participants) {
  return !participants.empty() && std::ranges::none_of(participants, &ParticipantInfo::alive);
}

Json to_json(const ParticipantInfo& participant) {
  return {{"slot", participant.slot},   {"role", to_string(participant.role)},
          {"alive", participant.alive}, {"pid", participant.pid},
          {"name", participant.name},   {"attached_unix_ns", participant.attached_unix_ns}};
}

Json to_json(const SegmentInfo& segment) {
  Json json{{"name", to_string(segment.name)},
            {"size_bytes", segment.size_bytes},
            {"owner", segment.owner},
            {"mode", fmt::format("{:04o}", segment.mode.bits())}};
  if (segment.geometry) {
    json["kind"] = to_string(segment.geometry->kind);
    json["capacity"] = segment.geometry->capacity;
    json["slot_bytes"] = segment.geometry->slot_bytes;
    json["instance_id"] = fmt::format("{:016x}", segment.geometry->instance_id);
    json["created_unix_ns"] = segment.geometry->created_unix_ns;
  }
  json["participants"] = Json::array();
  for (const ParticipantInfo& participant : segment.participants) {
    json["participants"].push_back(to_json(participant));
  }
  json["abandoned"] = all_died(segment.participants);
  if (segment.problem) json["problem"] = segment.problem->message;
  return json;
}

// What a participant of an mpmc ring has put right after the dead.
std::string recovered_by(const RecoveredBy& by) {
  std::string text;
  const auto add = [&](std::uint64_t count, std::string_view what) {
    if (count == 0) return;
    if (!text.empty()) text += ", ";
    text += fmt::format("{} {}", grouped(count), what);
  };
  add(by.tombstones, "unfinished messages of dead senders given up");
  add(by.orphaned, "messages of dead receivers set free");
  add(by.dropped, "messages of dead receivers dropped");
  add(by.redelivered, "such messages received");
  return text;
}

Json to_json(const RecoveredBy& by) {
  return {{"slot", by.slot},
          {"tombstones", by.tombstones},
          {"orphaned", by.orphaned},
          {"dropped", by.dropped},
          {"redelivered", by.redelivered}};
}

using Row = std::array<std::string, 6>;

Row row_of(const SegmentInfo& segment) {
  if (!segment.geometry) {
    // Whether it is sound can be told only by a user that may read it.
    const bool hidden = segment.problem && segment.problem->code == ErrorCode::kPermission;
    return {to_string(segment.name), hidden ? "not readable" : "unsound", "-", "-", "-", "-"};
  }
  const Geometry& geometry = *segment.geometry;
  const std::string capacity =
      geometry.slot_bytes == 0
          ? binary_size(geometry.capacity)
          : fmt::format("{} x {} B", grouped(geometry.capacity), geometry.slot_bytes);
  return {to_string(segment.name),
          std::string(to_string(geometry.kind)),
          capacity,
          human_seconds(age_seconds(geometry.created_unix_ns)),
          those_with(Role::kProducer, segment.participants),
          those_with(Role::kConsumer, segment.participants)};
}

void print_table(const std::vector<Row>& rows) {
  std::array<std::size_t, std::tuple_size_v<Row>> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i + 1 < row.size() ? fmt::format("{:<{}}  ", row[i], widths[i]) : row[i];
    }
    fmt::print("{}\n", line);
  }
}

std::string_view policy_name(const ReaderInfo& reader) {
  switch (reader.policy) {
    case ReaderPolicy::kReliable: return reader.evicted ? "evicted" : "reliable";
    case ReaderPolicy::kLossy: return "lossy";
    case ReaderPolicy::kLatest: return "latest";
    case ReaderPolicy::kDetached: return "detached";
    case ReaderPolicy::kNone: break;
  }
  return "none";
}

Json to_json(const ReaderInfo& reader) {
  return {{"reader", reader.reader},
          {"name", reader.name},
          {"alive", reader.alive},
          {"pid", reader.pid},
          {"participant", reader.participant},
          {"policy", policy_name(reader)},
          {"evicted", reader.evicted},
          {"before", reader.before},
          {"received", reader.received},
          {"lost", reader.lost},
          {"to_come", reader.to_come},
          {"behind_bytes", reader.behind_bytes},
          {"frames_held", reader.frames_held}};
}

// A key too long for its column still stands apart from its value.
void print_line(std::string_view key, std::string_view value) {
  constexpr std::size_t kColumn = 16;
  fmt::print("{:<{}}{}\n", key, std::max(kColumn, key.size() + 2), value);
}

// `place`: how far it is behind, or what it holds.
void print_reader(const ReaderInfo& reader, std::string_view place) {
  const std::string name = reader.name.empty() ? "" : " " + reader.name;
  const std::string process =
      reader.pid == 0 ? "" : fmt::format(" ({} {})", reader.participant, reader.pid);
  const std::string_view life = reader.alive ? "alive" : reader.pid != 0 ? "died" : "not there";
  print_line(fmt::format("reader {}{}", reader.reader, name),
             fmt::format("{}, {}{}: {} received, {} lost, {} to come ({})", policy_name(reader),
                         life, process, grouped(reader.received), grouped(reader.lost),
                         grouped(reader.to_come), place));
}

// What is told of each kind of channel, between its capacity and its age.
class PrintKind {
 public:
  explicit PrintKind(const ChannelInfo& channel) : channel_(channel) {}

  void operator()(const RecordInfo&) const {
    print_sent("");
    print_line("unread", grouped(channel_.pending_bytes) + " bytes, headers included");
  }
  void operator()(const BroadcastInfo& ring) const {
    print_sent("");
    print_line("receivers", fmt::format("up to {}, each gets every message", ring.reader_places));
    print_line("unread", grouped(channel_.pending_bytes) +
                             " bytes, headers included, by the slowest that is waited for");
    for (const ReaderInfo& reader : ring.readers) {
      print_reader(reader, grouped(reader.behind_bytes) + " bytes behind");
    }
  }
  void operator()(const MpmcInfo& ring) const {
    print_sent(", those given up included");
    print_line("unread", grouped(ring.pending_messages) + " messages");
    print_line("gone", fmt::format("senders: {} closed, {} died; receivers: {} left, {} died",
                                   grouped(ring.senders_closed), grouped(ring.senders_died),
                                   grouped(ring.receivers_left), grouped(ring.receivers_died)));
  }
  void operator()(const FramesInfo& pool) const {
    print_sent("");
    print_line("receivers", fmt::format("up to {}, each may hold a frame", pool.reader_places));
    for (const ReaderInfo& reader : pool.readers) {
      print_reader(reader, fmt::format("holds {} frame{}", reader.frames_held,
                                       reader.frames_held == 1 ? "" : "s"));
    }
  }
  // These keep nothing that could be looked at.
  void operator()(const StreamInfo&) const {}
  void operator()(const DatagramsInfo&) const {}

 private:
  void print_sent(std::string_view of_them) const {
    print_line("largest message", grouped(channel_.max_message_bytes) + " bytes");
    if (channel_.header_bytes != 0) {
      print_line("header", grouped(channel_.header_bytes) + " bytes in front of each message");
    }
    if (channel_.align_bytes > kMessageAlignment) {
      print_line("alignment", grouped(channel_.align_bytes) + " bytes of each message");
    }
    print_line("sent", fmt::format("{} messages{}", grouped(channel_.messages), of_them));
  }

  const ChannelInfo& channel_;
};

void print_info(const SegmentInfo& segment, const ChannelInfo* channel) {
  const auto& print = print_line;
  print("channel", to_string(segment.name));
  if (segment.geometry) {
    const Geometry& geometry = *segment.geometry;
    print("kind", std::string(to_string(geometry.kind)));
    if (geometry.slot_bytes == 0) {
      print("capacity", binary_size(geometry.capacity));
    } else {
      print("capacity", fmt::format("{} {} of {} bytes", grouped(geometry.capacity),
                                    geometry.kind == RingKind::kFramePool ? "frames" : "slots",
                                    grouped(geometry.slot_bytes)));
    }
    if (channel != nullptr) std::visit(PrintKind(*channel), channel->kind);
    print("created", human_seconds(age_seconds(geometry.created_unix_ns)) + " ago");
    print("instance", fmt::format("{:016x}", geometry.instance_id));
  }
  print("memory", fmt::format("{} bytes, mode {:04o}, owner {}", grouped(segment.size_bytes),
                              segment.mode.bits(), segment.owner));
  for (const ParticipantInfo& participant : segment.participants) {
    const bool many = segment.geometry && segment.geometry->kind == RingKind::kMpmc;
    print(to_string(participant.role),
          fmt::format("{}{}, {}, attached {} ago", who(participant),
                      many ? fmt::format(" in slot {}", participant.slot) : "",
                      participant.alive ? "alive" : "did not leave in order",
                      human_seconds(age_seconds(participant.attached_unix_ns))));
  }
  if (segment.participants.empty()) print("participants", "none");
  if (all_died(segment.participants)) {
    print("abandoned", fmt::format("all who took part have died; who opens it next takes up what "
                                   "they left (rondo rm {} does away with it)",
                                   to_string(segment.name)));
  }
  if (const MpmcInfo* ring = channel != nullptr ? channel->as<MpmcInfo>() : nullptr) {
    for (const RecoveredBy& by : ring->recovered) {
      print("recovered", fmt::format("by slot {}: {}", by.slot, recovered_by(by)));
    }
  }
  if (segment.problem) print("problem", segment.problem->message);
}

void add_counts(const ChannelInfo& channel, Json& json) {
  json["max_message_bytes"] = channel.max_message_bytes;
  json["header_bytes"] = channel.header_bytes;
  json["align_bytes"] = channel.align_bytes;
  json["messages"] = channel.messages;
  json["pending_bytes"] = channel.pending_bytes;
  json["reader_places"] = channel.reader_places();
  json["readers"] = Json::array();
  for (const ReaderInfo& reader : channel.readers()) json["readers"].push_back(to_json(reader));
  const MpmcInfo* const ring = channel.as<MpmcInfo>();
  if (ring == nullptr) return;
  json["pending_messages"] = ring->pending_messages;
  json["senders_closed"] = ring->senders_closed;
  json["senders_died"] = ring->senders_died;
  json["receivers_left"] = ring->receivers_left;
  json["receivers_died"] = ring->receivers_died;
  json["recovered"] = Json::array();
  for (const RecoveredBy& by : ring->recovered) json["recovered"].push_back(to_json(by));
}

int fail(const Error& error) {
  say_error("{}", error.message);
  return exit_code_of(error.code);
}

}  // namespace

int run_ls(const InspectOptions& options) {
  auto segments = list_segments();
  if (!segments) return fail(segments.error());
  if (options.json) {
    Json json = Json::array();
    for (const SegmentInfo& segment : *segments) json.push_back(to_json(segment));
    fmt::print("{}\n", json.dump(2));
    return kSuccess;
  }
  if (segments->empty()) {
    say_note("no channels in shared memory");
    return kSuccess;
  }
  std::vector<Row> rows{{"CHANNEL", "KIND", "CAPACITY", "AGE", "SENDER", "RECEIVER"}};
  for (const SegmentInfo& segment : *segments) rows.push_back(row_of(segment));
  print_table(rows);
  for (const SegmentInfo& segment : *segments) {
    if (segment.problem) say_note("{}", segment.problem->message);
  }
  return kSuccess;
}

int run_info(const InspectOptions& options) {
  const auto url = Url::parse(options.url);
  if (!url) return fail(url.error());
  if (!url->segment()) {
    say_error("{}", inspect(url->name()).error().message);
    return kUsage;
  }
  auto segment = inspect_segment(*url->segment());
  if (!segment) return fail(segment.error());
  // Counts are known for the rings that channels are made of, and are sound.
  std::optional<ChannelInfo> channel;
  if (segment->geometry) {
    if (auto inspected = inspect(options.url)) channel = *std::move(inspected);
  }
  if (options.json) {
    Json json = to_json(*segment);
    if (channel) add_counts(*channel, json);
    fmt::print("{}\n", json.dump(2));
  } else {
    print_info(*segment, channel ? &*channel : nullptr);
  }
  return segment->problem ? exit_code_of(segment->problem->code) : int{kSuccess};
}

int run_rm(const InspectOptions& options) {
  const auto removed = remove(options.url, options.force);
  return removed ? int{kSuccess} : fail(removed.error());
}

}  // namespace rondo::program
