// SPDX-License-Identifier: MIT
//
// The one place where VulkanMemoryAllocator and volk are compiled; their warnings are theirs.
#pragma GCC diagnostic ignored "-Wall"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-variable"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"
#define VMA_IMPLEMENTATION
#include "backend/vma.h"

#define VOLK_IMPLEMENTATION
#include <volk.h>
