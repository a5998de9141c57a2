// SPDX-License-Identifier: MIT
//
// The CPU reference as a device behind the same interface as the GPUs. Calls run when they are flushed, on the
// caller's thread.
#pragma once

#include "runtime/device.h"

namespace moevk {

std::shared_ptr<Device> make_reference_device(std::shared_ptr<SharedState> state, uint64_t budget_bytes);

}  // namespace moevk
