// SPDX-License-Identifier: MIT
//
// One line of JSON, checked key by key, so that a figure that is missing is never taken for one that is small.
#include "tools/moevk/device_peak.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>
#include <system_error>

#include "tools/model/json_reader.h"
#include "tools/model/utf8_path.h"
#include "tools/moevk/host.h"

namespace moevk::cli {
namespace {

double positive(const nlohmann::json& document, const char* key, const std::string& what) {
  const auto found = document.find(key);
  if (found == document.end() || !found->is_number() || !(found->get<double>() > 0)) {
    throw UsageError("--peak", what + " has no positive number \"" + key + "\"; device_peak prints it");
  }
  return found->get<double>();
}

#if !defined(_WIN32)
std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}
#endif

}  // namespace

MeasuredPeak parse_device_peak(const std::string& text, const std::string& what) {
  const auto document = model::read_json(std::as_bytes(std::span(text)), what);
  if (!document.ok()) throw UsageError("--peak", document.error().text());
  const nlohmann::json& json = **document;
  MeasuredPeak peak;
  peak.read_gbps = positive(json, "read_gbps", what);
  peak.copy_gbps = positive(json, "copy_gbps", what);
  peak.submit_us = positive(json, "submit_us", what);
  peak.peak.bandwidth_gbps = std::max(peak.read_gbps, peak.copy_gbps);
  peak.peak.gflops = positive(json, "f32_gflops", what);
  peak.peak.dispatch_us = positive(json, "dispatch_us", what);
  if (json.contains("device") && json["device"].is_string()) peak.device = json["device"].get<std::string>();
  return peak;
}

MeasuredPeak read_device_peak(const std::string& path) {
  std::ifstream file(model::path_of(path), std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) throw UsageError("--peak", path + " cannot be read");
  return parse_device_peak(text.str(), path);
}

MeasuredPeak run_device_peak(const std::string& library, uint32_t index) {
#if defined(_WIN32)
  (void)library, (void)index;
  throw UsageError("--peak", "device_peak is not built for this system");
#else
  const std::string program = program_folder() + "/device_peak";
  std::error_code failed;
  if (!std::filesystem::exists(program, failed)) throw UsageError("--peak", "there is no " + program);
  const std::string command = "MOEVK_DEVICE=" + std::to_string(index) + " " + quoted(program) + " --seconds 0.3" +
                              (library.empty() ? "" : " --library " + quoted(library)) + " </dev/null";
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) throw UsageError("--peak", program + " does not start");
  std::string text;
  char piece[512];
  while (std::fgets(piece, sizeof piece, pipe) != nullptr) text += piece;
  if (pclose(pipe) != 0) throw UsageError("--peak", program + " failed");
  return parse_device_peak(text, "what device_peak printed");
#endif
}

}  // namespace moevk::cli
