// SPDX-License-Identifier: MIT
//
// Counts operator new of the whole process, the plugin included: the test program replaces it and exports it.
#ifndef MOE_TESTS_INTEROP_HEAP_COUNT_H_
#define MOE_TESTS_INTEROP_HEAP_COUNT_H_

#include <cstdint>

namespace moe_interop {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kHeapIsCounted = false;
#else
inline constexpr bool kHeapIsCounted = true;
#endif
uint64_t heap_allocations();  // of this thread, since it began, those below a counted driver function left out

}  // namespace moe_interop

#endif  // MOE_TESTS_INTEROP_HEAP_COUNT_H_
