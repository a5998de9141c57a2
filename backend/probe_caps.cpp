// SPDX-License-Identifier: MIT
//
// Asks Vulkan, once; then the table of known driver defects, then the user's own limits.
#include "backend/probe_caps.h"

#include <algorithm>
#include <cstring>

#include "runtime/quirks.h"

namespace moevk {
namespace {

uint32_t device_kind(VkPhysicalDeviceType type) {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU: return MOE_DEVICE_KIND_DISCRETE_GPU;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU: return MOE_DEVICE_KIND_INTEGRATED_GPU;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU: return MOE_DEVICE_KIND_VIRTUAL_GPU;
    case VK_PHYSICAL_DEVICE_TYPE_CPU: return MOE_DEVICE_KIND_CPU_VULKAN;
    default: return MOE_DEVICE_KIND_OTHER;
  }
}

template <size_t N>
void copy_text(char (&to)[N], const std::string& from) {
  std::memset(to, 0, N);
  std::memcpy(to, from.data(), std::min(from.size(), N - 1));
}

// Appends a struct to a pNext chain.
template <class T>
void chain(void** head, T* item) {
  item->pNext = *head;
  *head = item;
}

void find_queue(const InstanceFunctions& vk, const LentDevice* lent, ProbedDevice* out) {
  uint32_t count = 0;
  vk.vkGetPhysicalDeviceQueueFamilyProperties(out->handle, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  vk.vkGetPhysicalDeviceQueueFamilyProperties(out->handle, &count, families.data());
  out->queue_family = UINT32_MAX;
  for (uint32_t i = 0; i < count; ++i) {
    if (lent != nullptr && i != lent->queue_family) continue;
    const bool computes = (families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) != 0;
    const bool alone = (families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) == 0;
    if (!computes || (out->queue_family != UINT32_MAX && !alone)) continue;
    out->queue_family = i;  // a family for compute only, where there is one
    out->caps.timestamps = families[i].timestampValidBits;
    if (alone) break;
  }
}

void find_memory(const InstanceFunctions& vk, bool with_budget, ProbedDevice* out) {
  VkPhysicalDeviceMemoryBudgetPropertiesEXT budget{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT, nullptr, {}, {}};
  VkPhysicalDeviceMemoryProperties2 memory{
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_PROPERTIES_2, with_budget ? &budget : nullptr, {}};
  vk.vkGetPhysicalDeviceMemoryProperties2(out->handle, &memory);
  const VkPhysicalDeviceMemoryProperties& m = memory.memoryProperties;
  uint32_t heap = 0;
  for (uint32_t i = 0; i < m.memoryHeapCount; ++i) {
    const bool local = (m.memoryHeaps[i].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
    const bool best_local = (m.memoryHeaps[heap].flags & VK_MEMORY_HEAP_DEVICE_LOCAL_BIT) != 0;
    if (local && (!best_local || m.memoryHeaps[i].size > m.memoryHeaps[heap].size)) heap = i;
  }
  out->caps.device_local_bytes = m.memoryHeaps[heap].size;
  out->info.memory_bytes = m.memoryHeaps[heap].size;
  out->info.free_bytes = out->info.memory_bytes;
  if (with_budget) {
    const uint64_t used = budget.heapUsage[heap], all = budget.heapBudget[heap];
    out->info.free_bytes = all > used ? all - used : 0;
  }
  const bool shares = out->caps.kind == MOE_DEVICE_KIND_INTEGRATED_GPU || out->caps.kind == MOE_DEVICE_KIND_CPU_VULKAN;
  for (uint32_t i = 0; shares && i < m.memoryTypeCount; ++i) {
    constexpr VkMemoryPropertyFlags kBoth = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT | VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT;
    if ((m.memoryTypes[i].propertyFlags & kBoth) == kBoth) out->caps.unified_memory = 1;
  }
}

ExternalMemoryCaps external_memory(const InstanceFunctions& vk, VkPhysicalDevice device,
                                   const std::set<std::string>& extensions) {
  const auto has = [&](const char* name) { return extensions.count(name) != 0; };
  ExternalMemoryCaps caps;
  caps.opaque_fd = has(VK_KHR_EXTERNAL_MEMORY_FD_EXTENSION_NAME);
  caps.dma_buf = caps.opaque_fd && has(VK_EXT_EXTERNAL_MEMORY_DMA_BUF_EXTENSION_NAME);
  caps.win32 = has("VK_KHR_external_memory_win32");
  if (has(VK_EXT_EXTERNAL_MEMORY_HOST_EXTENSION_NAME)) {
    VkPhysicalDeviceExternalMemoryHostPropertiesEXT host{};
    host.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_EXTERNAL_MEMORY_HOST_PROPERTIES_EXT;
    VkPhysicalDeviceProperties2 properties{};
    properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
    properties.pNext = &host;
    vk.vkGetPhysicalDeviceProperties2(device, &properties);
    caps.host_pointer_alignment = host.minImportedHostPointerAlignment;
  }
  return caps;
}

Status probe(const InstanceFunctions& vk, VkPhysicalDevice device, uint32_t instance_version, const Options& options,
             const LentDevice* lent, ProbedDevice* probed) {
  ProbedDevice& out = *probed;
  MOE_ASSIGN_OR_RETURN(const std::set<std::string> extensions, device_extensions(vk, device));
  const auto has = [&](const char* name) { return extensions.count(name) != 0; };  // may be asked about

  VkPhysicalDeviceProperties basic;
  vk.vkGetPhysicalDeviceProperties(device, &basic);
  out.api_version = std::min(instance_version, basic.apiVersion);
  const bool v12 = out.api_version >= VK_API_VERSION_1_2;

  VkPhysicalDeviceIDProperties id{};
  id.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ID_PROPERTIES;
  VkPhysicalDeviceSubgroupProperties subgroup{};
  subgroup.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SUBGROUP_PROPERTIES;
  VkPhysicalDeviceMaintenance3Properties maintenance{};
  maintenance.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MAINTENANCE_3_PROPERTIES;
  VkPhysicalDeviceDriverProperties driver{};
  driver.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_DRIVER_PROPERTIES;
  VkPhysicalDeviceFloatControlsProperties floats{};
  floats.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FLOAT_CONTROLS_PROPERTIES;
  VkPhysicalDeviceShaderIntegerDotProductProperties dots{};
  dots.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_PROPERTIES;
  VkPhysicalDeviceProperties2 properties{};
  properties.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PROPERTIES_2;
  EnabledFeatures enabled;  // what we may use
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR reports{};
  reports.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR;
  if (out.api_version >= VK_API_VERSION_1_1) {
    chain(&properties.pNext, &id);
    chain(&properties.pNext, &subgroup);
    chain(&properties.pNext, &maintenance);
    if (v12 || has(VK_KHR_DRIVER_PROPERTIES_EXTENSION_NAME)) chain(&properties.pNext, &driver);
    if (v12 || has(VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME)) chain(&properties.pNext, &floats);
    if (out.api_version >= VK_API_VERSION_1_3 || has(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) {
      chain(&properties.pNext, &dots);
    }
    if (lent == nullptr && has(VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME)) {
      VkPhysicalDeviceFeatures2 features{};
      features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
      features.pNext = &reports;
      vk.vkGetPhysicalDeviceFeatures2(device, &features);
    }
    vk.vkGetPhysicalDeviceProperties2(device, &properties);
    enabled = lent != nullptr ? lent->enabled : supported_features(vk, device, out.api_version, extensions);
  } else {
    properties.properties = basic;
  }

  const VkPhysicalDeviceLimits& limits = properties.properties.limits;
  DeviceCaps& caps = out.caps;
  // It declares nothing, and converts by F16C or by LLVM, both exact (the suite decodes every half).
  if (driver.driverID == VK_DRIVER_ID_MESA_LLVMPIPE) caps.unpack_half = 1;
  caps.name = basic.deviceName;
  while (caps.name.ends_with(' ')) caps.name.pop_back();  // NVK's; a caps file cannot hold it
  caps.driver = std::string(driver.driverName) + " " + driver.driverInfo;
  caps.kind = device_kind(basic.deviceType);
  caps.host_packing = caps.kind == MOE_DEVICE_KIND_CPU_VULKAN ? 1 : 0;
  caps.vendor_id = basic.vendorID;
  caps.device_id = basic.deviceID;
  caps.api_version = out.api_version & ~0xFFFu;
  caps.max_workgroup_invocations = limits.maxComputeWorkGroupInvocations;
  caps.max_workgroup_size_x = limits.maxComputeWorkGroupSize[0];
  caps.max_workgroup_count = *std::min_element(limits.maxComputeWorkGroupCount, limits.maxComputeWorkGroupCount + 3);
  caps.shared_memory_bytes = limits.maxComputeSharedMemorySize;
  caps.push_constant_bytes = limits.maxPushConstantsSize;
  caps.max_stage_storage_buffers =
      std::min(limits.maxPerStageDescriptorStorageBuffers, limits.maxDescriptorSetStorageBuffers);
  caps.max_bound_sets = limits.maxBoundDescriptorSets;
  caps.max_storage_buffer_range = limits.maxStorageBufferRange;
  caps.max_allocation_bytes =
      maintenance.maxMemoryAllocationSize != 0 ? maintenance.maxMemoryAllocationSize : 1ull << 30;
  caps.storage_offset_alignment = static_cast<uint32_t>(limits.minStorageBufferOffsetAlignment);
  caps.subgroup_size = subgroup.subgroupSize;
  const auto may_use = [&](const char* name) { return enabled.extensions.count(name) != 0; };
  caps.timeline_semaphore = enabled.timeline_semaphore ? 1 : 0;
  caps.buffer_device_address = enabled.buffer_device_address ? 1 : 0;
  caps.storage_buffer_array_indexing = enabled.storage_buffer_array_indexing ? 1 : 0;
  caps.push_descriptors = may_use(VK_KHR_PUSH_DESCRIPTOR_EXTENSION_NAME) ? 1 : 0;
  if (v12 || may_use(VK_KHR_SHADER_FLOAT_CONTROLS_EXTENSION_NAME)) {
    caps.float_controls_rte = floats.shaderRoundingModeRTEFloat32;
    caps.float_controls_inf_nan = floats.shaderSignedZeroInfNanPreserveFloat32;
    const bool apart = floats.denormBehaviorIndependence != VK_SHADER_FLOAT_CONTROLS_INDEPENDENCE_NONE;
    if (floats.shaderDenormPreserveFloat16 && apart) caps.unpack_half = 2;
  }
  if (enabled.integer_dot) {
    const bool mixed = dots.integerDotProduct4x8BitPackedMixedSignednessAccelerated == VK_TRUE;
    caps.integer_dot = dots.integerDotProduct4x8BitPackedSignedAccelerated == VK_TRUE ? 2 : mixed ? 3 : 1;
  }
  caps.timestamp_period_ns = limits.timestampPeriod;

  out.pipeline_reports = options.pipeline_reports && reports.pipelineExecutableInfo == VK_TRUE;
  out.memory_budget = may_use(VK_EXT_MEMORY_BUDGET_EXTENSION_NAME);
  out.creation_feedback =
      out.api_version >= VK_API_VERSION_1_3 || may_use(VK_EXT_PIPELINE_CREATION_FEEDBACK_EXTENSION_NAME);
  find_queue(vk, lent, &out);
  if (out.api_version >= VK_API_VERSION_1_1) {
    find_memory(vk, out.memory_budget, &out);
    out.external = external_memory(vk, device, enabled.extensions);
  }

  out.info.kind = caps.kind;
  copy_text(out.info.name, caps.name);
  copy_text(out.info.driver, caps.driver);
  out.info.vendor_id = caps.vendor_id;
  out.info.device_id = caps.device_id;
  out.info.vulkan_version = basic.apiVersion;
  std::copy_n(id.deviceUUID, 16, out.info.device_uuid);
  std::copy_n(id.driverUUID, 16, out.info.driver_uuid);

  MOE_ASSIGN_OR_RETURN(out.quirks, apply_quirks(known_quirks(), basic.driverVersion, &caps));
  if (options.disabled("bda")) caps.buffer_device_address = 0;
  if (options.disabled("signed_dot") && caps.integer_dot != 0) caps.integer_dot = 3;
  if (options.disabled("integer_dot")) caps.integer_dot = 0;
  if (options.disabled("push_descriptors")) caps.push_descriptors = 0;
  if (options.disabled("unified")) caps.unified_memory = 0;
  Status lowered = lower_caps(options.limits, &caps);
  std::string missing = below_floor(caps);
  if (out.queue_family == UINT32_MAX) {
    missing += std::string(missing.empty() ? "" : "; ") +
               (lent != nullptr ? "the queue family does not compute" : "no queue family computes");
  }
  if (missing.empty() && !lowered.ok()) {
    out.refused_limits = lowered.text();
    return lowered;
  }
  return missing.empty() ? Status() : Status(MOE_ERROR_NO_DEVICE, "", std::move(missing));
}

}  // namespace

Result<std::set<std::string>> device_extensions(const InstanceFunctions& vk, VkPhysicalDevice device) {
  uint32_t count = 0;
  MOEVK_TRY(vk.vkEnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr));
  std::vector<VkExtensionProperties> properties(count);
  MOEVK_TRY(vk.vkEnumerateDeviceExtensionProperties(device, nullptr, &count, properties.data()));
  std::set<std::string> names;
  for (uint32_t i = 0; i < count; ++i) names.insert(properties[i].extensionName);
  return names;
}

EnabledFeatures supported_features(const InstanceFunctions& vk, VkPhysicalDevice device, uint32_t api_version,
                                   const std::set<std::string>& extensions) {
  const bool v12 = api_version >= VK_API_VERSION_1_2;
  const auto has = [&](const char* name) { return extensions.count(name) != 0; };
  VkPhysicalDeviceTimelineSemaphoreFeatures timeline{};
  timeline.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_TIMELINE_SEMAPHORE_FEATURES;
  VkPhysicalDeviceBufferDeviceAddressFeatures addresses{};
  addresses.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_BUFFER_DEVICE_ADDRESS_FEATURES;
  VkPhysicalDeviceShaderIntegerDotProductFeatures dots{};
  dots.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES;
  VkPhysicalDeviceFeatures2 features{};
  features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  if (v12 || has(VK_KHR_TIMELINE_SEMAPHORE_EXTENSION_NAME)) chain(&features.pNext, &timeline);
  if (v12 || has(VK_KHR_BUFFER_DEVICE_ADDRESS_EXTENSION_NAME)) chain(&features.pNext, &addresses);
  if (api_version >= VK_API_VERSION_1_3 || has(VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME)) {
    chain(&features.pNext, &dots);
  }
  vk.vkGetPhysicalDeviceFeatures2(device, &features);
  return {extensions, timeline.timelineSemaphore != 0, addresses.bufferDeviceAddress != 0,
          features.features.shaderStorageBufferArrayDynamicIndexing != 0, dots.shaderIntegerDotProduct != 0};
}

ProbedDevice probe_device(const InstanceFunctions& vk, VkPhysicalDevice device, uint32_t instance_version,
                          const Options& options, const LentDevice* lent) {
  ProbedDevice out;
  out.handle = device;
  out.info = moe_init<moe_device_info>();
  const Status status = probe(vk, device, instance_version, options, lent, &out);
  out.info.usable = status.ok() ? 1 : 0;
  const std::string argument = status.argument();
  copy_text(out.info.reason, argument.empty() ? status.text() : argument + ": " + status.text());
  return out;
}

}  // namespace moevk
