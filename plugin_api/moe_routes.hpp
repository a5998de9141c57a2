// SPDX-License-Identifier: MIT
//
// moe_routes.hpp - a header-only writer, for hosts in C++17, of files of routes: which experts each token of each layer
// went to, and with what weights. docs/routes.md has the format; `moevk routes` and `moevk bench --routes` read it.
// Records are appended each by one write, so that contexts may share a file, and processes where the system appends at
// once (POSIX; on Windows two processes may overwrite each other's records, which a reader reports). Nothing here
// throws, and a file that cannot be written is given up after one reason.
#ifndef MOE_ROUTES_HPP_
#define MOE_ROUTES_HPP_

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>
#if defined(_WIN32)
#if !defined(NOMINMAX)
#define NOMINMAX
#endif
#include <io.h>
#include <process.h>
#include <windows.h>
#else
#include <sys/resource.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <string>
#include <utility>
#include <vector>

namespace moe {

constexpr char kRoutesMagic[8] = {'m', 'o', 'e', 'r', 'o', 'u', 't', 'e'};
constexpr uint32_t kRoutesVersion = 1;
constexpr uint32_t kMostRouteBytes = 1u << 20;  // of a record
constexpr uint32_t kChecksumBytes = 4;

// What a record begins with, little-endian. Behind it: ids i32 [tokens, top_k], weights f32 [tokens, top_k], and the
// CRC-32 of all of that.
struct RoutesHeader {
  char magic[8];              // kRoutesMagic
  uint32_t version;           // kRoutesVersion
  uint32_t record_bytes;      // header, routes and checksum
  uint64_t stream;            // tokens are numbered in each stream: one context of a host
  uint64_t first_token;       // of this layer in this stream, from 0
  uint32_t tokens;            // T
  uint32_t layer;             // the model's block
  uint32_t experts;           // E
  uint32_t identity_experts;  // Z: ids from E on
  uint32_t top_k;             // k
  uint32_t hidden;            // H; 0: unknown
  uint32_t intermediate;      // F; 0: unknown
  uint32_t reserved;          // 0
};
static_assert(sizeof(RoutesHeader) == 64, "the file's layout");

// The CRC-32 of Ethernet and zip: polynomial 0xEDB88320, reflected, all ones before and after.
inline uint32_t routes_checksum(const void* data, size_t bytes) {
  static const std::array<uint32_t, 256> table = [] {
    std::array<uint32_t, 256> made{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t word = i;
      for (int bit = 0; bit < 8; ++bit) word = (word >> 1) ^ ((word & 1) != 0 ? 0xEDB88320u : 0u);
      made[i] = word;
    }
    return made;
  }();
  uint32_t sum = 0xFFFFFFFFu;
  const auto* at = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) sum = (sum >> 8) ^ table[(sum ^ at[i]) & 0xFFu];
  return ~sum;
}

// One context of a host: its own number, and how many tokens each layer has seen. [context]
struct RouteStream {
  uint64_t id = fresh_id();
  std::map<uint32_t, uint64_t> seen;  // by layer

  // Of this machine, this process and this moment: no other stream of the same file has it.
  static uint64_t fresh_id() {
    static std::atomic<uint64_t> count{0};
#if defined(_WIN32)
    const auto process = static_cast<uint64_t>(_getpid());
#else
    const auto process = static_cast<uint64_t>(getpid());
#endif
    const auto now = static_cast<uint64_t>(std::chrono::system_clock::now().time_since_epoch().count());
    uint64_t word = now + process * 0x9E3779B97F4A7C15u + count++ * 0xD1342543DE82EF95u;
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9u;
    word = (word ^ (word >> 27)) * 0x94D049BB133111EBu;
    return word ^ (word >> 31);
  }
};

// The routes of one call of one layer.
struct Routes {
  uint32_t layer = 0, experts = 0, identity_experts = 0, top_k = 0, hidden = 0, intermediate = 0;
  uint64_t tokens = 0;
  const void* ids = nullptr;                        // i32, a row of top_k for each token
  const void* weights = nullptr;                    // f32 likewise
  size_t ids_row_bytes = 0, weights_row_bytes = 0;  // 0: packed
};

// A file that records are appended to. [thread-safe]
class RouteFile {
 public:
  // Nothing is opened before the first record. `path`: UTF-8.
  explicit RouteFile(std::string path) : path_(std::move(path)) {}
  ~RouteFile() {
#if defined(_WIN32)
    if (file_ >= 0) _close(file_);
#else
    if (file_ >= 0) ::close(file_);
#endif
  }
  RouteFile(const RouteFile&) = delete;
  RouteFile& operator=(const RouteFile&) = delete;

  // False where they are not in the file. `why` is set by the first call that fails and empty after the later ones,
  // which write nothing: a reason is said once.
  bool append(RouteStream& stream, const Routes& routes, std::string& why) noexcept {
    const std::lock_guard<std::mutex> lock(mutex_);
    why.clear();
    if (given_up_) return false;
    try {
      why = append_all(stream, routes);
      given_up_ = !why.empty();
      if (given_up_) why = path_ + " records no more routes: " + why;
    } catch (const std::bad_alloc&) {
      given_up_ = true;
      why.assign("no memory");  // short enough to need none
    }
    return !given_up_;
  }

 private:
  static std::string system_error() { return std::strerror(errno); }

  std::string append_all(RouteStream& stream, const Routes& routes) {
    const uint64_t route_bytes = uint64_t{routes.top_k} * (sizeof(int32_t) + sizeof(float));
    const uint64_t room = kMostRouteBytes - sizeof(RoutesHeader) - kChecksumBytes;
    if (routes.top_k == 0 || routes.experts == 0 || route_bytes > room)
      return "a layer without experts, or with too many";
    if (file_ < 0) {
      const std::string why = open();
      if (!why.empty()) return why;
    }
    for (uint64_t first = 0; first < routes.tokens;) {
      const uint64_t count = std::min(routes.tokens - first, room / route_bytes);
      pack(stream, routes, first, count);
      const std::string why = write();
      if (!why.empty()) return why;
      stream.seen[routes.layer] += count;
      first += count;
    }
    return {};
  }

  void pack(const RouteStream& stream, const Routes& routes, uint64_t first, uint64_t count) {
    const auto seen = stream.seen.find(routes.layer);
    const size_t row = routes.top_k * sizeof(int32_t);
    RoutesHeader header{};
    std::memcpy(header.magic, kRoutesMagic, sizeof header.magic);
    header.version = kRoutesVersion;
    header.record_bytes = static_cast<uint32_t>(sizeof header + 2 * row * count + kChecksumBytes);
    header.stream = stream.id;
    header.first_token = seen == stream.seen.end() ? 0 : seen->second;
    header.tokens = static_cast<uint32_t>(count);
    header.layer = routes.layer;
    header.experts = routes.experts;
    header.identity_experts = routes.identity_experts;
    header.top_k = routes.top_k;
    header.hidden = routes.hidden;
    header.intermediate = routes.intermediate;
    record_.resize(header.record_bytes);
    std::memcpy(record_.data(), &header, sizeof header);
    char* out = record_.data() + sizeof header;
    const std::pair<const void*, size_t> parts[2] = {{routes.ids, routes.ids_row_bytes},
                                                     {routes.weights, routes.weights_row_bytes}};
    for (const auto& [data, stride] : parts) {
      for (uint64_t token = first; token < first + count; ++token, out += row) {
        std::memcpy(out, static_cast<const char*>(data) + token * (stride != 0 ? stride : row), row);
      }
    }
    const uint32_t sum = routes_checksum(record_.data(), record_.size() - kChecksumBytes);
    std::memcpy(out, &sum, sizeof sum);
  }

#if defined(_WIN32)
  std::string open() {
    wchar_t wide[4096];
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path_.c_str(), -1, wide, 4096) == 0) return "no such path";
    file_ = _wopen(wide, _O_RDWR | _O_CREAT | _O_APPEND | _O_BINARY, _S_IREAD | _S_IWRITE);
    if (file_ < 0) return system_error();
    char begin[sizeof kRoutesMagic];
    const int got = _read(file_, begin, sizeof begin);
    return check_begin(begin, got);
  }
  std::string write() {
    const int wrote = ::_write(file_, record_.data(), static_cast<unsigned>(record_.size()));
    if (wrote < 0) return system_error();
    return static_cast<size_t>(wrote) == record_.size() ? "" : "the disk is full";
  }
#else
  std::string open() {
    // A pipe would stop the host, or end it by a signal.
    file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
    if (file_ < 0) return system_error();
    struct stat info {};
    if (::fstat(file_, &info) != 0) return system_error();
    if (!S_ISREG(info.st_mode) && !S_ISCHR(info.st_mode)) return "it is no regular file";
    if (S_ISCHR(info.st_mode)) return {};  // /dev/null
    char begin[sizeof kRoutesMagic];
    return check_begin(begin, ::pread(file_, begin, sizeof begin, 0));
  }
  std::string write() {
    // Beyond the process's limit a write ends it by a signal.
    struct stat info {};
    struct rlimit limit {};
    if (::fstat(file_, &info) == 0 && S_ISREG(info.st_mode) && ::getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
        limit.rlim_cur != RLIM_INFINITY && static_cast<uint64_t>(info.st_size) + record_.size() > limit.rlim_cur) {
      return "the process's limit of file sizes is reached";
    }
    ssize_t wrote;
    do {
      wrote = ::write(file_, record_.data(), record_.size());
    } while (wrote < 0 && errno == EINTR);
    if (wrote < 0) return system_error();
    return static_cast<size_t>(wrote) == record_.size() ? "" : "the disk is full";
  }
#endif

  // Nothing is appended to a file of another kind, such as a model named by mistake. A short one may be a record that
  // was cut off.
  static std::string check_begin(const char* begin, int64_t bytes) {
    if (bytes < 0) return system_error();
    const bool ours = std::memcmp(begin, kRoutesMagic, static_cast<size_t>(bytes)) == 0;
    return ours ? "" : "it is there and holds no routes";
  }

  const std::string path_;
  std::mutex mutex_;  // guards what follows
  int file_ = -1;
  bool given_up_ = false;
  std::vector<char> record_;
};

}  // namespace moe

#endif  // MOE_ROUTES_HPP_
