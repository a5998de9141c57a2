// SPDX-License-Identifier: MIT
//
// A getInstanceProcAddr that stands between the plugin and the driver: every device function that the plugin can
// load is counted, and its time taken. Shows what a call really asks of Vulkan.
#ifndef MOE_TESTS_INTEROP_INTERPOSER_H_
#define MOE_TESTS_INTEROP_INTERPOSER_H_

#include <volk.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace moe_interop {

struct DriverCalls {
  std::map<std::string, uint64_t> counts;  // by function; those called at all
  uint64_t nanoseconds = 0;                // inside the driver
  uint64_t commands() const;               // vkCmd*
  uint64_t others() const;
};

// To be passed to import_device. Forwards to the loader's.
PFN_vkVoidFunction VKAPI_CALL counting_get_instance_proc_addr(VkInstance instance, const char* name);

// The pipeline with this number (from now on, 0 the next) fails to compile, as drivers in the field do it.
enum class PipelineFailure { kError, kNull };  // VK_ERROR_UNKNOWN, or VK_SUCCESS without a pipeline
void fail_pipeline(uint64_t number, PipelineFailure how);
bool pipeline_failed();  // since the last fail_pipeline

bool in_driver();  // this thread is below one of the counted functions (drivers and layers may do as they like)
void reset_driver_calls();
DriverCalls driver_calls();
// Device functions that were loaded through it without being counted: the list in interposer.cpp lacks them.
std::vector<std::string> uncounted_functions();

}  // namespace moe_interop

#endif  // MOE_TESTS_INTEROP_INTERPOSER_H_
