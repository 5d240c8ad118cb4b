// What a figure has to be kept with: the machine, the system, the compiler, the versions.
#pragma once

#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "rondo/core/version.hpp"
#include "support/cores.hpp"
#include "support/modes.hpp"

#ifndef RONDO_BENCH_FLAGS
#define RONDO_BENCH_FLAGS "unknown"
#endif

namespace rondo::bench {

// Of the first processor, by the kernel's names. On x86-64 all are there; elsewhere some are not.
inline std::map<std::string, std::string> processor_facts() {
  std::map<std::string, std::string> facts;
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line) && !line.empty();) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name = line.substr(0, line.find_last_not_of(" \t", colon - 1) + 1);
    facts[name] = colon + 2 < line.size() ? line.substr(colon + 2) : "";
  }
  return facts;
}

inline std::string kernel_release() {
  utsname system{};
  uname(&system);
  return std::string(system.sysname) + " " + system.release;
}

// "AMD EPYC, 2 cores, Linux 6.18"
inline std::string describe_machine() {
  auto facts = processor_facts();
  const std::string model =
      facts.contains("model name") ? facts["model name"] : "unknown processor";
  const std::string kernel = kernel_release();
  return model + ", " + std::to_string(sysconf(_SC_NPROCESSORS_ONLN)) + " cores, " +
         kernel.substr(0, kernel.find('.', kernel.find('.') + 1));
}

inline nlohmann::json machine_facts() {
  auto facts = processor_facts();
  const Cores& cores = Cores::in_use();
  const auto number = [&](const char* name) {
    const auto found = facts.find(name);
    return found == facts.end() ? nlohmann::json()
                                : nlohmann::json(std::atoi(found->second.c_str()));
  };
  return {{"description", describe_machine()},
          {"vendor", facts.contains("vendor_id") ? facts["vendor_id"] : "unknown"},
          {"family", number("cpu family")},
          {"model", number("model")},
          {"model_name", facts["model name"]},
          {"hypervisor", (' ' + facts["flags"] + ' ').find(" hypervisor ") != std::string::npos},
          {"cores", sysconf(_SC_NPROCESSORS_ONLN)},
          {"cores_allowed", cores.count()},
          {"cores_in_use", {cores.number(0), cores.number(1)}},
          {"cores_0_and_1_are_siblings", cores.first_two_are_siblings()},
          {"kernel", kernel_release()}};
}

inline nlohmann::json build_facts() {
#ifdef __clang__
  const std::string compiler = "clang++ " __clang_version__;
#else
  const std::string compiler = "g++ " __VERSION__;
#endif
  return {{"compiler", compiler},
          {"flags", RONDO_BENCH_FLAGS},
          {"rondo", std::to_string(kVersion.major) + "." + std::to_string(kVersion.minor) + "." +
                        std::to_string(kVersion.patch)}};
}

inline nlohmann::json to_json(const Modes& modes) {
  auto all = nlohmann::json::array();
  for (const Mode& mode : modes.all()) {
    all.push_back({{"name", to_string(mode.name)},
                   {"centre_ns", mode.centre},
                   {"low_ns", mode.low},
                   {"high_ns", mode.high},
                   {"probes", mode.probes}});
  }
  return all;
}

inline std::string utc_now() {
  char text[32];
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

}  // namespace rondo::bench
