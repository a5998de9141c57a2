// SPDX-License-Identifier: MIT
//
// What all objects of one instance share: the host's logger and allocator, the options, and counters.
#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>

#include "runtime/options.h"

namespace moevk {

class SharedState {
 public:
  explicit SharedState(const moe_instance_desc& desc, Options options) : desc_(desc), options_(std::move(options)) {}
  SharedState(const SharedState&) = delete;
  SharedState& operator=(const SharedState&) = delete;

  const Options& options() const { return options_; }
  void log(uint32_t level, const std::string& message);
  void* allocate(uint64_t bytes, uint64_t alignment);  // null when out of memory
  void deallocate(void* pointer, uint64_t bytes, uint64_t alignment);

  std::atomic<uint64_t> live_objects{0};
  std::atomic<uint64_t> allocated_bytes{0};
  std::atomic<uint64_t> pipelines_created{0};
  std::atomic<uint64_t> pipelines_from_cache{0};
  std::atomic<uint64_t> pipeline_microseconds{0};
  std::atomic<uint64_t> validation_messages{0};
  std::atomic<uint64_t> submits{0};
  std::atomic<uint64_t> driver_bytes{0};
  std::atomic<uint64_t> peak_driver_bytes{0};
  std::atomic<uint64_t> largest_allocation_bytes{0};
  std::atomic<uint64_t> largest_binding_bytes{0};

  static void raise(std::atomic<uint64_t>* most, uint64_t value) {
    uint64_t before = most->load(std::memory_order_relaxed);
    while (before < value && !most->compare_exchange_weak(before, value, std::memory_order_relaxed)) {
    }
  }
  // A vkAllocateMemory, and its end.
  void driver_allocated(uint64_t bytes) {
    raise(&largest_allocation_bytes, bytes);
    raise(&peak_driver_bytes, driver_bytes += bytes);
  }
  void driver_freed(uint64_t bytes) { driver_bytes -= bytes; }

 private:
  moe_instance_desc desc_;
  Options options_;
  std::mutex log_mutex_;
};

// A block of the host's allocator, zero-filled.
class HostMemory {
 public:
  HostMemory() = default;
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;
  HostMemory(HostMemory&& other) noexcept { swap(other); }
  HostMemory& operator=(HostMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  ~HostMemory();

  static Result<HostMemory> allocate(std::shared_ptr<SharedState> state, uint64_t bytes);
  std::byte* data() const { return data_; }
  uint64_t bytes() const { return bytes_; }

 private:
  void swap(HostMemory& other) noexcept;
  std::shared_ptr<SharedState> state_;
  std::byte* data_ = nullptr;
  uint64_t bytes_ = 0;
};

}  // namespace moevk
