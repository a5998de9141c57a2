// SPDX-License-Identifier: MIT
//
// The host's callbacks, with defaults where it gave none.
#include "runtime/shared_state.h"

#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

namespace moevk {
namespace {

constexpr uint64_t kHostAlignment = 64;

}  // namespace

void SharedState::log(uint32_t level, const std::string& message) {
  const std::lock_guard lock(log_mutex_);
  if (desc_.log != nullptr) {
    desc_.log(desc_.user, level, message.c_str());
  } else if (level <= MOE_LOG_WARNING || level == MOE_LOG_TRACE) {  // traces were asked for by MOEVK_TRACE
    std::fprintf(stderr, "moevk: %s\n", message.c_str());
  }
}

void* SharedState::allocate(uint64_t bytes, uint64_t alignment) {
  if (desc_.allocate != nullptr) return desc_.allocate(desc_.user, bytes, alignment);
  return ::operator new(bytes, std::align_val_t(alignment), std::nothrow);
}

void SharedState::deallocate(void* pointer, uint64_t bytes, uint64_t alignment) {
  if (desc_.deallocate != nullptr) {
    desc_.deallocate(desc_.user, pointer, bytes, alignment);
  } else {
    ::operator delete(pointer, std::align_val_t(alignment));
  }
}

HostMemory::~HostMemory() {
  if (data_ != nullptr) state_->deallocate(data_, bytes_, kHostAlignment);
}

void HostMemory::swap(HostMemory& other) noexcept {
  std::swap(state_, other.state_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
}

Result<HostMemory> HostMemory::allocate(std::shared_ptr<SharedState> state, uint64_t bytes) {
  HostMemory memory;
  memory.bytes_ = bytes != 0 ? bytes : 1;
  memory.data_ = static_cast<std::byte*>(state->allocate(memory.bytes_, kHostAlignment));
  if (memory.data_ == nullptr) {
    return Status(MOE_ERROR_OUT_OF_HOST_MEMORY, "", "no host memory for " + std::to_string(bytes) + " bytes");
  }
  memory.state_ = std::move(state);
  std::memset(memory.data_, 0, memory.bytes_);
  return memory;
}

}  // namespace moevk
