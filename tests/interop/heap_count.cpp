// SPDX-License-Identifier: MIT
//
// operator new and delete on malloc and free, with a counter for each thread.
#include "tests/interop/heap_count.h"

#include <cstdlib>
#include <new>

#include "tests/interop/interposer.h"

namespace {

[[maybe_unused]] thread_local uint64_t allocations = 0;

[[maybe_unused]] void* counted(std::size_t bytes) {
  if (!moe_interop::in_driver()) ++allocations;
  if (void* memory = std::malloc(bytes != 0 ? bytes : 1)) return memory;
  throw std::bad_alloc();
}

}  // namespace

namespace moe_interop {

uint64_t heap_allocations() { return allocations; }

}  // namespace moe_interop

#if !defined(__SANITIZE_ADDRESS__)  // a sanitizer brings its own
void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
#endif
