// SPDX-License-Identifier: MIT
//
// File layout: magic (8 bytes), payload size (8), FNV-1a checksum of the payload (8), payload.
#include "backend/cache_file.h"

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "runtime/platform.h"

namespace moevk {
namespace {

constexpr char kMagic[8] = {'m', 'o', 'e', 'v', 'k', 'p', 'c', '1'};
constexpr uint64_t kMostBytes = 256u << 20;

uint64_t checksum(const std::vector<char>& data) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : data) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

}  // namespace

std::string cache_file_name(const ProbedDevice& device) {
  char name[96];
  int at = std::snprintf(name, sizeof name, "%08x-%08x-", device.caps.vendor_id, device.caps.device_id);
  for (uint8_t byte : device.info.driver_uuid)
    at += std::snprintf(name + at, sizeof name - static_cast<size_t>(at), "%02x", byte);
  return std::string(name) + ".bin";
}

std::vector<char> read_cache_file(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream file(path_from_utf8(path), std::ios::binary);
  char magic[8] = {};
  uint64_t head[2] = {};
  file.read(magic, sizeof magic);
  file.read(reinterpret_cast<char*>(head), sizeof head);
  if (!file || std::memcmp(magic, kMagic, sizeof kMagic) != 0 || head[0] > kMostBytes) return {};
  std::vector<char> data(head[0]);
  file.read(data.data(), static_cast<std::streamsize>(data.size()));
  if (static_cast<uint64_t>(file.gcount()) != head[0] || checksum(data) != head[1]) return {};
  return data;
}

std::string write_cache_file(const std::string& path, const std::vector<char>& data) {
  std::error_code error;
  const std::filesystem::path target = path_from_utf8(path);
  std::filesystem::create_directories(target.parent_path(), error);
  if (error) return path + ": " + error.message();
  std::filesystem::path temporary = target;
  temporary += "." + std::to_string(std::random_device{}());
  {
    std::ofstream file(temporary, std::ios::binary | std::ios::trunc);
    const uint64_t head[2] = {data.size(), checksum(data)};
    file.write(kMagic, sizeof kMagic);
    file.write(reinterpret_cast<const char*>(head), sizeof head);
    file.write(data.data(), static_cast<std::streamsize>(data.size()));
    if (!file.flush()) {
      std::filesystem::remove(temporary, error);
      return "cannot write a file beside " + path;
    }
  }
  std::filesystem::rename(temporary, target, error);
  if (!error) return "";
  const std::string problem = path + ": " + error.message();
  std::filesystem::remove(temporary, error);
  return problem;
}

}  // namespace moevk
