// SPDX-License-Identifier: MIT
//
// In:  see routes_file.h.
// Out: see routes_file.h.
// Why: a record is believed when its checksum is right and its fields agree; behind anything else the next magic is
//      looked for, since another process may have appended there.
#include "tools/model/routes_file.h"

#include <algorithm>
#include <cstring>

namespace moevk::model {
namespace {

constexpr uint64_t kMostDamage = 1000;
constexpr uint32_t kMostExperts = 1u << 16, kMostLayers = 1u << 16;

// Why no record begins here; empty if one does.
std::string why_not(std::span<const std::byte> rest, moe::RoutesHeader& header) {
  if (rest.size() < sizeof header) return "it ends within a record";
  std::memcpy(&header, rest.data(), sizeof header);
  if (std::memcmp(header.magic, moe::kRoutesMagic, sizeof header.magic) != 0) return "no record begins here";
  if (header.version != moe::kRoutesVersion) return "a record of version " + std::to_string(header.version);
  const uint64_t routes = uint64_t{header.tokens} * header.top_k;
  if (header.tokens == 0 || header.top_k == 0 || header.experts == 0 || header.experts > kMostExperts ||
      header.identity_experts > kMostExperts || header.layer >= kMostLayers || header.reserved != 0 ||
      header.first_token > UINT64_MAX - header.tokens || header.record_bytes > moe::kMostRouteBytes ||
      routes > moe::kMostRouteBytes ||
      header.record_bytes != sizeof header + routes * (sizeof(int32_t) + sizeof(float)) + moe::kChecksumBytes) {
    return "a record whose fields do not agree";
  }
  if (header.record_bytes > rest.size()) return "it ends within a record";
  uint32_t sum;
  const size_t summed = header.record_bytes - moe::kChecksumBytes;
  std::memcpy(&sum, rest.data() + summed, sizeof sum);
  return sum == moe::routes_checksum(rest.data(), summed) ? "" : "a record whose checksum is wrong";
}

size_t next_magic(std::span<const std::byte> bytes, size_t from) {
  const auto* magic = reinterpret_cast<const std::byte*>(moe::kRoutesMagic);
  const auto at = std::search(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.end(), magic,
                              magic + sizeof moe::kRoutesMagic);
  return static_cast<size_t>(at - bytes.begin());
}

}  // namespace

Result<RoutesReport> read_routes(std::span<const std::byte> bytes,
                                 const std::function<void(const RouteRecord& record)>& take) {
  RoutesReport report;
  RouteRecord record;
  for (size_t at = 0; at < bytes.size();) {
    const std::string why = why_not(bytes.subspan(at), record.header);
    if (!why.empty()) {
      const bool another_version = at == 0 && why.starts_with("a record of version");
      if (another_version) {
        return ParseError{8, "version",
                          "is " + std::to_string(record.header.version) + "; this program reads " +
                              std::to_string(moe::kRoutesVersion)};
      }
      if (report.damaged == 0) report.first_damage = at, report.why = why;
      if (++report.damaged > kMostDamage) return ParseError{at, "file", "is damaged in more than 1000 places"};
      const size_t next = next_magic(bytes, at + 1);
      report.damaged_bytes += next - at;
      at = next;
      continue;
    }
    const size_t routes = size_t{record.header.tokens} * record.header.top_k;
    const std::byte* data = bytes.data() + at + sizeof record.header;
    record.ids.resize(routes);
    record.weights.resize(routes);
    std::memcpy(record.ids.data(), data, routes * sizeof(int32_t));
    std::memcpy(record.weights.data(), data + routes * sizeof(int32_t), routes * sizeof(float));
    take(record);
    ++report.records;
    at += record.header.record_bytes;
  }
  if (report.records == 0) {
    return ParseError{0, "file", bytes.empty() ? "is empty" : "holds no whole record of routes: " + report.why};
  }
  return report;
}

}  // namespace moevk::model
